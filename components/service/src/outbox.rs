//! The outbox: events for others, written in the transaction of the change that they tell of, and read in their order.
//!
//! A service has one of two tables: one that keeps its events, or one whose events have a time at which they go, for those
//! that hold secrets.

mod audit;

use commerce::{Id, Limit, rfc3339};
use serde::Serialize;
use serde_json::Value;
use sql::{Database, Row, Transaction};

use crate::request::{Pairs, page};
use crate::{Error, figures};

pub use audit::{AUDIT_SCHEMA, Audit, BREACHES_MAX, Breach, Kind, Range, audit, prune};

/// The table that keeps its events, as a part of one of a service's migrations.
pub const SCHEMA: &str = include_str!("outbox.sql");
/// The table whose events go.
pub const EXPIRING_SCHEMA: &str = include_str!("outbox_expiring.sql");

/// An event that nobody has read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    id: Id,
    kind: String,
    subject: String,
    at_ms: i64,
    data: Value,
}

/// An event as it is handed on.
#[derive(Debug, Serialize)]
pub struct Entry {
    seq: i64,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    subject: String,
    time: String,
    data: Value,
}

impl Event {
    /// An event of this kind, such as `bodega.order.paid`, about `subject`; `at_ms` is since the Unix epoch.
    pub fn new(kind: impl Into<String>, subject: impl ToString, at_ms: i64, data: Value) -> Self {
        Self { id: Id::new(), kind: kind.into(), subject: subject.to_string(), at_ms, data }
    }

    /// What it is known by.
    pub fn id(&self) -> Id {
        self.id
    }

    /// It is counted by its kind, once what it tells of is there.
    fn count(&self, transaction: &Transaction) {
        let counter = figures::counter_of(&self.kind);
        transaction.on_commit(move || figures::count(counter, 1));
    }

    /// Writes it down where events are kept.
    pub async fn put(self, transaction: &Transaction) -> Result<(), Error> {
        self.count(transaction);
        let row = [
            self.id.to_string().into(),
            self.kind.into(),
            self.subject.into(),
            rfc3339(self.at_ms).into(),
            self.data.to_string().into(),
        ];
        Ok(transaction.insert("INSERT INTO outbox (id, type, subject, time, data)", [row], "").await?)
    }

    /// Writes it down where events go, until this time.
    pub async fn put_until(self, transaction: &Transaction, kept_until_ms: i64) -> Result<(), Error> {
        const INSERT: &str = "INSERT INTO outbox (id, type, subject, time_ms, data, kept_until_ms)";
        self.count(transaction);
        let row = [
            self.id.to_string().into(),
            self.kind.into(),
            self.subject.into(),
            self.at_ms.into(),
            self.data.to_string().into(),
            kept_until_ms.into(),
        ];
        Ok(transaction.insert(INSERT, [row], "").await?)
    }
}

/// `after=&limit=` of a request for events: those after the one with this `seq`, and how many of them.
pub fn parse(pairs: Pairs) -> Result<(i64, Limit), Error> {
    let parse_seq = |text: String| text.parse().map_err(|_| "the seq of the last event that was read");
    let (after, limit) = page(pairs, parse_seq)?;
    Ok((after.unwrap_or_default(), limit))
}

/// The events after the one with this number, in their order, where events are kept.
pub async fn after(database: &Database, seq: i64, limit: Limit) -> Result<Vec<Entry>, Error> {
    const FIND: &str = "SELECT seq, id, type, subject, time, data FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let rows = database.execute(FIND, &[seq.into(), limit.get().into()]).await?;
    rows.into_iter().map(|mut row| entry(row.take(4)?, row)).collect()
}

/// The same where events go; those whose time is up are gone.
pub async fn unexpired_after(database: &Database, seq: i64, limit: Limit, now_ms: i64) -> Result<Vec<Entry>, Error> {
    const FIND: &str = "
        SELECT seq, id, type, subject, time_ms, data FROM outbox
        WHERE seq > ?1 AND kept_until_ms > ?3 ORDER BY seq LIMIT ?2";
    let rows = database.execute(FIND, &[seq.into(), limit.get().into(), now_ms.into()]).await?;
    rows.into_iter().map(|mut row| entry(rfc3339(row.take(4)?), row)).collect()
}

fn entry(time: String, mut row: Row) -> Result<Entry, Error> {
    Ok(Entry {
        seq: row.take(0)?,
        id: row.take(1)?,
        kind: row.take(2)?,
        subject: row.take(3)?,
        time,
        data: serde_json::from_str(&row.take::<String>(5)?)?,
    })
}
