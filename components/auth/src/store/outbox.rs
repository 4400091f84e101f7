//! Events, written with the change that they tell of.

use commerce::{Id, rfc3339};
use serde::Serialize;
use serde_json::Value;
use service::Error;
use sql::{Database, Row, Transaction};

/// How long an event without a token of its own is kept, in milliseconds.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// An event about an account.
#[derive(Debug)]
pub(crate) struct Event {
    kind: &'static str,
    subject: String,
    data: Value,
    kept_until_ms: Option<i64>,
}

/// An event as it is handed on.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    seq: i64,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    data: Value,
}

impl Event {
    /// An event of this type about the account `subject`.
    pub(crate) fn new(kind: &'static str, subject: &str, data: Value) -> Self {
        Self { kind, subject: subject.to_owned(), data, kept_until_ms: None }
    }

    /// Has the event go when the token that it holds is no longer good.
    #[must_use]
    pub(crate) fn kept_until_ms(self, until_ms: i64) -> Self {
        Self { kept_until_ms: Some(until_ms), ..self }
    }
}

/// Writes an event.
pub(crate) async fn add(transaction: &Transaction, event: Event, now_ms: i64) -> Result<(), Error> {
    const ADD: &str = "
        INSERT INTO outbox (id, type, subject, time_ms, data, kept_until_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let params = [
        Id::new().to_string().into(),
        event.kind.into(),
        event.subject.into(),
        now_ms.into(),
        event.data.to_string().into(),
        event.kept_until_ms.unwrap_or(now_ms + KEPT_MS).into(),
    ];
    transaction.execute(ADD, &params).await?;
    Ok(())
}

/// The events after a place in the order, the earliest first.
pub(crate) async fn after(database: &Database, seq: i64, limit: u32, now_ms: i64) -> Result<Vec<Entry>, Error> {
    const AFTER: &str = "
        SELECT seq, id, type, subject, time_ms, data FROM outbox
        WHERE seq > ?1 AND kept_until_ms > ?3 ORDER BY seq LIMIT ?2";
    let entry = |mut row: Row| {
        Ok(Entry {
            seq: row.take(0)?,
            id: row.take(1)?,
            kind: row.take(2)?,
            subject: row.take(3)?,
            time: rfc3339(row.take(4)?),
            data: serde_json::from_str(&row.take::<String>(5)?)?,
        })
    };
    let rows = database.execute(AFTER, &[seq.into(), limit.into(), now_ms.into()]).await?;
    rows.into_iter().map(entry).collect()
}
