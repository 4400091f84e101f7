//! Values, rows and the result of a statement, complete or streamed.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::mpsc;

use super::{Error, RESULT_BYTES_MAX};

/// A SQLite value, by storage class.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A signed 64-bit integer.
    Integer(i64),
    /// A 64-bit float.
    Real(f64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// NULL.
    Null,
}

/// One value per column.
pub type Row = Vec<Value>;

impl Value {
    /// Bytes that the value takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.len(),
                Self::Blob(blob) => blob.len(),
                Self::Integer(_) | Self::Real(_) | Self::Null => 0,
            }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value),
            // SQLite does not check encodings; a guest's string has to be UTF-8 whatever was stored.
            ValueRef::Text(text) => Self::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(blob) => Self::Blob(blob.to_vec()),
        }
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

/// What a statement returned. A small result is complete; the rest of a big one comes in batches as it is polled.
#[derive(Debug)]
pub struct QueryResult {
    /// Column names, in order; shared by all results of the statement.
    pub columns: Arc<[String]>,
    rows: Vec<Row>,
    more: Option<Rest>,
}

/// The part of a result that a reader thread still sends.
#[derive(Debug)]
pub(super) struct Rest {
    /// Batches, then `None` for a good end. A channel that closes before is a failure.
    pub(super) batches: mpsc::Receiver<Result<Option<Vec<Row>>, Error>>,
    pub(super) _cancel: CancelOnDrop,
}

/// Stops the statement when nobody waits for it any more.
#[derive(Debug, Default)]
pub(super) struct CancelOnDrop(pub(super) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl QueryResult {
    pub(in crate::stores) fn complete(columns: Arc<[String]>, rows: Vec<Row>) -> Self {
        Self { columns, rows, more: None }
    }

    pub(super) fn streamed(columns: Arc<[String]>, rows: Vec<Row>, rest: Rest) -> Self {
        Self { columns, rows, more: Some(rest) }
    }

    /// The result of a statement that returns nothing.
    pub(in crate::stores) fn empty() -> Self {
        Self::complete(Arc::default(), Vec::new())
    }

    /// Whether the statement has ended, so that its rows are all here and nothing can fail any more.
    pub fn has_ended(&self) -> bool {
        self.more.is_none()
    }

    /// Whether every row was handed out.
    pub fn is_complete(&self) -> bool {
        self.rows.is_empty() && self.more.is_none()
    }

    /// The next rows; `None` after the last, an error when the statement failed on the way.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Vec<Row>, Error>>> {
        if !self.rows.is_empty() {
            return Poll::Ready(Some(Ok(mem::take(&mut self.rows))));
        }
        let Some(rest) = &mut self.more else { return Poll::Ready(None) };
        let batch = match ready!(rest.batches.poll_recv(cx)) {
            Some(Ok(Some(rows))) => return Poll::Ready(Some(Ok(rows))),
            Some(Ok(None)) => None,
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(Error::ResultEnded)),
        };
        self.more = None;
        Poll::Ready(batch)
    }

    /// All columns and rows, when they take at most `RESULT_BYTES_MAX`.
    pub async fn collect(mut self) -> Result<(Arc<[String]>, Vec<Row>), Error> {
        let mut rows = mem::take(&mut self.rows);
        if self.more.is_some() {
            let mut bytes = rows_bytes(&rows);
            while let Some(batch) = std::future::poll_fn(|cx| self.poll_batch(cx)).await {
                let batch = batch?;
                bytes += rows_bytes(&batch);
                if bytes > RESULT_BYTES_MAX {
                    return Err(Error::ResultTooLarge);
                }
                rows.extend(batch);
            }
        }
        Ok((self.columns, rows))
    }
}

/// Bytes that a row takes in memory.
pub(in crate::stores) fn row_bytes(row: &Row) -> usize {
    size_of::<Row>() + row.iter().map(Value::bytes).sum::<usize>()
}

fn rows_bytes(rows: &[Row]) -> usize {
    rows.iter().map(row_bytes).sum()
}
