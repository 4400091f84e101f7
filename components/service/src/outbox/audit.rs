//! Whether an outbox agrees with what its service wrote down: each change that others are told of has its event, and each
//! event tells of such a change. Both are written in one transaction, so this holds at any moment.

use serde::{Deserialize, Serialize};
use sql::{Database, Row, Transaction};

use crate::Error;
use crate::request::{Pairs, unknown};

/// What an audit needs beside the table that keeps its events, as a later migration.
pub const AUDIT_SCHEMA: &str = include_str!("../outbox_audit.sql");

/// Breaches that one audit names at most.
pub const BREACHES_MAX: u32 = 50;

/// After all texts that name a subject.
const END: &str = "\u{10ffff}";

/// The subjects that an audit looks at, in their order.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// Those after this one.
    pub after: Option<String>,
    /// Up to this one.
    pub through: Option<String>,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// How many breaches there are.
    pub total: u64,
    /// The first of them.
    pub breaches: Vec<Breach>,
}

/// A change without its event, or an event without its change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Breach {
    /// Which of the two.
    pub kind: Kind,
    /// What it is about.
    pub subject: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub event: String,
    /// When it happened.
    pub time: String,
}

/// Which half is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A change has no event.
    EventMissing,
    /// An event tells of no change that was written down.
    EventWithoutChange,
}

impl Range {
    /// `after=&through=` of a request.
    pub fn parse(Pairs(pairs): Pairs) -> Result<Self, Error> {
        let mut range = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "after" => range.after = Some(value),
                "through" => range.through = Some(value),
                _ => return Err(unknown(&name)),
            }
        }
        Ok(range)
    }
}

/// Holds the events about these subjects against the changes that the service tells of.
///
/// `changes` is a SELECT of `event_id`, `subject`, `type` and `at_ms`, one row per change, for the subjects after `?1` and up
/// to `?2`. Where an `event_id` is NULL, as a revision from before there was one leaves it, the event is known by its time.
pub async fn audit(database: &Database, changes: &str, range: &Range) -> Result<Audit, Error> {
    const TELLS: &str = "
        change.subject = outbox.subject AND change.type = outbox.type
        AND (change.event_id = outbox.id OR change.event_id IS NULL AND change.time = outbox.time)";
    let breaches = format!(
        "WITH change AS MATERIALIZED (
            SELECT event_id, subject, type, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS time
            FROM ({changes})
        )
        SELECT kind, subject, type, time, count(*) OVER () FROM (
            SELECT 'event-missing' AS kind, subject, type, time FROM change
            WHERE time > ifnull((SELECT through FROM outbox_pruned), '')
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE {TELLS})
            UNION ALL
            SELECT 'event-without-change', subject, type, time FROM outbox
            WHERE subject > ?1 AND subject <= ?2 AND NOT EXISTS (SELECT 1 FROM change WHERE {TELLS})
        ) ORDER BY subject, time, type, kind LIMIT ?3"
    );
    let bound = |bound: &Option<String>, open: &str| bound.as_deref().unwrap_or(open).into();
    let params = [bound(&range.after, ""), bound(&range.through, END), BREACHES_MAX.into()];
    let mut audit = Audit::default();
    for mut row in database.execute(&breaches, &params).await? {
        audit.total = row.take::<i64>(4)?.unsigned_abs();
        audit.breaches.push(breach(row)?);
    }
    Ok(audit)
}

/// Removes the events up to this one, which all who follow them have read, and keeps until when there may be none.
pub async fn prune(transaction: &Transaction, through_seq: i64) -> Result<(), Error> {
    const KEEP: &str = "
        INSERT INTO outbox_pruned (only, through) SELECT 1, max(time) FROM outbox WHERE seq <= ?1 HAVING count(*) > 0
        ON CONFLICT DO UPDATE SET through = max(through, excluded.through)";
    transaction.execute(KEEP, &[through_seq.into()]).await?;
    transaction.execute("DELETE FROM outbox WHERE seq <= ?1", &[through_seq.into()]).await?;
    Ok(())
}

fn breach(mut row: Row) -> Result<Breach, Error> {
    let kind = match row.take::<String>(0)?.as_str() {
        "event-missing" => Kind::EventMissing,
        _ => Kind::EventWithoutChange,
    };
    Ok(Breach { kind, subject: row.take(1)?, event: row.take(2)?, time: row.take(3)? })
}
