//! The books of the test provider. They share the file with the service and nothing else: every entry is a
//! transaction of its own, as it would be in an outside system.

use commerce::{Id, Limit};
use serde_json::{Value, json};
use service::Error;
use service::column::id;
use sql::{Database, Row};

use crate::intent::Intent;

/// A charge in the books.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) amount: i64,
    pub(crate) state: String,
    pub(crate) ready_at_ms: i64,
}

/// A refund in the books.
#[derive(Clone, Debug)]
pub(crate) struct RefundEntry {
    pub(crate) id: String,
    pub(crate) ready_at_ms: i64,
}

/// Counts that a key was shown, and tells how often it has been.
pub(crate) async fn count_request(database: &Database, key: Id) -> Result<u32, Error> {
    const COUNT: &str = "
        INSERT INTO test_provider_requests (key, requests) VALUES (?1, 1)
        ON CONFLICT DO UPDATE SET requests = requests + 1 RETURNING requests";
    Ok(database.execute(COUNT, &[id(key)]).await?.pop().map_or(Ok(0), |mut row| row.take(0))?)
}

/// Books a charge under its key, once, and gives what is booked.
pub(crate) async fn charge(
    database: &Database,
    key: Id,
    intent: &Intent,
    state: &str,
    ready_at_ms: i64,
) -> Result<Option<Entry>, Error> {
    const BOOK: &str = "
        INSERT INTO test_provider_charges (key, id, order_id, token, amount, currency, state, ready_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING";
    let params = [
        id(key),
        format!("ch_{}", Id::new()).into(),
        id(intent.order_id),
        intent.payment_method.as_str().into(),
        intent.amount.minor().into(),
        intent.amount.currency().code().into(),
        state.into(),
        ready_at_ms.into(),
    ];
    database.execute(BOOK, &params).await?;
    find(database, "key", &key.to_string()).await
}

/// The charge of this name.
pub(crate) async fn find_charge(database: &Database, charge: &str) -> Result<Option<Entry>, Error> {
    find(database, "id", charge).await
}

async fn find(database: &Database, column: &str, value: &str) -> Result<Option<Entry>, Error> {
    let find = format!("SELECT id, token, amount, state, ready_at_ms FROM test_provider_charges WHERE {column} = ?1");
    let entry = |mut row: Row| {
        Ok(Entry {
            id: row.take(0)?,
            token: row.take(1)?,
            amount: row.take(2)?,
            state: row.take(3)?,
            ready_at_ms: row.take(4)?,
        })
    };
    database.execute(&find, &[value.into()]).await?.pop().map(entry).transpose()
}

/// Moves a charge, if it stands in one of these states.
pub(crate) async fn move_charge(database: &Database, charge: &str, from: &[&str], to: &str) -> Result<(), Error> {
    const MOVE: &str = "
        UPDATE test_provider_charges SET state = ?3
        WHERE id = ?1 AND state IN (SELECT value FROM json_each(?2))";
    database.execute(MOVE, &[charge.into(), json!(from).to_string().into(), to.into()]).await?;
    Ok(())
}

/// Books a refund under its key, once, as far as the charge allows, and gives what is booked.
pub(crate) async fn refund(
    database: &Database,
    key: Id,
    charge: &str,
    amount: i64,
    ready_at_ms: i64,
) -> Result<Option<RefundEntry>, Error> {
    const BOOK: &str = "
        INSERT INTO test_provider_refunds (key, id, charge, amount, ready_at_ms)
        SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS (SELECT 1 FROM test_provider_refunds WHERE key = ?1)";
    const FIND: &str = "SELECT id, ready_at_ms FROM test_provider_refunds WHERE key = ?1";
    let params = [id(key), format!("re_{}", Id::new()).into(), charge.into(), amount.into(), ready_at_ms.into()];
    database.execute(BOOK, &params).await?;
    let entry = |mut row: Row| Ok(RefundEntry { id: row.take(0)?, ready_at_ms: row.take(1)? });
    database.execute(FIND, &[id(key)]).await?.pop().map(entry).transpose()
}

/// The charges after the one with this number, in their order, as JSON.
pub(crate) async fn list(database: &Database, after: i64, limit: Limit) -> Result<Vec<Value>, Error> {
    const FIND: &str = "
        SELECT seq, id, order_id, token, state, amount, currency,
            (SELECT coalesce(sum(amount), 0) FROM test_provider_refunds AS refund WHERE refund.charge = charge.id),
            (SELECT requests FROM test_provider_requests AS request WHERE request.key = charge.key)
        FROM test_provider_charges AS charge WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let entry = |mut row: Row| {
        let currency: String = row.take(6)?;
        let money = |minor: i64| json!({"amount": minor, "currency": currency});
        let (state, amount): (String, i64) = (row.take(4)?, row.take(5)?);
        Ok(json!({
            "seq": row.take::<i64>(0)?,
            "id": row.take::<String>(1)?,
            "order_id": row.take::<String>(2)?,
            "token": row.take::<String>(3)?,
            "amount": money(amount),
            "captured": money(if state == "captured" { amount } else { 0 }),
            "state": state,
            "refunded": money(row.take(7)?),
            "requests": row.take::<i64>(8)?,
        }))
    };
    database.execute(FIND, &[after.into(), limit.get().into()]).await?.into_iter().map(entry).collect()
}
