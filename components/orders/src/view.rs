//! What others see of orders.

use commerce::rfc3339;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::order::Order;
use crate::refund::Refund;

/// An order with its refunds.
pub(crate) fn order(order: &Order, refunds: &[Refund]) -> Value {
    let money = |minor: i64| json!({"amount": minor, "currency": order.total().currency().code()});
    let mut shown = json!(order.content);
    let members = json!({
        "id": order.id,
        "number": order.number,
        "state": order.state,
        "customer": order.customer,
        "email": order.email,
        "refunded": money(order.refunded),
        "refund_pending": money(order.refund_pending),
        "refunds": refunds.iter().map(refund).collect::<Vec<_>>(),
        "next_action": order.next_action,
        "failure": order.failure.as_ref().map(failure),
        "tracking": order.tracking,
        "created_at": rfc3339(order.created_at_ms),
        "paid_at": order.paid.map(|(at_ms, _)| rfc3339(at_ms)),
        "updated_at": rfc3339(order.updated_at_ms),
    });
    if let (Value::Object(shown), Value::Object(members)) = (&mut shown, members) {
        shown.extend(members);
    }
    shown
}

/// A refund.
pub(crate) fn refund(refund: &Refund) -> Value {
    json!({
        "id": refund.id,
        "state": refund.state,
        "amount": refund.part.amount,
        "lines": refund.part.lines,
        "shipping": refund.part.shipping,
        "reason": refund.reason,
        "restock": refund.restock,
        "failure": refund.failure,
        "created_at": rfc3339(refund.created_at_ms),
    })
}

fn failure(failure: &Failure) -> Value {
    json!({"code": failure.code(), "message": failure.message()})
}
