//! Orders that have yet to hear what happened to their parcel: written down with what happened, gone when they know.

use commerce::Id;
use service::Error;
use service::column::{id, name};
use sql::{Database, Row, Transaction};

use crate::news::{LEASE_MS, News};

const COLUMNS: &str = "order_id, seq, attempts, since_ms";

/// Writes down that an order is to be told, and leaves the telling to the caller.
pub(crate) async fn put(transaction: &Transaction, order: Id, now_ms: i64) -> Result<Option<News>, Error> {
    let put = format!(
        "INSERT INTO news (order_id, due_at_ms, since_ms) VALUES (?1, ?2, ?3) ON CONFLICT (order_id)
        DO UPDATE SET seq = seq + 1, attempts = 1, due_at_ms = excluded.due_at_ms, since_ms = excluded.since_ms
        RETURNING {COLUMNS}"
    );
    let params = [id(order), (now_ms + LEASE_MS).into(), now_ms.into()];
    transaction.execute(&put, &params).await?.pop().map(read).transpose()
}

/// Whether anybody is to be told now.
pub(crate) fn is_any_due(database: &Database, now_ms: i64) -> Result<bool, Error> {
    Ok(!database.read("SELECT 1 FROM news WHERE due_at_ms <= ?1 LIMIT 1", &[now_ms.into()])?.is_empty())
}

/// Takes up what has been due for longest.
pub(crate) async fn claim(database: &Database, now_ms: i64) -> Result<Option<News>, Error> {
    let claim = format!(
        "UPDATE news SET due_at_ms = ?2, attempts = attempts + 1
        WHERE order_id = (SELECT order_id FROM news WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT 1)
        RETURNING {COLUMNS}"
    );
    database.execute(&claim, &[now_ms.into(), (now_ms + LEASE_MS).into()]).await?.pop().map(read).transpose()
}

/// The order knows, unless more has happened meanwhile.
pub(crate) async fn close(database: &Database, news: &News) -> Result<(), Error> {
    const CLOSE: &str = "DELETE FROM news WHERE order_id = ?1 AND seq = ?2";
    database.execute(CLOSE, &[id(news.order), news.seq.into()]).await?;
    Ok(())
}

/// The order is told again at this time, unless more has happened meanwhile.
pub(crate) async fn postpone(database: &Database, news: &News, due_at_ms: i64) -> Result<(), Error> {
    const POSTPONE: &str = "UPDATE news SET due_at_ms = ?3 WHERE order_id = ?1 AND seq = ?2";
    database.execute(POSTPONE, &[id(news.order), news.seq.into(), due_at_ms.into()]).await?;
    Ok(())
}

fn read(mut row: Row) -> Result<News, Error> {
    Ok(News { order: name(&mut row, 0)?, seq: row.take(1)?, attempts: row.take(2)?, since_ms: row.take(3)? })
}
