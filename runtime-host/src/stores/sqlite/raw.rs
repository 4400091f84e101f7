//! One SQLite connection as the host opens it: bounded, guarded, with its own statements kept prepared.

use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::{ErrorCode, OpenFlags, ffi};

use super::context::Context;
use super::result::{Row, Value, row_bytes};
use super::session::Session;
use super::statement::{KEPT_SQL_BYTES_MAX, Kind, column_names};
use super::{Durability, Error, RESULT_BYTES_MAX, Settings, guard};

/// Steps of SQLite's virtual machine between two looks at the clock.
const CLOCK_STEPS: c_int = 500;
/// Statements that one connection keeps prepared.
const PREPARED_MAX: usize = 128;
/// Page cache of one connection, in KiB.
const CACHE_KIB: i32 = 8 << 10;
/// Size to which the write-ahead log is cut back when it starts anew, in bytes.
const WAL_KEPT_BYTES: i64 = 16 << 20;
/// How long a reader that may block waits for another process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the writer looks whether another process has done with the file. SQLite's own pauses grow to 100 ms, and one who commits
/// group after group leaves gaps of microseconds: with these, both get their turn.
const WRITER_BUSY_PERIOD: Duration = Duration::from_micros(500);
/// How often it does before it gives up: some 10 s, twice as long as a transaction may take by default.
const WRITER_BUSY_LOOKS_MAX: c_int = 20_000;
/// For the host's own statements: more years than a host lives, and few enough to add to now.
const UNLIMITED: Duration = Duration::from_secs(u32::MAX as u64);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The one writer of the file.
    Writer,
    /// A reader on a thread that may block.
    Reader,
    /// A reader on a thread that must not block.
    InlineReader,
}

/// A connection and what its hooks know.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) connection: rusqlite::Connection,
    pub(super) context: Arc<Context>,
}

/// Columns and rows of a statement that ran to its end.
pub(super) type Output = (Arc<[String]>, Vec<Row>);

impl Raw {
    pub(super) fn open(path: &Path, settings: &Settings, role: Role) -> rusqlite::Result<Self> {
        let access = match role {
            Role::Writer => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Role::Reader | Role::InlineReader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        let mut connection = rusqlite::Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        let context = Arc::new(Context::new());
        match role {
            Role::Writer => connection.busy_handler(Some(wait_for_other_writer))?,
            Role::Reader => connection.busy_timeout(BUSY_TIMEOUT)?,
            Role::InlineReader => connection.busy_timeout(Duration::ZERO)?,
        }
        connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
        // Otherwise a kept statement is prepared again whenever a parameter that its plan could depend on changes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        if role == Role::Writer {
            set_up_writer(&mut connection, settings, &context)?;
        }
        let clock = context.clone();
        connection.progress_handler(CLOCK_STEPS, Some(move || clock.must_stop()))?;
        add_session_functions(&connection, &context, role)?;
        guard::install(&mut connection, context.clone())?;
        context.set_host(false);
        Ok(Self { connection, context })
    }

    /// Runs a statement of the host's own, past the guard and the clock.
    pub(super) fn control(&self, sql: &str) -> Result<(), Error> {
        self.context.set_host(true);
        self.context.start(UNLIMITED, None);
        let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.raw_execute());
        self.context.set_host(false);
        done.map(drop).map_err(Error::from)
    }

    /// Undoes `PRAGMA defer_foreign_keys`, which SQLite itself undoes only at the end of the outermost transaction.
    pub(super) fn stop_deferring_keys(&self) -> Result<(), Error> {
        self.context.set_host(true);
        // It acts when it is prepared, so a kept statement would not do.
        let done = self.connection.execute_batch("PRAGMA defer_foreign_keys = OFF");
        self.context.set_host(false);
        Ok(done?)
    }

    /// Rewrites the file without its free pages.
    pub(super) fn vacuum(&self) -> Result<(), Error> {
        self.connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)?;
        let done = self.control("VACUUM");
        self.connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        done
    }

    /// Prepares `sql`, or takes it from the kept ones, binds `params` and hands it to `run`.
    pub(super) fn with_statement<T>(
        &self,
        sql: &str,
        params: &[Value],
        run: impl FnOnce(&mut rusqlite::Statement<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // A PRAGMA may act when it is prepared, so it has to be prepared each time.
        if sql.len() <= KEPT_SQL_BYTES_MAX && Kind::of(sql) != Kind::Pragma {
            let mut statement = self.connection.prepare_cached(sql).map_err(|error| self.error(error))?;
            bind(&mut statement, params).and_then(|()| run(&mut statement))
        } else {
            let mut statement = self.connection.prepare(sql).map_err(|error| self.error(error))?;
            bind(&mut statement, params).and_then(|()| run(&mut statement))
        }
    }

    /// All rows of a bound statement, when they take at most `bytes_max`.
    pub(super) fn rows(&self, statement: &mut rusqlite::Statement<'_>, bytes_max: usize) -> Result<Vec<Row>, Error> {
        let mut rows = statement.raw_query();
        let mut output = Vec::new();
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(|error| self.error(error))? {
            let row = read_row(row)?;
            bytes += row_bytes(&row);
            if bytes > bytes_max {
                return Err(Error::ResultTooLarge);
            }
            output.push(row);
        }
        self.context.rows_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(output)
    }

    /// Runs a statement of `session` on the writer and holds its rows in memory.
    pub(super) fn run(&self, session: &Session, sql: &str, params: &[Value]) -> Result<Output, Error> {
        self.context.serve(session);
        self.set_last_insert_rowid(session.last_insert_rowid.load(Ordering::Relaxed));
        let total_before = self.connection.total_changes();
        let (output, changes) = self.with_statement(sql, params, |statement| {
            let rows = self.rows(statement, RESULT_BYTES_MAX)?;
            Ok(((column_names(statement), rows), !statement.readonly()))
        })?;
        if changes && Kind::of(sql) == Kind::Change {
            session.changes.store(self.connection.changes(), Ordering::Relaxed);
            session.total_changes.fetch_add(self.connection.total_changes() - total_before, Ordering::Relaxed);
            session.last_insert_rowid.store(self.connection.last_insert_rowid(), Ordering::Relaxed);
        }
        Ok(output)
    }

    /// Puts what SQLite said into our words.
    pub(super) fn error(&self, error: rusqlite::Error) -> Error {
        if let Some(reason) = self.context.take_denied() {
            return Error::Denied(reason);
        }
        match error {
            // The rest of it repeats the statement, which the guest knows.
            rusqlite::Error::SqlInputError { msg, .. } => Error::Sql(msg),
            error if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                Error::Timeout(self.context.time_max())
            }
            error => error.into(),
        }
    }

    /// Whether a deferred foreign key is violated, which only the outermost COMMIT would find by itself.
    #[expect(unsafe_code, reason = "rusqlite has no call for it")]
    pub(super) fn violates_deferred_keys(&self) -> bool {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: the handle is open as long as `self`, and SQLite writes two integers.
        let code = unsafe {
            ffi::sqlite3_db_status(
                self.connection.handle(),
                ffi::SQLITE_DBSTATUS_DEFERRED_FKS,
                &raw mut current,
                &raw mut highest,
                0,
            )
        };
        debug_assert_eq!(code, ffi::SQLITE_OK, "the status code is a constant that SQLite knows");
        current != 0
    }

    #[expect(unsafe_code, reason = "rusqlite has no call for it")]
    fn set_last_insert_rowid(&self, rowid: i64) {
        // SAFETY: the handle is open as long as `self`, and the call stores one integer.
        unsafe { ffi::sqlite3_set_last_insert_rowid(self.connection.handle(), rowid) }
    }
}

/// Waits a moment; false once it has been asked too often.
fn wait_for_other_writer(looks: c_int) -> bool {
    let goes_on = looks < WRITER_BUSY_LOOKS_MAX;
    if goes_on {
        std::thread::sleep(WRITER_BUSY_PERIOD);
    }
    goes_on
}

fn set_up_writer(
    connection: &mut rusqlite::Connection,
    settings: &Settings,
    context: &Arc<Context>,
) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    let synchronous = match settings.durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_KEPT_BYTES, |_| Ok(()))?;
    if let Some(bytes) = settings.bytes_max {
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        // SQLite counts pages in 32 bits; 0 would ask instead of set.
        let pages = u32::try_from(bytes / u64::from(page_bytes)).unwrap_or(u32::MAX - 1).max(1);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    // In place of SQLite's own hook, which would run checkpoints inside of COMMIT while the guests wait.
    let context = context.clone();
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames: c_int| {
        context.wal_frames.store(usize::try_from(frames).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }))
}

/// Lets the SQL functions that speak of the connection speak of the guest's handle.
fn add_session_functions(
    connection: &rusqlite::Connection,
    context: &Arc<Context>,
    role: Role,
) -> rusqlite::Result<()> {
    let add = |name: &str, value: fn(&Context) -> i64| {
        let context = context.clone();
        connection.create_scalar_function(name, 0, FunctionFlags::SQLITE_UTF8, move |_| Ok(value(&context)))
    };
    add("changes", Context::changes)?;
    add("total_changes", Context::total_changes)?;
    if role != Role::Writer {
        // The writer sets SQLite's own, which also counts inside of triggers.
        add("last_insert_rowid", Context::last_insert_rowid)?;
    }
    Ok(())
}

fn bind(statement: &mut rusqlite::Statement<'_>, params: &[Value]) -> Result<(), Error> {
    let expected = statement.parameter_count();
    if expected != params.len() {
        return Err(Error::ParameterCount { expected, given: params.len() });
    }
    for (index, value) in params.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

/// Copies the row that a statement stands on.
pub(super) fn read_row(row: &rusqlite::Row<'_>) -> Result<Row, Error> {
    let count = row.as_ref().column_count();
    let mut values = Vec::with_capacity(count);
    for index in 0..count {
        values.push(row.get_ref(index)?.into());
    }
    Ok(values)
}
