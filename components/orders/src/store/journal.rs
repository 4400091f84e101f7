//! What is only ever added to: what came of each step, the changes of state (the history), and the events for others
//! (the outbox).

use commerce::{Currency, Id, Money, rfc3339};
use serde_json::{Value, json};
use service::Error;
use service::column::id;
use service::figures;
use service::outbox::Event;
use sql::{Database, Row, Transaction};

use crate::order::{Actor, Order};
use crate::refund::{self, Refund};
use crate::state::State;
use crate::task::Task;

/// Entries of a history, and steps, that are shown with an order.
const SHOWN_MAX: u32 = 500;

/// What the history says of an order whose parcel came back.
const PARCEL_RETURNED: &str = "the parcel came back";

/// A change of state, on whose behalf and why.
pub(crate) struct Move<'a> {
    pub(crate) to: State,
    pub(crate) actor: &'a Actor,
    pub(crate) reason: Option<&'a str>,
}

/// Writes a change of state down and tells others of it. `order` is as it stands after the change.
pub(crate) async fn record(
    transaction: &Transaction,
    order: &Order,
    from: Option<State>,
    step: &Move<'_>,
    now_ms: i64,
) -> Result<(), Error> {
    let what = if from.is_none() { "placed" } else { step.to.as_str() };
    if from.is_some() && step.to == State::Paid {
        count_money(transaction, "revenue_captured", order.total());
    }
    add(transaction, order, from, step, what, now_ms).await
}

/// Writes down that the parcel of an order came back, which leaves the order where it is, and tells others of it. A parcel
/// comes back once; the order may hear of it again.
pub(crate) async fn parcel_returned(
    transaction: &Transaction,
    order: &Order,
    actor: &Actor,
    now_ms: i64,
) -> Result<(), Error> {
    const FIND: &str = "
        SELECT 1 FROM history WHERE order_id = ?1 AND from_state = to_state AND reason = ?2 LIMIT 1";
    let known = transaction.execute(FIND, &[id(order.id), PARCEL_RETURNED.into()]).await?;
    if !known.is_empty() {
        return Ok(());
    }
    let note = Move { to: order.state, actor, reason: Some(PARCEL_RETURNED) };
    add(transaction, order, Some(order.state), &note, "parcel_returned", now_ms).await
}

async fn add(
    transaction: &Transaction,
    order: &Order,
    from: Option<State>,
    step: &Move<'_>,
    what: &str,
    now_ms: i64,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO history (order_id, from_state, to_state, role, account, reason, event_id, at_ms)";
    let event = tell(transaction, order, what, None, now_ms).await?;
    let row = [
        id(order.id),
        from.map(State::as_str).into(),
        step.to.as_str().into(),
        step.actor.role().into(),
        step.actor.account().into(),
        step.reason.into(),
        id(event),
        now_ms.into(),
    ];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// Tells others, in the transaction of the change. `order` is as it stands after the change.
pub(crate) async fn tell(
    transaction: &Transaction,
    order: &Order,
    what: &str,
    refund: Option<&Refund>,
    now_ms: i64,
) -> Result<Id, Error> {
    let money = |minor: i64| json!({"amount": minor, "currency": order.total().currency().code()});
    let mut data = json!({
        "order_id": order.id,
        "number": order.number,
        "state": order.state,
        "customer": order.customer,
        "email": order.email,
        "total": order.total(),
        "refunded": money(order.refunded),
        "lines": order.content.priced.lines.iter().map(|line| json!({
            "sku": line.sku, "product_id": line.product_id, "title": line.title, "quantity": line.quantity,
        })).collect::<Vec<_>>(),
    });
    if let Some(refund) = refund {
        if refund.state == refund::State::Succeeded {
            count_money(transaction, "revenue_refunded", refund.part.amount);
        }
        data["refund"] = json!({"refund_id": refund.id, "state": refund.state, "amount": refund.part.amount});
    }
    if let Some(tracking) = &order.tracking {
        data["tracking"] = json!(tracking);
    }
    let event = Event::new(format!("bodega.order.{what}"), order.id, now_ms, data);
    let id = event.id();
    event.put(transaction).await?;
    Ok(id)
}

/// Counts money in minor units, once it has moved.
fn count_money(transaction: &Transaction, what: &str, money: Money) {
    let counter = money_counter(what, money.currency());
    // Nothing is sold for less than nothing.
    let minor = money.minor().unsigned_abs();
    transaction.on_commit(move || figures::count(counter, minor));
}

/// The name of a counter of money: one for each currency.
fn money_counter(what: &str, currency: Currency) -> String {
    format!("{what}_minor_{}_total", currency.code().to_ascii_lowercase())
}

/// Says which counters there are, before any of it has happened.
pub(crate) fn expect_counts(currency: Currency) {
    let kinds = State::ALL.map(|state| match state {
        State::Pending => "placed",
        other => other.as_str(),
    });
    let kinds = kinds.into_iter().chain(["refund_succeeded", "refund_failed"]);
    figures::expect(kinds.map(|kind| figures::counter_of(&format!("bodega.order.{kind}"))));
    figures::expect(["revenue_captured", "revenue_refunded"].map(|what| money_counter(what, currency)));
}

/// Writes down what came of a step of the checkout, or of another task.
pub(crate) async fn note(
    transaction: &Transaction,
    task: &Task,
    step: &str,
    outcome: &str,
    note: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO steps (order_id, step, outcome, note, attempts, at_ms)";
    let row = [id(task.order), step.into(), outcome.into(), note.into(), task.attempts.into(), now_ms.into()];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// The changes of an order's state in their order, as JSON. Whose account it was is for staff.
pub(crate) fn history(database: &Database, order: Id, for_staff: bool) -> Result<Vec<Value>, Error> {
    const FIND: &str = "
        SELECT from_state, to_state, role, account, reason, at_ms FROM history
        WHERE order_id = ?1 ORDER BY seq LIMIT ?2";
    let entry = |mut row: Row| {
        let mut entry = json!({
            "from": row.take::<Option<String>>(0)?,
            "to": row.take::<String>(1)?,
            "by": {"role": row.take::<String>(2)?},
            "reason": row.take::<Option<String>>(4)?,
            "at": rfc3339(row.take(5)?),
        });
        if for_staff {
            entry["by"]["account"] = json!(row.take::<Option<String>>(3)?);
        }
        Ok(entry)
    };
    database.read(FIND, &[id(order), SHOWN_MAX.into()])?.into_iter().map(entry).collect()
}

/// What came of the steps of an order, in their order, as JSON.
pub(crate) fn steps(database: &Database, order: Id) -> Result<Vec<Value>, Error> {
    const FIND: &str = "
        SELECT step, outcome, note, attempts, at_ms FROM steps WHERE order_id = ?1 ORDER BY seq LIMIT ?2";
    let step = |mut row: Row| {
        Ok(json!({
            "step": row.take::<String>(0)?,
            "outcome": row.take::<String>(1)?,
            "note": row.take::<Option<String>>(2)?,
            "attempts": row.take::<u32>(3)?,
            "at": rfc3339(row.take(4)?),
        }))
    };
    database.read(FIND, &[id(order), SHOWN_MAX.into()])?.into_iter().map(step).collect()
}
