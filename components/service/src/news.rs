//! Telling orders that something happened to one of them. That an order is to be told is written down with what happened;
//! it is told at once, and again until it knows. It asks what happened by itself, so it may be told of one thing twice, or of
//! two at once.

use commerce::{Id, unix_ms};
use serde_json::json;
use sql::{Database, Row, Transaction};

use crate::column::{id, name};
use crate::{Error, Peer, Retry, figures};

/// The table of what is to be told, as one of a service's migrations.
pub const SCHEMA: &str = include_str!("news.sql");
/// How long who tells an order has for it, in milliseconds; longer than any call takes.
pub const LEASE_MS: i64 = 30_000;
/// How long after a failure an order is told again.
const RETRY: Retry = Retry { first_ms: 1_000, max_ms: 5 * 60 * 1_000 };
/// For how long an order is told that does not hear, in milliseconds.
const TOLD_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Orders that one sweep tells at most.
const SWEEP_MAX: u32 = 200;
/// A sweep takes up nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;

/// Orders that wait which are counted at most.
const COUNTED_MAX: u32 = 1_000;
/// The counter of orders that are told no more.
const DROPPED: &str = "news_dropped_total";

const COLUMNS: &str = "order_id, seq, attempts, since_ms";

/// That an order is to be told.
#[derive(Clone, Debug)]
pub struct News {
    order: Id,
    /// Tells it from what happens while the order is told.
    seq: i64,
    /// How often it was told, this time included.
    attempts: u32,
    /// When it happened.
    since_ms: i64,
}

impl News {
    /// The order.
    pub fn order(&self) -> Id {
        self.order
    }
}

/// Writes down that an order is to be told, and leaves the telling to the caller, who calls [`Listener::tell`] after the
/// commit.
pub async fn put(transaction: &Transaction, order: Id, now_ms: i64) -> Result<News, Error> {
    let put = format!(
        "INSERT INTO news (order_id, due_at_ms, since_ms) VALUES (?1, ?2, ?3) ON CONFLICT (order_id)
        DO UPDATE SET seq = seq + 1, attempts = 1, due_at_ms = excluded.due_at_ms, since_ms = excluded.since_ms
        RETURNING {COLUMNS}"
    );
    let params = [id(order), (now_ms + LEASE_MS).into(), now_ms.into()];
    let put = transaction.execute(&put, &params).await?.pop();
    read(put.ok_or(sql::Error::Column { column: 0, expected: "the row that was put" })?)
}

/// Orders, and where they are told.
#[derive(Clone)]
pub struct Listener {
    peer: Peer,
    path: &'static str,
}

impl Listener {
    /// Orders at `peer`, who are told by a post to `path`.
    pub fn new(peer: Peer, path: &'static str) -> Self {
        Self { peer, path }
    }

    /// Tells an order, and whether it heard. Trouble with that is for the log: the news are there until they are heard.
    pub async fn tell(&self, database: &Database, news: &News) -> bool {
        match self.attempt(database, news).await {
            Ok(heard) => heard,
            Err(error) => {
                eprintln!("what the order {} heard is not written down: {error}", news.order);
                false
            }
        }
    }

    async fn attempt(&self, database: &Database, news: &News) -> Result<bool, Error> {
        let told = self.peer.post(self.path, &json!({"order_id": news.order})).await;
        let reason = match told {
            Ok(reply) if reply.status.is_success() => {
                close(database, news).await?;
                return Ok(true);
            }
            Ok(reply) => reply.unexpected(),
            Err(error) => error,
        };
        let now_ms = unix_ms();
        match now_ms - news.since_ms < TOLD_FOR_MS {
            true => {
                eprintln!(
                    "the order {} did not hear at {}, attempt {}: {reason}",
                    news.order, self.path, news.attempts
                );
                postpone(database, news, RETRY.at_ms(news.attempts, now_ms)).await?;
            }
            false => {
                eprintln!("the order {} is told no more at {}: {reason}", news.order, self.path);
                close(database, news).await?;
                figures::count(DROPPED, 1);
            }
        }
        Ok(false)
    }

    /// Tells the orders that have yet to hear, and how many heard. One that does not hear ends the sweep: the others would
    /// not either.
    pub async fn sweep(&self, database: &Database) -> Result<u32, Error> {
        let (mut told, until_ms) = (0, unix_ms() + SWEEP_MS_MAX);
        // Most sweeps find nothing, and need not write to find that.
        while told < SWEEP_MAX && unix_ms() < until_ms && is_any_due(database, unix_ms())? {
            let Some(news) = claim(database, unix_ms()).await? else { break };
            if !self.tell(database, &news).await {
                break;
            }
            told += 1;
        }
        Ok(told)
    }
}

/// Says how many orders have yet to hear, and for how many seconds the first of them has waited. It is for the answer to a
/// sweep.
pub fn say_what_waits(database: &Database, now_ms: i64) -> Result<(), Error> {
    const COUNT: &str = "
        SELECT count(*), max(0, ?1 - ifnull(min(since_ms), ?1)) / 1000 FROM (SELECT since_ms FROM news LIMIT ?2)";
    if let Some(mut row) = database.read(COUNT, &[now_ms.into(), COUNTED_MAX.into()])?.pop() {
        figures::level("news_waiting", u64::from(row.take::<u32>(0)?));
        figures::level("news_oldest_seconds", u64::from(row.take::<u32>(1)?));
    }
    figures::expect([DROPPED]);
    Ok(())
}

/// Whether anybody is to be told now.
fn is_any_due(database: &Database, now_ms: i64) -> Result<bool, Error> {
    Ok(!database.read("SELECT 1 FROM news WHERE due_at_ms <= ?1 LIMIT 1", &[now_ms.into()])?.is_empty())
}

/// Takes up what has been due for longest.
async fn claim(database: &Database, now_ms: i64) -> Result<Option<News>, Error> {
    let claim = format!(
        "UPDATE news SET due_at_ms = ?2, attempts = attempts + 1
        WHERE order_id = (SELECT order_id FROM news WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT 1)
        RETURNING {COLUMNS}"
    );
    database.execute(&claim, &[now_ms.into(), (now_ms + LEASE_MS).into()]).await?.pop().map(read).transpose()
}

/// The order knows, unless more has happened meanwhile.
async fn close(database: &Database, news: &News) -> Result<(), Error> {
    const CLOSE: &str = "DELETE FROM news WHERE order_id = ?1 AND seq = ?2";
    database.execute(CLOSE, &[id(news.order), news.seq.into()]).await?;
    Ok(())
}

/// The order is told again at this time, unless more has happened meanwhile.
async fn postpone(database: &Database, news: &News, due_at_ms: i64) -> Result<(), Error> {
    const POSTPONE: &str = "UPDATE news SET due_at_ms = ?3 WHERE order_id = ?1 AND seq = ?2";
    database.execute(POSTPONE, &[id(news.order), news.seq.into(), due_at_ms.into()]).await?;
    Ok(())
}

fn read(mut row: Row) -> Result<News, Error> {
    Ok(News { order: name(&mut row, 0)?, seq: row.take(1)?, attempts: row.take(2)?, since_ms: row.take(3)? })
}
