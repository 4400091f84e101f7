//! A SQL database, whoever keeps it: guests see no difference.

use std::sync::Arc;

use super::sqlite::{Error, QueryResult, Value};
use super::{libsql, sqlite};

/// A database, shared by all handles on it.
#[derive(Debug, Clone)]
pub enum Database {
    /// The host itself keeps it, in a file.
    File(Arc<sqlite::Database>),
    /// A server keeps it.
    Remote(Arc<libsql::Database>),
}

impl Database {
    /// A new handle for a guest. Cheap: nothing is opened or sent.
    pub fn connect(&self) -> Connection {
        match self {
            Self::File(database) => Connection::File(database.connect()),
            Self::Remote(database) => Connection::Remote(database.connect()),
        }
    }
}

/// One guest handle. Dropping it rolls an open transaction back.
#[derive(Debug)]
pub enum Connection {
    /// On a database of the host's own.
    File(sqlite::Connection),
    /// On a server's.
    Remote(libsql::Connection),
}

impl Connection {
    /// Runs one statement.
    pub async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        match self {
            Self::File(connection) => connection.execute(sql, params).await,
            Self::Remote(connection) => connection.execute(sql, params).await,
        }
    }

    /// As [`Self::execute`], for a guest whose whole instance stands still until the answer. It is never kept waiting for
    /// the end of a transaction that began later, which may be of the same instance.
    pub async fn execute_at_standstill(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        match self {
            Self::File(connection) => connection.execute_at_standstill(sql, params).await,
            Self::Remote(connection) => connection.execute_at_standstill(sql, params).await,
        }
    }

    /// Row id of this handle's last successful INSERT, 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        match self {
            Self::File(connection) => connection.last_insert_rowid(),
            Self::Remote(connection) => connection.last_insert_rowid(),
        }
    }

    /// Rows changed by this handle's last INSERT, UPDATE or DELETE.
    pub fn changes(&self) -> u64 {
        match self {
            Self::File(connection) => connection.changes(),
            Self::Remote(connection) => connection.changes(),
        }
    }
}
