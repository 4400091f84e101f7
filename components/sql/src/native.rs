//! Outside WebAssembly: SQLite in process, with the errors that a host would give.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::ValueRef;
use spin_sdk::sqlite::{Error as HostError, Value};

use crate::{Error, Row};

/// How long a statement waits for another connection's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Connection(Mutex<rusqlite::Connection>);

impl Connection {
    pub(crate) fn open(path: &str) -> Result<Self, Error> {
        let open = || {
            let connection = rusqlite::Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            Ok(Self(Mutex::new(connection)))
        };
        open().map_err(|error| Error::Open { label: path.to_owned(), source: host_error(error) })
    }

    #[expect(clippy::unused_async, reason = "the host's counterpart waits")]
    pub(crate) async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        self.execute_now(sql, &params)
    }

    pub(crate) fn execute_now(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        // A panic elsewhere leaves the connection itself usable.
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run(&connection, sql, params).map_err(|error| Error::statement(sql, host_error(error)))
    }
}

fn run(connection: &rusqlite::Connection, sql: &str, params: &[Value]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(to_sqlite)))?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..columns).map(|column| row.get_ref(column).map(from_sqlite));
        answer.push(Row::new(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(answer)
}

fn host_error(error: rusqlite::Error) -> HostError {
    HostError::Io(error.to_string())
}

fn to_sqlite(value: &Value) -> rusqlite::types::Value {
    match value {
        Value::Integer(integer) => (*integer).into(),
        Value::Real(real) => (*real).into(),
        Value::Text(text) => text.clone().into(),
        Value::Blob(bytes) => bytes.clone().into(),
        Value::Null => rusqlite::types::Value::Null,
    }
}

fn from_sqlite(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Integer(integer) => Value::Integer(integer),
        ValueRef::Real(real) => Value::Real(real),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        ValueRef::Null => Value::Null,
    }
}
