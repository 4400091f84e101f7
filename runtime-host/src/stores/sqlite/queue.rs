//! The way to a writer: a bounded queue of requests, each with the place for its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::raw::{Output, Raw};
use super::result::Value;
use super::session::Session;
use super::{Error, Others, WRITE_QUEUE_BYTES_MAX, WRITE_QUEUE_MAX};

/// What the writer is asked to do.
pub(super) enum Request {
    /// Writes that succeed or fail as a whole.
    Unit {
        /// The writes.
        unit: Box<dyn Unit>,
        /// Whether to commit them without neighbours.
        alone: bool,
    },
    /// One call of a transaction over several calls.
    Step(Step, Action),
    /// The guest dropped its handle.
    Abandon(Arc<Session>),
    /// Work outside of any transaction.
    Outside(Box<dyn FnOnce(&Raw) + Send>),
    /// Checkpoint, unless others go on, and stop.
    Close(Others, oneshot::Sender<Result<(), Error>>),
}

impl Request {
    /// The handle that this comes from, where the order of its requests matters.
    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Step(step, _) => Some(&step.session),
            Self::Abandon(session) => Some(session),
            Self::Unit { .. } | Self::Outside(_) | Self::Close(..) => None,
        }
    }
}

/// Writes that succeed or fail as a whole. When a neighbour in the group ruins the group's transaction, they run again.
pub(super) trait Unit: Send {
    /// Runs the writes and tells whether to keep them.
    fn run(&mut self, raw: &Raw) -> bool;
    /// Answers, now that the group is on disk or failed.
    fn answer(self: Box<Self>, committed: Result<(), Error>);
    /// Whether the caller is gone.
    fn is_unwanted(&self) -> bool;
    /// Who waits for the answer.
    fn waits(&self) -> Waits;
}

/// Who waits for the answer to a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The call alone.
    Call,
    /// The guest's whole instance, with all else that it works on.
    Instance,
}

struct Job<W, T> {
    work: W,
    waits: Waits,
    outcome: Result<T, Error>,
    answer: oneshot::Sender<Result<T, Error>>,
    place: Place,
}

impl<W: FnMut(&Raw) -> Result<T, Error> + Send, T: Send> Unit for Job<W, T> {
    fn run(&mut self, raw: &Raw) -> bool {
        self.outcome = (self.work)(raw)
            .and_then(|output| if raw.violates_deferred_keys() { Err(foreign_key_failed()) } else { Ok(output) });
        self.outcome.is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        // Before the answer, after which the caller may look at the queue's length.
        drop(self.place);
        // The caller may be gone; then nobody asks.
        let _ = self.answer.send(committed.and(self.outcome));
    }

    fn is_unwanted(&self) -> bool {
        self.answer.is_closed()
    }

    fn waits(&self) -> Waits {
        self.waits
    }
}

/// What SQLite says at a COMMIT that leaves a deferred foreign key violated.
pub(super) fn foreign_key_failed() -> Error {
    Error::Sql("FOREIGN KEY constraint failed".into())
}

/// One call of a transaction over several calls.
pub(super) struct Step {
    pub(super) session: Arc<Session>,
    pub(super) waits: Waits,
    answer: oneshot::Sender<Result<Output, Error>>,
    place: Place,
}

/// What a step does.
pub(super) enum Action {
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Run { sql: String, params: Arc<[Value]> },
}

impl Action {
    /// Whether it opens a transaction where there is none.
    pub(super) fn opens(&self) -> bool {
        matches!(self, Self::Begin | Self::Savepoint(_))
    }
}

impl Step {
    pub(super) fn answer(self, result: Result<Output, Error>) {
        drop(self.place);
        // The caller may be gone; then nobody asks.
        let _ = self.answer.send(result);
    }

    /// Whether the caller is gone.
    pub(super) fn is_unwanted(&self) -> bool {
        self.answer.is_closed()
    }

    /// The same as writes by themselves, for a statement that comes after the end of its transaction.
    pub(super) fn into_unit(self, sql: String, params: Arc<[Value]>) -> Box<dyn Unit> {
        let Self { session, waits, answer, place } = self;
        let work = move |raw: &Raw| raw.run(&session, &sql, &params);
        Box::new(Job { work, waits, outcome: Err(Error::WriterFailed), answer, place })
    }
}

/// What the callers and the writer thread share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    length: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) closed: AtomicBool,
    pub(super) commits: AtomicU64,
}

/// A place in the queue, given back when the request is answered.
struct Place {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.length.fetch_sub(1, Ordering::Relaxed);
        self.shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The callers' end of the queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) shared: Arc<Shared>,
}

impl Queue {
    /// Requests that were not answered yet.
    pub(super) fn length(&self) -> usize {
        self.shared.length.load(Ordering::Relaxed)
    }

    /// Runs writes as one unit and answers when they are on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        waits: Waits,
        work: impl FnMut(&Raw) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let place = self.place(bytes, 1)?;
        let unit = Box::new(Job { work, waits, outcome: Err(Error::WriterFailed), answer, place });
        self.send(Request::Unit { unit, alone: false })?;
        self.wait(answered).await
    }

    /// Runs one call of a transaction over several calls.
    pub(super) async fn step(
        &self,
        session: &Arc<Session>,
        bytes: usize,
        waits: Waits,
        action: Action,
    ) -> Result<Output, Error> {
        let (answer, answered) = oneshot::channel();
        // The others wait for this transaction to end, so it may still be heard when the queue is full of them.
        let place = self.place(bytes, 2)?;
        self.send(Request::Step(Step { session: session.clone(), waits, answer, place }, action))?;
        self.wait(answered).await
    }

    /// Runs work outside of any transaction.
    pub(super) async fn outside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Raw) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let place = self.place(0, 1)?;
        self.send(Request::Outside(Box::new(move |raw| {
            let done = work(raw);
            drop(place);
            // The caller may be gone; then nobody asks.
            let _ = answer.send(done);
        })))?;
        self.wait(answered).await
    }

    /// Lets the writer finish what is queued, checkpoint and stop.
    pub(super) async fn close(&self, others: Others) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Close(others, answer))?;
        self.wait(answered).await
    }

    fn send(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).map_err(|_| Error::Closed)
    }

    async fn wait<T>(&self, answered: oneshot::Receiver<Result<T, Error>>) -> Result<T, Error> {
        answered.await.unwrap_or_else(|_| {
            Err(if self.shared.closed.load(Ordering::Acquire) { Error::Closed } else { Error::WriterFailed })
        })
    }

    fn place(&self, bytes: usize, factor: usize) -> Result<Place, Error> {
        let length = self.shared.length.fetch_add(1, Ordering::Relaxed);
        let queued = self.shared.bytes.fetch_add(bytes, Ordering::Relaxed);
        // From here on its drop gives the place back, also when it is refused.
        let place = Place { shared: self.shared.clone(), bytes };
        let fits =
            length < WRITE_QUEUE_MAX * factor && (queued == 0 || queued + bytes <= WRITE_QUEUE_BYTES_MAX * factor);
        if fits { Ok(place) } else { Err(Error::QueueFull) }
    }
}
