//! What others see of intents and refunds.

use commerce::{Currency, rfc3339};
use serde_json::{Value, json};

use crate::intent::Intent;
use crate::refund::Refund;

/// An intent with its refunds, for the shop's services and staff.
pub(crate) fn intent(intent: &Intent, refunds: &[Refund]) -> Value {
    let money = |minor| money(minor, intent.amount.currency());
    let mut shown = shopper(intent);
    let members = json!({
        "id": intent.id,
        "amount": intent.amount,
        "captured": money(intent.captured),
        "refunded": money(intent.refunded),
        "refund_pending": money(intent.refund_pending),
        "provider": intent.provider,
        "provider_reference": intent.reference,
        "customer": intent.customer,
        "refunds": refunds.iter().map(refund).collect::<Vec<_>>(),
        "created_at": rfc3339(intent.created_at_ms),
        "updated_at": rfc3339(intent.updated_at_ms),
    });
    merge(&mut shown, members);
    shown
}

/// What an intent comes to, in a list.
pub(crate) fn sums(intent: &Intent) -> Value {
    let money = |minor| money(minor, intent.amount.currency());
    json!({
        "order_id": intent.order_id,
        "state": intent.shown_state(),
        "amount": intent.amount,
        "captured": money(intent.captured),
        "refunded": money(intent.refunded),
        "refund_pending": money(intent.refund_pending),
        "open_since_ms": intent.open_since_ms,
    })
}

/// What the shopper whose payment it is may see.
pub(crate) fn shopper(intent: &Intent) -> Value {
    json!({
        "order_id": intent.order_id,
        "state": intent.shown_state(),
        "next_action": intent.next_action,
        "failure": intent.failure,
    })
}

/// A refund.
pub(crate) fn refund(refund: &Refund) -> Value {
    json!({
        "refund_id": refund.id,
        "state": refund.state,
        "amount": refund.amount,
        "reason": refund.reason,
        "failure": refund.failure,
        "created_at": rfc3339(refund.created_at_ms),
    })
}

/// Adds members to a JSON object.
pub(crate) fn merge(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}

fn money(minor: i64, currency: Currency) -> Value {
    json!({"amount": minor, "currency": currency.code()})
}
