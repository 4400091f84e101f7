//! In a component: the host's `spin:sqlite@3.1.0`.
//!
//! The bindings are used directly, because the SDK's own type offers no call without a stream and reads
//! streams one row per host call.

use spin_sdk::sqlite::{Value, wit::sqlite};
use spin_sdk::wit_bindgen::StreamResult;

use crate::{Error, Row};

/// Rows that one read of a result stream takes at most.
const ROWS_PER_READ: usize = 128;

#[derive(Debug)]
pub(crate) struct Connection(sqlite::Connection);

impl Connection {
    pub(crate) fn open(label: &str) -> Result<Self, Error> {
        let opened = sqlite::Connection::open(label);
        opened.map(Self).map_err(|source| Error::Open { label: label.to_owned(), source })
    }

    pub(crate) async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
        let failed = |source| Error::statement(sql, source);
        let (_, mut stream, result) = self.0.execute_async(sql.to_owned(), params).await.map_err(failed)?;
        let mut rows = Vec::new();
        loop {
            let (status, batch) = stream.read(Vec::with_capacity(ROWS_PER_READ)).await;
            rows.extend(batch.into_iter().map(|row| Row::new(row.values)));
            if !matches!(status, StreamResult::Complete(_)) {
                break;
            }
        }
        result.await.map_err(failed)?;
        Ok(rows)
    }

    pub(crate) fn execute_now(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let answer = self.0.execute(sql, params).map_err(|source| Error::statement(sql, source))?;
        Ok(answer.rows.into_iter().map(|row| Row::new(row.values)).collect())
    }
}
