//! Intents.

use commerce::{Id, Limit};
use service::Error;
use service::column::{id, json, money, name, optional_json};
use sql::{Database, Row, Transaction};

use crate::failure::Failure;
use crate::intent::{Event, Intent, NextAction};
use crate::wish::Charge;

const SELECT: &str = "
    SELECT id, order_id, provider, reference, state, amount, currency, captured, refunded, refund_pending,
        payment_method, customer, return_url, next_action, failure, created_at_ms, updated_at_ms,
        EXISTS (SELECT 1 FROM operations
            WHERE operations.intent = intents.id AND open = 1 AND kind IN ('capture', 'void')),
        order_token_digest,
        (SELECT min(operations.created_at_ms) FROM operations
            WHERE operations.intent = intents.id AND open = 1 AND kind <> 'refund')
    FROM intents";

/// Which intent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Id(Id),
    Order(Id),
}

/// Writes a new intent down. The caller has found that the order has none.
pub(crate) async fn insert(
    transaction: &Transaction,
    intent: Id,
    charge: &Charge,
    provider: &str,
    now_ms: i64,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO intents (id, order_id, provider, state, amount, currency, payment_method, customer, return_url,
            created_at_ms, updated_at_ms, order_token_digest)";
    let Charge(input) = charge;
    let row = [
        id(intent),
        id(input.order_id),
        provider.into(),
        "created".into(),
        input.amount.minor().into(),
        input.amount.currency().code().into(),
        input.payment_method.as_str().into(),
        input.customer.as_deref().into(),
        input.return_url.as_deref().into(),
        now_ms.into(),
        now_ms.into(),
        input.order_token_digest.as_deref().into(),
    ];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// The intent, which must be there.
pub(crate) fn get(database: &Database, key: Key) -> Result<Intent, Error> {
    let (sql, key_id) = query(key);
    database.read(&sql, &[id(key_id)])?.pop().map(read).ok_or_else(|| missing(key_id))?
}

/// The intent as it stands in the transaction, if it is there.
pub(crate) async fn find(transaction: &Transaction, key: Key) -> Result<Option<Intent>, Error> {
    let (sql, key_id) = query(key);
    transaction.execute(&sql, &[id(key_id)]).await?.pop().map(read).transpose()
}

/// The intent as it stands in the transaction, which must be there.
pub(crate) async fn load(transaction: &Transaction, key: Key) -> Result<Intent, Error> {
    find(transaction, key).await?.ok_or_else(|| missing(query(key).1))
}

/// The intent that a provider speaks of: by its name of the charge, or by the order as long as it has none.
pub(crate) async fn find_reported(
    transaction: &Transaction,
    provider: &str,
    charge: Option<&str>,
    order_id: Option<Id>,
) -> Result<Option<Intent>, Error> {
    let by_charge = format!("{SELECT} WHERE provider = ?1 AND reference = ?2");
    let found = transaction.execute(&by_charge, &[provider.into(), charge.into()]).await?.pop();
    if found.is_some() {
        return found.map(read).transpose();
    }
    let Some(order_id) = order_id else { return Ok(None) };
    let by_order = format!("{SELECT} WHERE order_id = ?1 AND provider = ?2 AND (reference IS NULL OR ?3 IS NULL)");
    let params = [id(order_id), provider.into(), charge.into()];
    transaction.execute(&by_order, &params).await?.pop().map(read).transpose()
}

/// The intents of the orders after this one, by order.
pub(crate) async fn list(database: &Database, after: &str, limit: Limit) -> Result<Vec<Intent>, Error> {
    let list = format!("{SELECT} WHERE order_id > ?1 ORDER BY order_id LIMIT ?2");
    database.execute(&list, &[after.into(), limit.get().into()]).await?.into_iter().map(read).collect()
}

/// Keeps the provider's name of the charge, once.
pub(crate) async fn set_reference(transaction: &Transaction, intent: Id, reference: &str) -> Result<(), Error> {
    const SET: &str = "UPDATE intents SET reference = ?2 WHERE id = ?1 AND reference IS NULL";
    transaction.execute(SET, &[id(intent), reference.into()]).await?;
    Ok(())
}

/// Moves the intent to where the event leads, with what the event tells.
pub(crate) async fn move_on(transaction: &Transaction, intent: Id, event: &Event, now_ms: i64) -> Result<(), Error> {
    const MOVE: &str = "
        UPDATE intents SET state = ?2, captured = ?3, next_action = ?4, failure = ?5, updated_at_ms = ?6
        WHERE id = ?1";
    let captured = if let Event::Captured(minor) = event { *minor } else { 0 };
    let next_action: Option<&NextAction> = if let Event::ActionRequired(action) = event { Some(action) } else { None };
    let failure: Option<&Failure> = match event {
        Event::Declined(failure) | Event::Failed(failure) => Some(failure),
        _ => None,
    };
    let params =
        [id(intent), event.state().as_str().into(), captured.into(), json(next_action)?, json(failure)?, now_ms.into()];
    transaction.execute(MOVE, &params).await?;
    Ok(())
}

/// Moves money between what is on its way back and what is back; the sum of both stays within the capture.
pub(crate) async fn add_refunds(
    transaction: &Transaction,
    intent: Id,
    pending: i64,
    refunded: i64,
    now_ms: i64,
) -> Result<(), Error> {
    const ADD: &str = "
        UPDATE intents SET refund_pending = refund_pending + ?2, refunded = refunded + ?3, updated_at_ms = ?4
        WHERE id = ?1";
    transaction.execute(ADD, &[id(intent), pending.into(), refunded.into(), now_ms.into()]).await?;
    Ok(())
}

fn query(key: Key) -> (String, Id) {
    match key {
        Key::Id(id) => (format!("{SELECT} WHERE id = ?1"), id),
        Key::Order(id) => (format!("{SELECT} WHERE order_id = ?1"), id),
    }
}

fn missing(key: Id) -> Error {
    Error::NotFound { what: "intent", key: key.to_string() }
}

fn read(mut row: Row) -> Result<Intent, Error> {
    let currency: String = row.take(6)?;
    Ok(Intent {
        id: name(&mut row, 0)?,
        order_id: name(&mut row, 1)?,
        provider: row.take(2)?,
        reference: row.take(3)?,
        state: name(&mut row, 4)?,
        amount: money(row.take(5)?, &currency)?,
        captured: row.take(7)?,
        refunded: row.take(8)?,
        refund_pending: row.take(9)?,
        payment_method: row.take(10)?,
        customer: row.take(11)?,
        return_url: row.take(12)?,
        next_action: optional_json(&mut row, 13)?,
        failure: optional_json(&mut row, 14)?,
        created_at_ms: row.take(15)?,
        updated_at_ms: row.take(16)?,
        busy: row.take(17)?,
        order_token_digest: row.take(18)?,
        open_since_ms: row.take(19)?,
    })
}
