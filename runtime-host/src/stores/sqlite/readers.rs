//! The readers of one file: a few for reads that are short enough to run where they are asked, and a bounded pool of threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::raw::{Output, Raw, Role, read_row};
use super::result::{CancelOnDrop, Rest, Row, Value, row_bytes};
use super::session::Session;
use super::statement::{KEPT_SQL_BYTES_MAX, Kind, Statement, Statements, column_names};
use super::{Error, QueryResult, Settings};

/// How long a read may hold the thread that asks for it: as long as a guest that computes. A longer one starts again on
/// a reader thread.
const INLINE_TIME_MAX: Duration = Duration::from_millis(1);
/// Size of a result up to which a read may run inline, in bytes.
const INLINE_RESULT_BYTES_MAX: usize = 64 << 10;
/// Long reads of one file that run at once; more wait.
const READER_THREADS_MAX: usize = 8;
/// Size of one batch of rows, in bytes; a single larger row makes a batch of its own.
const RESULT_BATCH_BYTES_MAX: usize = 256 << 10;
/// Batches that wait for the guest.
const RESULT_BATCHES_MAX: usize = 2;
/// How long a guest may leave a full channel of rows standing.
const ROWS_STALL_MAX: Duration = Duration::from_secs(5);

/// The readers of one file.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    settings: Settings,
    inline: Box<[Mutex<Option<Raw>>]>,
    idle: Mutex<Vec<Raw>>,
    threads: Arc<Semaphore>,
}

/// What a reader thread made of a statement.
enum Read {
    /// It writes, so the writer has to run it.
    Writes,
    /// All of its rows.
    Complete(Output),
    /// The first rows, and where the others come from.
    Streamed(Output, mpsc::Receiver<Batch>),
}

/// Rows, or `None` at the good end.
type Batch = Result<Option<Vec<Row>>, Error>;

impl Readers {
    pub(super) fn new(path: PathBuf, settings: Settings) -> Self {
        let cores = thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Self {
            path,
            settings,
            inline: (0..cores).map(|_| Mutex::new(None)).collect(),
            idle: Mutex::new(Vec::new()),
            threads: Arc::new(Semaphore::new(READER_THREADS_MAX)),
        }
    }

    /// Runs `read` here and now on a free reader; `None` when there is none, or when it turns out to be long.
    pub(super) fn try_inline<T>(&self, read: impl FnOnce(&Raw) -> Result<T, Error>) -> Option<Result<T, Error>> {
        if self.threads.is_closed() {
            return None;
        }
        let home = home_slot();
        for offset in 0..self.inline.len() {
            let mut slot = match self.inline[(home + offset) % self.inline.len()].try_lock() {
                Ok(slot) => slot,
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Poisoned(poisoned)) => {
                    // A panic while it read: what is left of the connection is not trusted.
                    let mut slot = poisoned.into_inner();
                    *slot = None;
                    slot
                }
            };
            if slot.is_none() {
                // When this fails, the reader thread's attempt tells why.
                *slot = Some(Raw::open(&self.path, &self.settings, Role::InlineReader).ok()?);
            }
            let raw = slot.as_ref()?;
            raw.context.start(INLINE_TIME_MAX, None);
            return match read(raw) {
                Err(Error::Timeout(_) | Error::ResultTooLarge | Error::Locked) => None,
                done => Some(done),
            };
        }
        None
    }

    /// Runs a statement here and now, if it only reads and is short.
    pub(super) fn try_execute(
        &self,
        statements: &Statements,
        session: &Session,
        sql: &str,
        params: &[Value],
    ) -> Option<Result<QueryResult, Error>> {
        let known = statements.get(sql);
        match &known {
            Some(statement) if !statement.reads || statement.is_long() => return None,
            None if sql.len() > KEPT_SQL_BYTES_MAX || !Kind::of(sql).is_for_sqlite() => return None,
            _ => {}
        }
        let done = self.try_inline(|raw| {
            raw.context.serve(session);
            raw.with_statement(sql, params, |prepared| {
                let statement = known.clone().unwrap_or_else(|| statements.remember(sql, prepared));
                if !statement.reads {
                    return Ok(None);
                }
                match raw.rows(prepared, INLINE_RESULT_BYTES_MAX) {
                    Ok(rows) => {
                        statement.ran_short();
                        Ok(Some(QueryResult::complete(statement.columns(prepared), rows)))
                    }
                    Err(error) => {
                        if matches!(error, Error::Timeout(_) | Error::ResultTooLarge) {
                            statement.ran_long();
                        }
                        Err(error)
                    }
                }
            })
        });
        done.and_then(Result::transpose)
    }

    /// Runs a statement on a reader thread; `None` when it writes. A result of more than one batch is streamed.
    pub(super) async fn execute(
        self: &Arc<Self>,
        statements: Arc<Statements>,
        session: Arc<Session>,
        sql: String,
        params: Arc<[Value]>,
    ) -> Result<Option<QueryResult>, Error> {
        let (answer, answered) = oneshot::channel();
        let cancel = CancelOnDrop::default();
        let cancelled = cancel.0.clone();
        let time_max = self.settings.read_time_max;
        self.spawn(move |raw| {
            raw.context.serve(&session);
            let mut answer = Some(answer);
            let done = raw.with_statement(&sql, &params, |prepared| {
                let statement = statements.get(&sql).unwrap_or_else(|| statements.remember(&sql, prepared));
                if statement.reads {
                    raw.context.start(time_max, Some(cancelled));
                    stream_rows(raw, prepared, &statement, time_max, &mut answer)
                } else {
                    send(&mut answer, Ok(Read::Writes));
                    Ok(())
                }
            });
            if let Err(error) = done {
                send(&mut answer, Err(error));
            }
        })
        .await?;
        Ok(match answered.await.map_err(|_| reader_failed())?? {
            Read::Writes => None,
            Read::Complete((columns, rows)) => Some(QueryResult::complete(columns, rows)),
            Read::Streamed((columns, rows), batches) => {
                Some(QueryResult::streamed(columns, rows, Rest { batches, _cancel: cancel }))
            }
        })
    }

    /// Runs `read` on a reader thread.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Raw) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let cancel = CancelOnDrop::default();
        let cancelled = cancel.0.clone();
        let time_max = self.settings.read_time_max;
        self.spawn(move |raw| {
            raw.context.start(time_max, Some(cancelled));
            // The caller may be gone; then nobody asks.
            let _ = answer.send(read(raw));
        })
        .await?;
        answered.await.map_err(|_| reader_failed())?
    }

    async fn spawn(self: &Arc<Self>, work: impl FnOnce(&Raw) + Send + 'static) -> Result<(), Error> {
        let thread = self.threads.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let idle = self.idle().pop();
        let raw = match idle {
            Some(raw) => raw,
            None => Raw::open(&self.path, &self.settings, Role::Reader)?,
        };
        let readers = self.clone();
        tokio::task::spawn_blocking(move || {
            work(&raw);
            readers.idle().push(raw);
            drop(thread);
        });
        Ok(())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Raw>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets no further read begin on a thread, and closes the connections that are free.
    pub(super) fn close(&self) {
        self.threads.close();
        self.idle().clear();
        for slot in &self.inline {
            if let Ok(mut slot) = slot.try_lock() {
                *slot = None;
            }
        }
    }
}

/// Answers with the first batch and sends the others as the guest takes them, for as long as the read may take.
fn stream_rows(
    raw: &Raw,
    prepared: &mut rusqlite::Statement<'_>,
    statement: &Statement,
    time_max: Duration,
    answer: &mut Option<Answer>,
) -> Result<(), Error> {
    let started = Instant::now();
    let mut rows = prepared.raw_query();
    let (first, ended) = next_batch(raw, &mut rows)?;
    if ended {
        drop(rows);
        if started.elapsed() < INLINE_TIME_MAX {
            statement.ran_short();
        }
        send(answer, Ok(Read::Complete((statement.columns(prepared), first))));
        return Ok(());
    }
    // There is a next row, so the statement is there.
    let columns = rows.as_ref().map(column_names).unwrap_or_default();
    let (batches, receiver) = mpsc::channel(RESULT_BATCHES_MAX);
    send(answer, Ok(Read::Streamed((columns, first), receiver)));
    let deliver = |batch| {
        let left = time_max.saturating_sub(started.elapsed());
        Handle::current().block_on(timeout(left.min(ROWS_STALL_MAX), batches.send(batch)))
    };
    loop {
        let (batch, ended) = match next_batch(raw, &mut rows) {
            Ok((rows, ended)) => (Ok(Some(rows)), ended),
            Err(error) => (Err(error), false),
        };
        let failed = batch.is_err();
        // A guest that is gone, stands still or is too slow sees the channel close; its snapshot is given up.
        if !matches!(deliver(batch), Ok(Ok(()))) || failed {
            return Ok(());
        }
        if ended {
            let _ = deliver(Ok(None));
            return Ok(());
        }
    }
}

/// Rows up to the size of a batch, and whether these were the last.
fn next_batch(raw: &Raw, rows: &mut rusqlite::Rows<'_>) -> Result<(Vec<Row>, bool), Error> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while bytes < RESULT_BATCH_BYTES_MAX {
        let Some(row) = rows.next().map_err(|error| raw.error(error))? else { return Ok((batch, true)) };
        let row = read_row(row)?;
        bytes += row_bytes(&row);
        batch.push(row);
    }
    Ok((batch, false))
}

type Answer = oneshot::Sender<Result<Read, Error>>;

fn send(answer: &mut Option<Answer>, read: Result<Read, Error>) {
    if let Some(answer) = answer.take() {
        // The caller may be gone; then nobody asks.
        let _ = answer.send(read);
    }
}

fn reader_failed() -> Error {
    Error::Sql("the reader thread failed".into())
}

/// Where this thread looks for a free reader first, so that threads do not meet.
fn home_slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static HOME: usize = NEXT.fetch_add(1, Ordering::Relaxed));
    HOME.with(|home| *home)
}
