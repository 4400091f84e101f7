//! Refunds of orders.

use commerce::{Currency, Id};
use service::Error;
use service::column::{id, money, name};
use sql::{Database, Row, Transaction};

use crate::refund::{Part, Refund, State};

/// Most refunds of an order.
pub(crate) const REFUNDS_MAX: u32 = 100;

const SELECT: &str = "
    SELECT refunds.id, order_id, refunds.state, amount, lines, shipping, reason, restock, refunds.failure,
        refunds.created_at_ms, currency, refunds.actor, taken_back
    FROM refunds JOIN orders ON orders.id = order_id";

/// How a refund was asked for; what the shop gives back by itself was not.
pub(crate) struct Request<'a> {
    pub(crate) actor: &'a str,
    pub(crate) key: &'a str,
    pub(crate) fingerprint: &'a str,
}

/// Writes a new refund down.
pub(crate) async fn insert(
    transaction: &Transaction,
    refund: &Refund,
    request: Option<&Request<'_>>,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO refunds (id, order_id, actor, key, fingerprint, state, amount, lines, shipping, reason, restock,
            created_at_ms)";
    let row = [
        id(refund.id),
        id(refund.order),
        request.map(|request| request.actor).into(),
        request.map(|request| request.key).into(),
        request.map(|request| request.fingerprint).into(),
        refund.state.as_str().into(),
        refund.part.amount.minor().into(),
        serde_json::to_string(&refund.part.lines)?.into(),
        sql::Value::Integer(refund.part.shipping.into()),
        refund.reason.as_str().into(),
        sql::Value::Integer(refund.restock.into()),
        refund.created_at_ms.into(),
    ];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// The refund that was asked for with a key, and the fingerprint of that request.
pub(crate) async fn find_request(
    transaction: &Transaction,
    actor: &str,
    key: &str,
) -> Result<Option<(Id, String)>, Error> {
    const FIND: &str = "SELECT id, fingerprint FROM refunds WHERE actor = ?1 AND key = ?2";
    let Some(mut row) = transaction.execute(FIND, &[actor.into(), key.into()]).await?.pop() else { return Ok(None) };
    Ok(Some((name(&mut row, 0)?, row.take(1)?)))
}

/// A refund, which must be there.
pub(crate) fn get(database: &Database, refund: Id) -> Result<Refund, Error> {
    let found = database.read(&format!("{SELECT} WHERE refunds.id = ?1"), &[id(refund)])?.pop();
    found.map(read).ok_or_else(|| Error::NotFound { what: "refund", key: refund.to_string() })?
}

/// A refund as it stands in the transaction, which must be there.
pub(crate) async fn load(transaction: &Transaction, refund: Id) -> Result<Refund, Error> {
    let found = transaction.execute(&format!("{SELECT} WHERE refunds.id = ?1"), &[id(refund)]).await?.pop();
    found.map(read).ok_or_else(|| Error::NotFound { what: "refund", key: refund.to_string() })?
}

/// The refunds of an order, the oldest first.
pub(crate) fn list(database: &Database, order: Id) -> Result<Vec<Refund>, Error> {
    database.read(&of_order(), &[id(order)])?.into_iter().map(read).collect()
}

/// The refunds of an order as they stand in the transaction, the oldest first.
pub(crate) async fn list_in(transaction: &Transaction, order: Id) -> Result<Vec<Refund>, Error> {
    transaction.execute(&of_order(), &[id(order)]).await?.into_iter().map(read).collect()
}

/// Moves a refund.
pub(crate) async fn set_state(
    transaction: &Transaction,
    refund: Id,
    state: State,
    failure: Option<&str>,
) -> Result<(), Error> {
    const SET: &str = "UPDATE refunds SET state = ?2, failure = ?3 WHERE id = ?1";
    transaction.execute(SET, &[id(refund), state.as_str().into(), failure.into()]).await?;
    Ok(())
}

/// Keeps that the units of a refund came back.
pub(crate) async fn set_taken_back(transaction: &Transaction, refund: Id) -> Result<(), Error> {
    transaction.execute("UPDATE refunds SET taken_back = 1 WHERE id = ?1", &[id(refund)]).await?;
    Ok(())
}

fn of_order() -> String {
    format!("{SELECT} WHERE order_id = ?1 ORDER BY refunds.created_at_ms, refunds.id LIMIT {REFUNDS_MAX}")
}

fn read(mut row: Row) -> Result<Refund, Error> {
    let currency: Currency = commerce::parse_currency(&row.take::<String>(10)?)
        .map_err(|_| sql::Error::Column { column: 10, expected: "Currency" })?;
    Ok(Refund {
        id: name(&mut row, 0)?,
        order: name(&mut row, 1)?,
        state: name(&mut row, 2)?,
        part: Part {
            amount: money(row.take(3)?, currency.code())?,
            lines: serde_json::from_str(&row.take::<String>(4)?)?,
            shipping: row.take(5)?,
        },
        reason: row.take(6)?,
        restock: row.take(7)?,
        taken_back: row.take(12)?,
        account: row.take(11)?,
        failure: row.take(8)?,
        created_at_ms: row.take(9)?,
    })
}
