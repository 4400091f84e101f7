//! Orders. A change of state writes its history and its event in the same transaction; see [`move_to`].

use commerce::Id;
use serde_json::Value as Json;
use service::Error;
use service::column::{id, json, name, optional_json};
use sql::{Database, Row, Transaction, Value};

use super::journal::{self, Move};
use crate::failure::Failure;
use crate::number::Number;
use crate::order::Order;
use crate::saga::Step;
use crate::state::State;

const SELECT: &str = "
    SELECT id, number, customer, email, token_digest, fingerprint, state, step, version, content, refunded,
        refund_pending, next_action, failure, tracking, created_at_ms, paid_at_ms, paid_version, updated_at_ms
    FROM orders";

/// Which order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Id(Id),
    Number(&'a Number),
    /// Who placed it, and the key that they chose.
    Request(&'a str, &'a str),
}

impl Key<'_> {
    fn condition(self) -> (&'static str, Vec<Value>) {
        match self {
            Self::Id(of) => ("WHERE id = ?1", vec![id(of)]),
            Self::Number(number) => ("WHERE number = ?1", vec![number.as_str().into()]),
            Self::Request(actor, key) => ("WHERE actor = ?1 AND key = ?2", vec![actor.into(), key.into()]),
        }
    }
}

/// An order, if it is there.
pub(crate) fn find(database: &Database, key: Key<'_>) -> Result<Option<Order>, Error> {
    let (condition, params) = key.condition();
    database.read(&format!("{SELECT} {condition}"), &params)?.pop().map(read).transpose()
}

/// An order, which must be there.
pub(crate) fn get(database: &Database, order: Id) -> Result<Order, Error> {
    find(database, Key::Id(order))?.ok_or_else(|| missing(order))
}

/// An order as it stands in the transaction, which must be there.
pub(crate) async fn load(transaction: &Transaction, order: Id) -> Result<Order, Error> {
    let found = transaction.execute(&format!("{SELECT} WHERE id = ?1"), &[id(order)]).await?.pop();
    found.map(read).transpose()?.ok_or_else(|| missing(order))
}

/// How a new order was asked for.
pub(crate) struct Request<'a> {
    pub(crate) actor: &'a str,
    pub(crate) key: &'a str,
}

/// What became of writing a new order down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Yes,
    /// The request was here before.
    KeyTaken,
    /// Another order has the number.
    NumberTaken,
}

/// Writes a new order down.
pub(crate) async fn insert(transaction: &Transaction, order: &Order, request: &Request<'_>) -> Result<Inserted, Error> {
    const INSERT: &str = "
        INSERT INTO orders (id, number, actor, key, fingerprint, customer, email, token_digest, state, step, currency,
            total, created_at_ms, updated_at_ms, touched_at_ms, content)";
    let total = order.total();
    let row = [
        id(order.id),
        order.number.as_str().into(),
        request.actor.into(),
        request.key.into(),
        order.fingerprint.as_str().into(),
        order.customer.as_deref().into(),
        order.email.as_deref().into(),
        order.token_digest.as_deref().into(),
        order.state.as_str().into(),
        order.step.map(Step::as_str).into(),
        total.currency().code().into(),
        total.minor().into(),
        order.created_at_ms.into(),
        order.created_at_ms.into(),
        order.created_at_ms.into(),
        serde_json::to_string(&order.content)?.into(),
    ];
    match transaction.insert(INSERT, [row], "").await {
        Ok(()) => Ok(Inserted::Yes),
        Err(error) if error.names("orders.number") => Ok(Inserted::NumberTaken),
        Err(error) if error.names("orders.key") => Ok(Inserted::KeyTaken),
        Err(error) => Err(error.into()),
    }
}

/// Where an order stands in the transaction, and at which step of its checkout.
pub(crate) async fn stand(transaction: &Transaction, order: Id) -> Result<(State, Option<Step>), Error> {
    let found = transaction.execute("SELECT state, step FROM orders WHERE id = ?1", &[id(order)]).await?.pop();
    let mut row = found.ok_or_else(|| missing(order))?;
    Ok((state(&mut row, 0)?, step(&mut row, 1)?))
}

/// Moves the checkout to another step.
pub(crate) async fn advance(transaction: &Transaction, order: Id, to: Step, now_ms: i64) -> Result<(), Error> {
    const ADVANCE: &str = "
        UPDATE orders SET step = ?2, touched_at_ms = ?3, next_action = NULL,
            version = version + (next_action IS NOT NULL)
        WHERE id = ?1 AND state = 'pending'";
    transaction.execute(ADVANCE, &[id(order), to.as_str().into(), now_ms.into()]).await?;
    Ok(())
}

/// Keeps what the shopper has to do.
pub(crate) async fn set_next_action(
    transaction: &Transaction,
    order: Id,
    action: Option<&Json>,
    now_ms: i64,
) -> Result<(), Error> {
    const SET: &str = "
        UPDATE orders SET next_action = ?2, version = version + 1, updated_at_ms = ?3, touched_at_ms = ?3
        WHERE id = ?1 AND next_action IS NOT ?2";
    transaction.execute(SET, &[id(order), json(action)?, now_ms.into()]).await?;
    Ok(())
}

/// Moves an order to another state, with its history and its event, and tells how it stands then; nothing, if it is not
/// where it was thought to be: of two who move it, one does.
pub(crate) async fn move_to(
    transaction: &Transaction,
    order: &Order,
    step: &Move<'_>,
    now_ms: i64,
) -> Result<Option<Order>, Error> {
    const MOVE: &str = "
        UPDATE orders SET state = ?4, step = NULL, next_action = NULL, version = version + 1, updated_at_ms = ?5,
            touched_at_ms = ?5,
            paid_at_ms = iif(?4 = 'paid', ?5, paid_at_ms), paid_version = iif(?4 = 'paid', version + 1, paid_version)
        WHERE id = ?1 AND state = ?2 AND step IS ?3 RETURNING id";
    let params = [
        id(order.id),
        order.state.as_str().into(),
        order.step.map(Step::as_str).into(),
        step.to.as_str().into(),
        now_ms.into(),
    ];
    if transaction.execute(MOVE, &params).await?.is_empty() {
        return Ok(None);
    }
    let moved = load(transaction, order.id).await?;
    journal::record(transaction, &moved, Some(order.state), step, now_ms).await?;
    Ok(Some(moved))
}

/// Keeps why a checkout came to nothing.
pub(crate) async fn set_failure(transaction: &Transaction, order: Id, failure: &Failure) -> Result<(), Error> {
    const SET: &str = "UPDATE orders SET failure = ?2 WHERE id = ?1";
    transaction.execute(SET, &[id(order), json(Some(failure))?]).await?;
    Ok(())
}

/// Keeps the number by which the carrier knows the parcel.
pub(crate) async fn set_tracking(transaction: &Transaction, order: Id, tracking: &str) -> Result<(), Error> {
    const SET: &str = "UPDATE orders SET tracking = ?2 WHERE id = ?1";
    transaction.execute(SET, &[id(order), tracking.into()]).await?;
    Ok(())
}

/// Moves money between what is on its way back and what is back; the sum of both stays within the total.
pub(crate) async fn add_refunds(
    transaction: &Transaction,
    order: Id,
    pending: i64,
    refunded: i64,
    now_ms: i64,
) -> Result<(), Error> {
    const ADD: &str = "
        UPDATE orders SET refund_pending = refund_pending + ?2, refunded = refunded + ?3, version = version + 1,
            updated_at_ms = ?4, touched_at_ms = ?4
        WHERE id = ?1";
    transaction.execute(ADD, &[id(order), pending.into(), refunded.into(), now_ms.into()]).await?;
    Ok(())
}

fn missing(order: Id) -> Error {
    Error::NotFound { what: "order", key: order.to_string() }
}

fn state(row: &mut Row, column: usize) -> Result<State, Error> {
    let state = State::parse(&row.take::<String>(column)?);
    Ok(state.ok_or(sql::Error::Column { column, expected: "State" })?)
}

fn step(row: &mut Row, column: usize) -> Result<Option<Step>, Error> {
    let step: Option<String> = row.take(column)?;
    let step = step.map(|step| Step::parse(&step).ok_or(sql::Error::Column { column, expected: "Step" }));
    Ok(step.transpose()?)
}

fn read(mut row: Row) -> Result<Order, Error> {
    let paid: (Option<i64>, Option<i64>) = (row.take(16)?, row.take(17)?);
    Ok(Order {
        id: name(&mut row, 0)?,
        number: name(&mut row, 1)?,
        customer: row.take(2)?,
        email: row.take(3)?,
        token_digest: row.take(4)?,
        fingerprint: row.take(5)?,
        state: state(&mut row, 6)?,
        step: step(&mut row, 7)?,
        version: row.take(8)?,
        content: serde_json::from_str(&row.take::<String>(9)?)?,
        refunded: row.take(10)?,
        refund_pending: row.take(11)?,
        next_action: optional_json(&mut row, 12)?,
        failure: optional_json(&mut row, 13)?,
        tracking: row.take(14)?,
        created_at_ms: row.take(15)?,
        paid: paid.0.zip(paid.1),
        updated_at_ms: row.take(18)?,
    })
}
