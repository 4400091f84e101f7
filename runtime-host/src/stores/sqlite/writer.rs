//! The one writer of a file: a thread that commits the writes of many callers together.
//!
//! Every unit of writes is a savepoint in one transaction of the writer, and so is every transaction that a guest keeps
//! open over several calls; only the first of a group needs none, because it can be undone with the whole. The answers
//! wait for the COMMIT, which one fsync makes true for all of them. While the disk syncs, the next writes queue up: that is
//! what makes the groups, no write waits for company.
//! Readers see a write when it is on disk, never before.

use std::collections::VecDeque;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::wal::CheckpointMode;

use super::queue::{Action, Request, Shared, Step, Unit, Waits, foreign_key_failed};
use super::raw::{Output, Raw, Role};
use super::session::{Session, TransactionState};
use super::statement::Kind;
use super::transaction::Transaction;
use super::{Error, Others, Settings};

/// Units and transactions in one group.
const GROUP_LENGTH_MAX: usize = 256;
/// Age of a group at which it is committed though more is queued.
const GROUP_TIME_MAX: Duration = Duration::from_millis(10);
/// How long the thread stays awake for the next call of an open transaction.
const SPIN_TIME_MAX: Duration = Duration::from_micros(30);
/// Rows that the answers of one group hold in memory, in bytes.
const GROUP_BYTES_MAX: usize = 32 << 20;
/// How long one statement outside of a transaction may write.
const WRITE_TIME_MAX: Duration = Duration::from_secs(30);
/// Frames in the write-ahead log from which it is written back into the file.
const CHECKPOINT_FRAMES: usize = 1_000;

/// The writer's state.
pub(super) struct Writer {
    raw: Raw,
    path: PathBuf,
    settings: Settings,
    requests: Receiver<Request>,
    shared: Arc<Shared>,
    /// Requests that came while a transaction of another handle was open, in their order.
    backlog: VecDeque<Request>,
    open: Option<Transaction>,
    /// Whether what is written now stands apart from what the group wrote before, by a savepoint.
    in_savepoint: bool,
    group: Vec<Done>,
    group_since: Instant,
    /// How long guests keep their transactions open, averaged over the latest ones.
    hold_time: Duration,
    frames_checkpointed: usize,
}

/// What waits for the group's COMMIT.
enum Done {
    Unit { unit: Box<dyn Unit>, alone: bool },
    Transaction(Step),
}

impl Done {
    fn answer(self, committed: Result<(), Error>) {
        match self {
            Self::Unit { unit, .. } => unit.answer(committed),
            Self::Transaction(step) => step.answer(committed.map(|()| Output::default())),
        }
    }

    fn waits(&self) -> Waits {
        match self {
            Self::Unit { unit, .. } => unit.waits(),
            Self::Transaction(step) => step.waits,
        }
    }
}

impl Writer {
    pub(super) fn new(
        raw: Raw,
        path: PathBuf,
        settings: Settings,
        requests: Receiver<Request>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            raw,
            path,
            settings,
            requests,
            shared,
            backlog: VecDeque::new(),
            open: None,
            in_savepoint: false,
            group: Vec::new(),
            group_since: Instant::now(),
            hold_time: Duration::ZERO,
            frames_checkpointed: 0,
        }
    }

    /// Works until the database is closed or dropped.
    pub(super) fn run(mut self) {
        // What a panic may have left half done is the SQLite connection, which is opened anew.
        while catch_unwind(AssertUnwindSafe(|| self.work())).is_err() {
            if let Err(error) = self.recover() {
                tracing::error!(path = %self.path.display(), %error, "the writer could not be restarted; the database takes no more writes");
                break;
            }
            tracing::error!(path = %self.path.display(), "the writer panicked and was restarted");
        }
        self.shared.closed.store(true, Ordering::Release);
    }

    fn work(&mut self) {
        while let Some(request) = self.next() {
            match request {
                Request::Unit { unit, alone } => self.unit(unit, alone),
                Request::Step(step, action) => self.step(step, action),
                Request::Abandon(session) => self.abandon(&session),
                Request::Outside(work) => {
                    self.commit();
                    work(&self.raw);
                }
                Request::Close(others, answer) => {
                    self.commit();
                    let closed = match others {
                        // The readers still have the file open, so the end of this connection would not do it.
                        Others::None => {
                            self.raw.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::TRUNCATE).map(drop)
                        }
                        // It would keep them from writing until no reader is left that began before.
                        Others::GoOn => Ok(()),
                    };
                    self.shared.closed.store(true, Ordering::Release);
                    let _ = answer.send(closed.map_err(Error::from));
                    return;
                }
            }
            let full = self.group.len() >= GROUP_LENGTH_MAX
                || self.group_since.elapsed() >= GROUP_TIME_MAX
                || self.raw.context.rows_bytes.load(Ordering::Relaxed) >= GROUP_BYTES_MAX;
            if self.open.is_none() && full {
                self.commit();
            }
        }
        self.commit();
    }

    /// The next request in turn; what is queued is taken before the group is committed, and then the thread sleeps.
    fn next(&mut self) -> Option<Request> {
        loop {
            if let Some(open) = &mut self.open {
                let left = open.deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    self.lose_transaction();
                    continue;
                }
                if let Some(request) = open.queued.pop_front() {
                    return Some(request);
                }
                match receive(&self.requests, left) {
                    Ok(request) if request.session().is_some_and(|session| Arc::ptr_eq(session, &open.session)) => {
                        return Some(request);
                    }
                    Ok(request) => self.backlog.push_back(request),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => self.lose_transaction(),
                }
            } else if let Some(request) = self.backlog.pop_front() {
                return Some(request);
            } else {
                match self.requests.try_recv() {
                    Ok(request) => return Some(request),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) if !self.raw.connection.is_autocommit() => self.commit(),
                    Err(TryRecvError::Empty) => return self.requests.recv().ok(),
                }
            }
        }
    }

    /// Opens the group's transaction, or a savepoint in it.
    fn begin(&mut self) -> Result<(), Error> {
        self.in_savepoint = !self.raw.connection.is_autocommit();
        if self.in_savepoint {
            return self.raw.control("SAVEPOINT host");
        }
        // A savepoint would have SQLite copy every page before it changes.
        self.raw.control("BEGIN IMMEDIATE")?;
        self.group_since = Instant::now();
        Ok(())
    }

    /// Makes what was written since `begin` a part of the group.
    fn keep(&mut self) -> Result<(), Error> {
        if self.in_savepoint { self.raw.control("RELEASE host") } else { Ok(()) }
    }

    /// Takes back what was written since `begin`; false when only the whole group could be taken back.
    fn undo(&mut self) -> bool {
        let undone = if self.in_savepoint {
            self.raw.control("ROLLBACK TO host").and_then(|()| self.raw.control("RELEASE host"))
        } else {
            self.raw.control("ROLLBACK")
        };
        if undone.is_err() {
            self.lose_group();
        }
        undone.is_ok()
    }

    /// Has the answer wait for the group's COMMIT, if there will be one.
    fn settle(&mut self, done: Done) {
        if self.raw.connection.is_autocommit() {
            done.answer(Ok(()));
        } else {
            self.group.push(done);
        }
    }

    fn unit(&mut self, mut unit: Box<dyn Unit>, alone: bool) {
        if unit.is_unwanted() {
            return;
        }
        if let Err(error) = self.begin() {
            return unit.answer(Err(error));
        }
        self.raw.context.start(WRITE_TIME_MAX, None);
        let keep = unit.run(&self.raw);
        if self.raw.connection.is_autocommit() {
            // Out of space, stopped, or ON CONFLICT ROLLBACK: SQLite took the neighbours' writes back too.
            unit.answer(if keep { Err(Error::WriterFailed) } else { Ok(()) });
            return self.lose_group();
        }
        if !keep {
            if !self.undo() {
                return unit.answer(Ok(()));
            }
        } else if let Err(error) = self.keep() {
            unit.answer(Err(error));
            return self.lose_group();
        }
        self.settle(Done::Unit { unit, alone });
        if alone {
            self.commit();
        }
    }

    fn step(&mut self, step: Step, action: Action) {
        if self.open.is_some() {
            return self.step_inside(step, action);
        }
        match (step.session.transaction(), action) {
            (TransactionState::Lost, _) => step.answer(Err(Error::TransactionLost)),
            (TransactionState::Opening, action @ (Action::Begin | Action::Savepoint(_) | Action::Run { .. })) => {
                if action.opens() && step.is_unwanted() {
                    return step.session.set_transaction(TransactionState::None);
                }
                if let Err(error) = self.open_transaction(&step.session, matches!(action, Action::Savepoint(_))) {
                    let state = if action.opens() { TransactionState::None } else { TransactionState::Lost };
                    step.session.set_transaction(state);
                    return step.answer(Err(error));
                }
                match action {
                    Action::Begin => step.answer(Ok(Output::default())),
                    action => self.step_inside(step, action),
                }
            }
            // The guest did not wait for the end of its transaction before it sent this.
            (_, Action::Run { sql, params }) => self.unit(step.into_unit(sql, params), false),
            _ => step.answer(Err(Error::NoTransaction)),
        }
    }

    fn open_transaction(&mut self, session: &Arc<Session>, by_savepoint: bool) -> Result<(), Error> {
        // A shared COMMIT saves a sync, but those who are in the group already wait for this guest then. It may be in an
        // instance that stands still until one of them is answered, and could never end its transaction.
        let is_stalled = self.group.iter().any(|done| done.waits() == Waits::Instance);
        if is_stalled || self.hold_time > GROUP_TIME_MAX {
            self.commit();
        }
        self.begin()?;
        session.set_transaction(TransactionState::Open);
        let own = |request: &Request| request.session().is_some_and(|other| Arc::ptr_eq(other, session));
        let (queued, backlog) = mem::take(&mut self.backlog).into_iter().partition(own);
        self.backlog = backlog;
        let time_max = self.settings.transaction_time_max;
        self.open = Some(Transaction::new(session.clone(), time_max, by_savepoint, queued));
        Ok(())
    }

    fn step_inside(&mut self, step: Step, action: Action) {
        // The callers made sure of it.
        let Some(open) = &mut self.open else { return step.answer(Err(Error::NoTransaction)) };
        let result = match action {
            Action::Begin => Err(Error::NestedTransaction),
            Action::Commit => return self.end_transaction(step, true),
            Action::Rollback => return self.end_transaction(step, false),
            Action::Release(name) if open.by_savepoint && open.position(&name) == Some(0) => {
                return self.end_transaction(step, true);
            }
            Action::Savepoint(name) => open.savepoint(&self.raw, name),
            Action::Release(name) => open.release(&self.raw, &name),
            Action::RollbackTo(name) => open.rollback_to(&self.raw, &name),
            Action::Run { sql, params } => {
                open.ran_pragma |= Kind::of(&sql) == Kind::Pragma;
                self.raw.context.start(open.deadline.saturating_duration_since(Instant::now()), None);
                self.raw.run(&step.session, &sql, &params)
            }
        };
        if self.raw.connection.is_autocommit() {
            self.lose_group();
        }
        step.answer(result);
    }

    /// COMMIT or ROLLBACK. Either answer waits for the group, because the guest may have read what a neighbour wrote.
    fn end_transaction(&mut self, step: Step, keep: bool) {
        if keep && self.raw.violates_deferred_keys() {
            // As in SQLite, the transaction stays open, so that the guest may repair it.
            return step.answer(Err(foreign_key_failed()));
        }
        let Some(open) = self.close_transaction(TransactionState::None) else { return };
        let ended = if keep { self.keep().is_ok() } else { self.undo() };
        let settled = ended && (!open.ran_pragma || self.raw.stop_deferring_keys().is_ok());
        if settled {
            self.settle(Done::Transaction(step));
        } else {
            step.answer(Err(Error::TransactionLost));
            self.lose_group();
        }
    }

    /// Takes the open transaction out; what its handle sent after its end goes first among the waiting.
    fn close_transaction(&mut self, state: TransactionState) -> Option<Transaction> {
        let mut open = self.open.take()?;
        self.hold_time = (self.hold_time * 7 + open.since.elapsed()) / 8;
        open.session.set_transaction(state);
        for request in mem::take(&mut open.queued).into_iter().rev() {
            self.backlog.push_front(request);
        }
        Some(open)
    }

    /// Rolls the open transaction back without its guest's doing.
    fn lose_transaction(&mut self) {
        if let Some(open) = self.close_transaction(TransactionState::Lost)
            && self.undo()
            && open.ran_pragma
            && self.raw.stop_deferring_keys().is_err()
        {
            self.lose_group();
        }
    }

    fn abandon(&mut self, session: &Arc<Session>) {
        if self.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.session, session)) {
            self.lose_transaction();
        }
    }

    /// The group's transaction is gone. Units run again, each in a transaction of its own; what guests did over several
    /// calls cannot be repeated, so they hear of it.
    fn lose_group(&mut self) {
        if !self.raw.connection.is_autocommit() && self.raw.control("ROLLBACK").is_err() {
            // Without a transaction there is nothing to roll back either.
            tracing::warn!(path = %self.path.display(), "a transaction could not be rolled back");
        }
        self.close_transaction(TransactionState::Lost);
        let mut again = Vec::new();
        for done in self.group.drain(..) {
            match done {
                Done::Unit { unit, alone: false } => again.push(unit),
                done => done.answer(Err(Error::TransactionLost)),
            }
        }
        for unit in again.into_iter().rev() {
            self.backlog.push_front(Request::Unit { unit, alone: true });
        }
        self.raw.context.rows_bytes.store(0, Ordering::Relaxed);
    }

    /// Makes the group durable and answers it.
    fn commit(&mut self) {
        if self.raw.connection.is_autocommit() {
            return;
        }
        let committed = self.raw.control("COMMIT");
        if committed.is_ok() {
            self.shared.commits.fetch_add(1, Ordering::Relaxed);
        } else if !self.raw.connection.is_autocommit() {
            // The transaction survives some failures of COMMIT; nobody may find its writes later.
            let _ = self.raw.control("ROLLBACK");
        }
        for done in self.group.drain(..) {
            done.answer(committed.clone());
        }
        self.raw.context.rows_bytes.store(0, Ordering::Relaxed);
        self.checkpoint();
    }

    /// Writes the log back into the file when it has grown, after the answers and before the next writes.
    fn checkpoint(&mut self) {
        let frames = self.raw.context.wal_frames.load(Ordering::Relaxed);
        if frames < self.frames_checkpointed {
            // It started anew.
            self.frames_checkpointed = 0;
        }
        if frames - self.frames_checkpointed >= CHECKPOINT_FRAMES {
            self.frames_checkpointed = frames;
            if let Err(error) = self.raw.connection.wal_checkpoint_v2(None::<&str>, CheckpointMode::PASSIVE) {
                tracing::warn!(path = %self.path.display(), %error, "a checkpoint failed");
            }
        }
    }

    fn recover(&mut self) -> rusqlite::Result<()> {
        self.close_transaction(TransactionState::Lost);
        for done in self.group.drain(..) {
            done.answer(Err(Error::WriterFailed));
        }
        self.raw = Raw::open(&self.path, &self.settings, Role::Writer)?;
        Ok(())
    }
}

/// Waits for the next request while a guest's transaction is open. It is usually closer than the time that it takes to
/// wake a thread, and all other writes wait for it.
fn receive(requests: &Receiver<Request>, time_max: Duration) -> Result<Request, RecvTimeoutError> {
    let started = Instant::now();
    while started.elapsed() < SPIN_TIME_MAX {
        if let Ok(request) = requests.try_recv() {
            return Ok(request);
        }
        std::hint::spin_loop();
    }
    requests.recv_timeout(time_max)
}
