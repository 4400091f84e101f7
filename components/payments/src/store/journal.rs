//! What is only ever added to: the transitions of intents and refunds, and the events for others (the outbox).

use commerce::{Id, rfc3339};
use serde_json::{Value, json};
use service::Error;
use service::column::id;
use service::outbox::{self, Event};
use sql::{Database, Transaction};

use crate::intent::Intent;

/// Transitions that are shown with an intent.
const SHOWN_MAX: u32 = 200;

/// What made something move.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) by: By,
    /// The operation's id, or the provider's id of the webhook.
    pub(crate) id: String,
    /// When the provider says that it happened.
    pub(crate) reported_at_ms: Option<i64>,
}

/// Who brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A service of the shop.
    Call,
    /// The shopper, back from an action.
    Confirm,
    /// The provider.
    Webhook,
    /// The sweep of what was left open.
    Sweep,
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Confirm => "confirm",
            Self::Webhook => "webhook",
            Self::Sweep => "sweep",
        }
    }
}

/// A step that an intent took, or one of its refunds.
pub(crate) struct Move<'a> {
    pub(crate) refund: Option<Id>,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: &'a str,
    /// The event that tells others of it; of what has only begun they are not told.
    pub(crate) event: Option<Id>,
}

/// Writes a step down.
pub(crate) async fn record(
    transaction: &Transaction,
    intent: Id,
    step: &Move<'_>,
    cause: &Cause,
    now_ms: i64,
) -> Result<(), Error> {
    const INSERT: &str = "
        INSERT INTO transitions (intent, refund, from_state, to_state, cause, cause_id, reported_at_ms, at_ms, event_id)";
    let row = [
        id(intent),
        step.refund.map_or(sql::Value::Null, id),
        step.from.into(),
        step.to.into(),
        cause.by.as_str().into(),
        cause.id.as_str().into(),
        cause.reported_at_ms.map_or(sql::Value::Null, sql::Value::from),
        now_ms.into(),
        step.event.map_or(sql::Value::Null, id),
    ];
    Ok(transaction.insert(INSERT, [row], "").await?)
}

/// The steps of an intent and its refunds in their order, as JSON.
pub(crate) fn history(database: &Database, intent: Id) -> Result<Vec<Value>, Error> {
    const FIND: &str = "
        SELECT refund, from_state, to_state, cause, cause_id, reported_at_ms, at_ms
        FROM transitions WHERE intent = ?1 ORDER BY seq LIMIT ?2";
    let step = |mut row: sql::Row| {
        Ok(json!({
            "refund_id": row.take::<Option<String>>(0)?,
            "from": row.take::<Option<String>>(1)?,
            "to": row.take::<String>(2)?,
            "cause": row.take::<String>(3)?,
            "cause_id": row.take::<String>(4)?,
            "reported_at": row.take::<Option<i64>>(5)?.map(rfc3339),
            "at": rfc3339(row.take(6)?),
        }))
    };
    database.read(FIND, &[id(intent), SHOWN_MAX.into()])?.into_iter().map(step).collect()
}

/// Tells others, in the transaction of the change, and names the event. `intent` is as it stands after the change.
pub(crate) async fn tell(
    transaction: &Transaction,
    intent: &Intent,
    what: &str,
    refund: Option<(Id, i64)>,
    now_ms: i64,
) -> Result<Id, Error> {
    let money = |minor: i64| json!({"amount": minor, "currency": intent.amount.currency().code()});
    let mut data = json!({
        "order_id": intent.order_id,
        "intent_id": intent.id,
        "state": intent.state,
        "amount": intent.amount,
        "captured": money(intent.captured),
        "refunded": money(intent.refunded),
    });
    if let Some((refund, minor)) = refund {
        data["refund"] = json!({"refund_id": refund, "amount": money(minor)});
    }
    let event = Event::new(format!("bodega.payment.{what}"), intent.order_id, now_ms, data);
    let id = event.id();
    event.put(transaction).await?;
    Ok(id)
}

/// Whether the events about these orders agree with the steps, and the last of them with where each intent and refund is.
pub(crate) async fn audit(database: &Database, range: &outbox::Range) -> Result<outbox::Audit, Error> {
    const TOLD: &str = "
        SELECT event_id, order_id AS subject, at_ms,
            'bodega.payment.' || iif(refund IS NULL, '', 'refund_') || to_state AS type
        FROM transitions JOIN intents ON intents.id = intent
        WHERE order_id > ?1 AND order_id <= ?2 AND from_state IS NOT NULL
        UNION
        SELECT event_id, order_id, ifnull(at_ms, updated_at_ms), 'bodega.payment.' || state
        FROM intents LEFT JOIN transitions AS last
            ON last.seq = (SELECT max(seq) FROM transitions WHERE intent = intents.id AND refund IS NULL)
        WHERE order_id > ?1 AND order_id <= ?2 AND (state <> 'created' OR from_state IS NOT NULL)
        UNION
        SELECT event_id, order_id, ifnull(at_ms, updated_at_ms), 'bodega.payment.refund_' || refunds.state
        FROM intents JOIN refunds ON refunds.intent = intents.id LEFT JOIN transitions AS last
            ON last.seq = (SELECT max(seq) FROM transitions WHERE intent = intents.id AND refund = refunds.id)
        WHERE order_id > ?1 AND order_id <= ?2 AND (refunds.state <> 'pending' OR from_state IS NOT NULL)";
    outbox::audit(database, TOLD, range).await
}
