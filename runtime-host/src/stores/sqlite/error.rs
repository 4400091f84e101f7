//! Why a call to a database failed.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::{RESULT_BYTES_MAX, WRITE_QUEUE_MAX};

/// A statement, or a unit of writes, failed; nothing of it is in the database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The database reached its size limit, or its disk is full.
    #[error("the database or its disk is full")]
    Full,
    /// SQLite refused the statement; the text is SQLite's.
    #[error("{0}")]
    Sql(String),
    /// The host does not let guests do this.
    #[error("not allowed: {0}")]
    Denied(String),
    /// Another number of parameters than the statement has.
    #[error("the statement takes {expected} parameters, {given} were given")]
    ParameterCount {
        /// Parameters of the statement.
        expected: usize,
        /// Parameters of the call.
        given: usize,
    },
    /// The result does not fit the bound on results that are held in memory.
    #[error("the result is larger than {RESULT_BYTES_MAX} bytes")]
    ResultTooLarge,
    /// The rows of a streamed result were not taken in time, or its reader failed.
    #[error("the result ended early: its rows were not read in time, or its reader failed")]
    ResultEnded,
    /// The statement ran too long and was stopped.
    #[error("the statement was stopped after {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// Another process holds the file.
    #[error("the database is locked by another process")]
    Locked,
    /// The writer's queue is full.
    #[error("{WRITE_QUEUE_MAX} writes or too many bytes of them wait for this database; try again later")]
    QueueFull,
    /// COMMIT or ROLLBACK without a transaction.
    #[error("no transaction is active")]
    NoTransaction,
    /// BEGIN inside a transaction.
    #[error("cannot start a transaction within a transaction")]
    NestedTransaction,
    /// The transaction of this connection ended before its COMMIT.
    #[error(
        "the transaction was rolled back: it was open for too long, or the database failed during it; ROLLBACK or BEGIN to go on"
    )]
    TransactionLost,
    /// The writer thread failed while it worked on this.
    #[error("the database's writer failed; the write was rolled back")]
    WriterFailed,
    /// The server that keeps the database cannot be reached, or answered what makes no sense.
    #[error("the database's server: {0}")]
    Remote(String),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            _ => Self::Sql(error.to_string()),
        }
    }
}

/// A database file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file, or the folder that it is in, is missing and could not be made.
    #[error("{path} cannot be made")]
    Folder {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// SQLite could not open the file or set it up.
    #[error("{path} cannot be opened as a SQLite database")]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer thread could not be started.
    #[error("the writer thread of {path} cannot be started")]
    Thread {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
