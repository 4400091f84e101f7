//! SQLite databases: one writer with group commit and a set of readers per file.
//!
//! A [`Database`] is a file, a [`Connection`] is what one guest handle needs to believe that it is alone with it.
//!
//! - A read that is short runs on the caller's thread; one that turns out to be long starts again on a reader thread.
//! - A write is answered when it is on disk. Writes that wait at the same time share one COMMIT.
//! - A transaction over several calls holds the writer, for a bounded time, and reads what it wrote.
//! - When a statement outside of a transaction fails, nothing of it stays, also with `OR FAIL`.

mod context;
mod error;
mod guard;
mod parameters;
mod queue;
mod raw;
mod readers;
mod result;
mod session;
mod statement;
#[cfg(test)]
mod tests;
mod transaction;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;

pub use error::{Error, OpenError};
pub use parameters::{parameter_names, split_statements};
use queue::{Action, Queue, Request, Shared, Waits};
use raw::{Raw, Role};
use readers::Readers;
pub(in crate::stores) use result::row_bytes;
pub use result::{QueryResult, Row, Value};
use session::{Session, TransactionState};
pub use statement::Kind;
use statement::Statements;
use writer::Writer;

/// Size of a result that is held in memory as a whole, in bytes.
pub const RESULT_BYTES_MAX: usize = 16 << 20;
/// Writes that may wait for one database; one more is an error.
pub const WRITE_QUEUE_MAX: usize = 4_096;
/// Size of the statements and values of these writes, in bytes.
pub const WRITE_QUEUE_BYTES_MAX: usize = 64 << 20;
/// How long a read may take, where the settings do not say, counted until its caller has taken the last row.
///
/// A read sees one moment of the database, and as long as it does, the log of later writes cannot be cut back.
pub const READ_TIME_MAX: Duration = Duration::from_secs(30);
/// How long a transaction over several calls may stay open, where the settings do not say; then it is rolled back.
pub const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a database lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In this file.
    File(PathBuf),
    /// In a temporary folder, until it is closed.
    Memory,
}

/// When a write is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk: it survives a power cut.
    #[default]
    Full,
    /// When the operating system has it: it survives a crash of the host, not of the machine.
    Normal,
}

/// Whether another process has the files as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// None has.
    None,
    /// One that goes on with them, and must not be kept waiting.
    GoOn,
}

/// How a database is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// When a write is answered.
    pub durability: Durability,
    /// Size that the file may reach, in bytes; more is [`Error::Full`].
    pub bytes_max: Option<u64>,
    /// How long a transaction over several calls may stay open.
    pub transaction_time_max: Duration,
    /// How long a read may take until its last row is taken.
    pub read_time_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            bytes_max: None,
            transaction_time_max: TRANSACTION_TIME_MAX,
            read_time_max: READ_TIME_MAX,
        }
    }
}

/// One database file, shared by all handles on it.
#[derive(Debug)]
pub struct Database {
    queue: Queue,
    readers: Arc<Readers>,
    statements: Arc<Statements>,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
    /// Removes a temporary database.
    _temporary: Option<TempDir>,
}

impl Database {
    /// Opens the file, which is made where it is missing, and starts its writer.
    pub fn open(location: Location, settings: Settings) -> Result<Arc<Self>, OpenError> {
        let (path, temporary) = match location {
            Location::File(path) => (path, None),
            Location::Memory => {
                let folder = tempfile::tempdir()
                    .map_err(|source| OpenError::Folder { path: std::env::temp_dir().join("database.db"), source })?;
                (folder.path().join("database.db"), Some(folder))
            }
        };
        if let Some(folder) = path.parent() {
            super::private::create_folder(folder).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        }
        super::private::create_file(&path).map_err(|source| OpenError::Folder { path: path.clone(), source })?;
        let raw = Raw::open(&path, &settings, Role::Writer)
            .map_err(|source| OpenError::Sqlite { path: path.clone(), source })?;
        let shared = Arc::new(Shared::default());
        let (requests, receiver) = mpsc::channel();
        let writer = Writer::new(raw, path.clone(), settings.clone(), receiver, shared.clone());
        let writer = thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Thread { path: path.clone(), source })?;
        Ok(Arc::new(Self {
            queue: Queue { requests, shared },
            readers: Arc::new(Readers::new(path.clone(), settings)),
            statements: Arc::default(),
            path,
            writer: Some(writer),
            _temporary: temporary,
        }))
    }

    /// A new handle for a guest. Cheap: it shares the database's connections.
    pub fn connect(self: &Arc<Self>) -> Connection {
        Connection { database: self.clone(), session: Arc::new(Session::new()), controls: AtomicBool::new(false) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes that were not answered yet.
    pub fn queue_length(&self) -> usize {
        self.queue.length()
    }

    /// Groups of writes that were committed since the database was opened.
    pub fn commits(&self) -> u64 {
        self.queue.shared.commits.load(Ordering::Relaxed)
    }

    /// Finishes what is queued, writes the log back into the file unless others go on with it, and takes nothing more.
    pub async fn close(&self, others: Others) -> Result<(), Error> {
        self.readers.close();
        self.queue.close(others).await
    }

    /// Runs writes of the host's own as one unit; they may run twice, so they must not have effects elsewhere.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        mut work: impl FnMut(&rusqlite::Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.queue.write(bytes, Waits::Call, move |raw| work(&raw.connection)).await
    }

    /// Runs a read of the host's own: here if it is short, else on a reader thread, where it starts again.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&rusqlite::Connection) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let run = move |raw: &Raw| read(&raw.connection).map_err(|error| raw.error(error));
        match self.readers.try_inline(&run) {
            Some(done) => done,
            None => self.readers.run(run).await,
        }
    }

    /// Lets the writer stand still between two transactions while `work` runs.
    pub(super) async fn pause<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        self.queue.outside(|_| Ok(work())).await
    }
}

impl Drop for Database {
    /// As `close`, but waits on this thread: whoever opens the file next finds it at rest.
    fn drop(&mut self) {
        self.readers.close();
        let (closed, _) = oneshot::channel();
        // It may be closed already.
        let _ = self.queue.requests.send(Request::Close(Others::None, closed));
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != thread::current().id()
        {
            // It caught its panics itself.
            let _ = writer.join();
        }
    }
}

/// One guest handle: its transaction and its counters. Dropping it rolls an open transaction back.
#[derive(Debug)]
pub struct Connection {
    database: Arc<Database>,
    session: Arc<Session>,
    /// Whether the writer may know of a transaction of this handle.
    controls: AtomicBool,
}

impl Connection {
    /// Runs one statement. Short reads are answered before this first yields.
    pub async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        self.execute_for(Waits::Call, sql, params).await
    }

    /// As [`Self::execute`], for a guest whose whole instance stands still until the answer. It is never kept waiting for
    /// the end of a transaction that began later, which may be of the same instance.
    pub async fn execute_at_standstill(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        self.execute_for(Waits::Instance, sql, params).await
    }

    async fn execute_for(&self, waits: Waits, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        if let Some(result) = self.try_execute_inline(sql, &params) {
            return result;
        }
        let action = match (Kind::of(sql), self.session.transaction()) {
            (Kind::Begin { immediate }, TransactionState::None | TransactionState::Lost) => {
                if !immediate {
                    // It holds the writer from its first statement on, as in SQLite.
                    self.session.set_transaction(TransactionState::Begun);
                    return Ok(QueryResult::empty());
                }
                self.session.set_transaction(TransactionState::None);
                Action::Begin
            }
            (Kind::Begin { .. }, _) => return Err(Error::NestedTransaction),
            (Kind::Commit | Kind::Rollback, TransactionState::None) => return Err(Error::NoTransaction),
            (Kind::Commit | Kind::Rollback, TransactionState::Begun) | (Kind::Rollback, TransactionState::Lost) => {
                self.session.set_transaction(TransactionState::None);
                return Ok(QueryResult::empty());
            }
            (Kind::Commit, TransactionState::Lost) => {
                self.session.set_transaction(TransactionState::None);
                return Err(Error::TransactionLost);
            }
            (_, TransactionState::Lost) => return Err(Error::TransactionLost),
            (Kind::Commit, TransactionState::Opening | TransactionState::Open) => Action::Commit,
            (Kind::Rollback, TransactionState::Opening | TransactionState::Open) => Action::Rollback,
            (Kind::Savepoint(name), _) => Action::Savepoint(name),
            (Kind::Release(name), _) => Action::Release(name),
            (Kind::RollbackTo(name), _) => Action::RollbackTo(name),
            (Kind::Empty, _) => return Err(Error::Sql("there is no statement to run".into())),
            (Kind::Vacuum, TransactionState::None) => {
                self.database.queue.outside(Raw::vacuum).await?;
                return Ok(QueryResult::empty());
            }
            (Kind::Plain | Kind::Change | Kind::Pragma, TransactionState::None) => {
                return self.execute_alone(waits, sql, params).await;
            }
            (Kind::Plain | Kind::Change | Kind::Pragma | Kind::Vacuum, _) => {
                Action::Run { sql: sql.to_owned(), params: params.into() }
            }
        };
        let before = self.session.transaction();
        let opens = before == TransactionState::Begun || (before == TransactionState::None && action.opens());
        if opens {
            self.controls.store(true, Ordering::Relaxed);
            self.session.set_transaction(TransactionState::Opening);
        }
        let bytes = match &action {
            Action::Run { sql, params } => statement_bytes(sql, params),
            _ => sql.len(),
        };
        let done = self.database.queue.step(&self.session, bytes, waits, action).await;
        if opens && matches!(done, Err(Error::QueueFull | Error::Closed)) {
            self.session.set_transaction(before);
        }
        let (columns, rows) = done?;
        Ok(QueryResult::complete(columns, rows))
    }

    /// Runs a statement here and now, without blocking, if it only reads, is outside of a transaction, and is short.
    pub fn try_execute_inline(&self, sql: &str, params: &[Value]) -> Option<Result<QueryResult, Error>> {
        if self.session.transaction() != TransactionState::None {
            return None;
        }
        self.database.readers.try_execute(&self.database.statements, &self.session, sql, params)
    }

    /// Whether no transaction over several calls is open.
    pub fn is_autocommit(&self) -> bool {
        matches!(self.session.transaction(), TransactionState::None | TransactionState::Lost)
    }

    /// Row id of this handle's last successful INSERT, 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        self.session.last_insert_rowid.load(Ordering::Relaxed)
    }

    /// Rows changed by this handle's last INSERT, UPDATE or DELETE.
    pub fn changes(&self) -> u64 {
        self.session.changes.load(Ordering::Relaxed)
    }

    async fn execute_alone(&self, waits: Waits, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        let Database { queue, readers, statements, .. } = &*self.database;
        let params: Arc<[Value]> = params.into();
        if statements.get(sql).is_none_or(|statement| statement.reads) {
            let read = readers.execute(statements.clone(), self.session.clone(), sql.to_owned(), params.clone());
            if let Some(result) = read.await? {
                return Ok(result);
            }
        }
        let (session, text) = (self.session.clone(), sql.to_owned());
        let (columns, rows) =
            queue.write(statement_bytes(sql, &params), waits, move |raw| raw.run(&session, &text, &params)).await?;
        Ok(QueryResult::complete(columns, rows))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.controls.load(Ordering::Relaxed) {
            // A writer that is gone took the transaction with it.
            let _ = self.database.queue.requests.send(Request::Abandon(self.session.clone()));
        }
    }
}

fn statement_bytes(sql: &str, params: &[Value]) -> usize {
    sql.len() + params.iter().map(Value::bytes).sum::<usize>()
}
