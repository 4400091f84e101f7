//! What the hooks of one SQLite connection share with the code that uses it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::session::Session;

/// State of one SQLite connection outside of SQLite.
#[derive(Debug)]
pub(super) struct Context {
    run: Mutex<Run>,
    host: AtomicBool,
    denied: Mutex<Option<String>>,
    changes: AtomicU64,
    total_changes: AtomicU64,
    last_insert_rowid: AtomicI64,
    /// Frames in the write-ahead log after the latest commit.
    pub(super) wal_frames: AtomicUsize,
    /// Bytes of the rows that were read since the writer set it to zero.
    pub(super) rows_bytes: AtomicUsize,
}

/// Bounds on the statement that runs now.
#[derive(Debug)]
struct Run {
    deadline: Instant,
    time_max: Duration,
    cancelled: Option<Arc<AtomicBool>>,
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            run: Mutex::new(Run { deadline: Instant::now(), time_max: Duration::ZERO, cancelled: None }),
            host: AtomicBool::new(true),
            denied: Mutex::new(None),
            changes: AtomicU64::new(0),
            total_changes: AtomicU64::new(0),
            last_insert_rowid: AtomicI64::new(0),
            wal_frames: AtomicUsize::new(0),
            rows_bytes: AtomicUsize::new(0),
        }
    }

    fn run(&self) -> MutexGuard<'_, Run> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what runs next `time_max`, counted from now, and lets `cancelled` stop it before.
    pub(super) fn start(&self, time_max: Duration, cancelled: Option<Arc<AtomicBool>>) {
        *self.run() = Run { deadline: Instant::now() + time_max, time_max, cancelled };
    }

    /// Whether what runs now has to stop; SQLite asks every so many steps.
    pub(super) fn must_stop(&self) -> bool {
        let run = self.run();
        Instant::now() >= run.deadline
            || run.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed))
    }

    pub(super) fn time_max(&self) -> Duration {
        self.run().time_max
    }

    /// Serves `session` from here on: the SQL functions that speak of the connection speak of it.
    pub(super) fn serve(&self, session: &Session) {
        self.changes.store(session.changes.load(Ordering::Relaxed), Ordering::Relaxed);
        self.total_changes.store(session.total_changes.load(Ordering::Relaxed), Ordering::Relaxed);
        self.last_insert_rowid.store(session.last_insert_rowid.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(super) fn changes(&self) -> i64 {
        self.changes.load(Ordering::Relaxed).cast_signed()
    }

    pub(super) fn total_changes(&self) -> i64 {
        self.total_changes.load(Ordering::Relaxed).cast_signed()
    }

    pub(super) fn last_insert_rowid(&self) -> i64 {
        self.last_insert_rowid.load(Ordering::Relaxed)
    }

    /// Whether the statement that is prepared now is the host's own.
    pub(super) fn is_host(&self) -> bool {
        self.host.load(Ordering::Relaxed)
    }

    pub(super) fn set_host(&self, host: bool) {
        self.host.store(host, Ordering::Relaxed);
    }

    /// Notes why a statement was refused; SQLite only says that it was.
    pub(super) fn deny(&self, reason: String) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    pub(super) fn take_denied(&self) -> Option<String> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
