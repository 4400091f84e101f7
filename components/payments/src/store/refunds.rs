//! Refunds of an intent.

use commerce::{Currency, Id, Money};
use service::Error;
use service::column::{id, json, money, name, optional_json};
use sql::{Database, Row, Transaction};

use crate::failure::Failure;
use crate::intent::Intent;
use crate::refund::{Refund, State};

/// Refunds that are shown with an intent.
const SHOWN_MAX: u32 = 100;

const SELECT: &str =
    "SELECT id, state, amount, reason, reference, failure, created_at_ms FROM refunds WHERE intent = ?1";

/// Writes a new refund down.
pub(crate) async fn insert(transaction: &Transaction, intent: Id, refund: &Refund) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO refunds (intent, id, state, amount, reason, created_at_ms)";
    let row = [
        id(intent),
        id(refund.id),
        refund.state.as_str().into(),
        refund.amount.minor().into(),
        refund.reason.as_str().into(),
        refund.created_at_ms.into(),
    ];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// A refund as it stands in the transaction.
pub(crate) async fn find(transaction: &Transaction, intent: &Intent, refund: Id) -> Result<Option<Refund>, Error> {
    let rows = transaction.execute(&format!("{SELECT} AND id = ?2"), &[id(intent.id), id(refund)]).await?;
    rows.into_iter().next().map(|row| read(row, intent.amount.currency())).transpose()
}

/// A refund, which must be there.
pub(crate) fn get(database: &Database, intent: &Intent, refund: Id) -> Result<Refund, Error> {
    let found = database.read(&format!("{SELECT} AND id = ?2"), &[id(intent.id), id(refund)])?.pop();
    let row = found.ok_or_else(|| Error::NotFound { what: "refund", key: refund.to_string() })?;
    read(row, intent.amount.currency())
}

/// The refunds of an intent, the newest first.
pub(crate) fn list(database: &Database, intent: &Intent) -> Result<Vec<Refund>, Error> {
    let sql = format!("{SELECT} ORDER BY created_at_ms DESC, id DESC LIMIT {SHOWN_MAX}");
    let rows = database.read(&sql, &[id(intent.id)])?;
    rows.into_iter().map(|row| read(row, intent.amount.currency())).collect()
}

/// Keeps the provider's name of the refund, once.
pub(crate) async fn set_reference(
    transaction: &Transaction,
    intent: Id,
    refund: Id,
    reference: &str,
) -> Result<(), Error> {
    const SET: &str = "UPDATE refunds SET reference = ?3 WHERE intent = ?1 AND id = ?2 AND reference IS NULL";
    transaction.execute(SET, &[id(intent), id(refund), reference.into()]).await?;
    Ok(())
}

/// Moves a refund.
pub(crate) async fn set_state(
    transaction: &Transaction,
    intent: Id,
    refund: Id,
    state: State,
    failure: Option<&Failure>,
) -> Result<(), Error> {
    const SET: &str = "UPDATE refunds SET state = ?3, failure = ?4 WHERE intent = ?1 AND id = ?2";
    transaction.execute(SET, &[id(intent), id(refund), state.as_str().into(), json(failure)?]).await?;
    Ok(())
}

fn read(mut row: Row, currency: Currency) -> Result<Refund, Error> {
    let amount: Money = money(row.take(2)?, currency.code())?;
    Ok(Refund {
        id: name(&mut row, 0)?,
        state: name(&mut row, 1)?,
        amount,
        reason: row.take(3)?,
        reference: row.take(4)?,
        failure: optional_json(&mut row, 5)?,
        created_at_ms: row.take(6)?,
    })
}
