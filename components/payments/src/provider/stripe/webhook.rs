//! What Stripe's webhooks say: each carries the object as it stood when it was sent.

use serde::Deserialize;
use serde_json::Value;

use super::answer::{PaymentIntent, Refund};
use crate::provider::Notice;

#[derive(Deserialize)]
struct Webhook {
    id: String,
    #[serde(rename = "created")]
    created_s: i64,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: Value,
}

/// Reads the body of a webhook. Objects that payments does not follow have no report.
pub(super) fn read(body: &[u8]) -> Result<Notice, serde_json::Error> {
    let Webhook { id, created_s, data: Data { object } } = serde_json::from_slice(body)?;
    let nothing =
        Notice { id, at_ms: created_s.saturating_mul(1000), order_id: None, charge: None, refund: None, report: None };
    Ok(match object["object"].as_str() {
        Some("payment_intent") => {
            let intent: PaymentIntent = serde_json::from_value(object)?;
            let report = Some(intent.report());
            Notice { order_id: intent.metadata.order_id, charge: Some(intent.id), report, ..nothing }
        }
        Some("refund") => {
            let refund: Refund = serde_json::from_value(object)?;
            let report = Some(refund.report());
            let (order_id, refund_id) = (refund.metadata.order_id, refund.metadata.refund_id);
            Notice { order_id, charge: refund.payment_intent, refund: refund_id, report, ..nothing }
        }
        _ => nothing,
    })
}
