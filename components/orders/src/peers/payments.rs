//! Payments: the one intent of an order, and its refunds.

use axum::http::StatusCode;
use commerce::{Id, Money};
use serde::Deserialize;
use serde_json::{Value, json};
use service::{Peer, PeerError, Reply};

use super::{Report, member, page};
use crate::failure::Failure;
use crate::order::Order;
use crate::refund::{self, Refund};
use crate::request::Means;
use crate::saga::Event;

/// An intent as payments shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Intent {
    state: String,
    next_action: Option<Value>,
    failure: Option<Words>,
    #[serde(default)]
    pub(crate) refunds: Vec<Given>,
}

/// What the payment of an order comes to.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sums {
    pub(crate) order_id: String,
    pub(crate) state: String,
    pub(crate) amount: Money,
    pub(crate) captured: Money,
    pub(crate) refunded: Money,
    pub(crate) refund_pending: Money,
    /// Since when payments asks the provider about the charge, if it does.
    #[serde(default)]
    pub(crate) open_since_ms: Option<i64>,
}

/// Webhooks that payments cannot apply.
#[derive(Debug, Deserialize)]
pub(crate) struct Unapplied {
    /// How many there are.
    pub(crate) total: u64,
    /// The first of these.
    pub(crate) webhooks: Vec<Value>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Sums>,
}

/// A refund as payments shows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Given {
    pub(crate) refund_id: Id,
    pub(crate) state: refund::State,
    failure: Option<Words>,
}

#[derive(Debug, Deserialize)]
struct Words {
    code: String,
    message: String,
}

/// What came of releasing the money of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    Yes,
    /// There never was any.
    Nothing,
    /// It was taken, and can only be given back.
    WasTaken,
    /// The outcome is not known yet.
    Open,
}

/// Holds the money of an order, or tells how it stands.
pub(crate) async fn authorize(payments: &Peer, order: &Order, means: &Means) -> Result<Report, PeerError> {
    let mut wish = json!({
        "order_id": order.id,
        "amount": order.total(),
        "payment_method": means.payment_method,
        "customer": order.customer,
        "return_url": means.return_url,
    });
    if let Some(digest) = &order.token_digest {
        wish["order_token_digest"] = json!(digest);
    }
    let reply = payments.post("/internal/intents", &wish).await?;
    if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
        return Ok(unusable(&reply));
    }
    let intent: Intent = reply.expect()?;
    Ok(match intent.state.as_str() {
        "authorized" | "captured" => Report::of(Event::Authorized),
        "declined" | "failed" | "voided" => failed(Event::Declined, intent.failure),
        "requires_action" => Report { next_action: intent.next_action, ..Report::open("the shopper has to act") },
        state => Report::open(format!("the intent is {state}")),
    })
}

/// Takes the money that is held for an order.
pub(crate) async fn capture(payments: &Peer, order: Id) -> Result<Report, PeerError> {
    let reply = payments.post(&format!("/internal/intents/{order}/capture"), &Value::Null).await?;
    let (state, failure) = match reply.status {
        StatusCode::CONFLICT => (member(&reply, "state").as_str().unwrap_or_default().to_owned(), None),
        _ => {
            let intent: Intent = reply.expect()?;
            (intent.state, intent.failure)
        }
    };
    Ok(match state.as_str() {
        "captured" => Report::of(Event::Captured),
        "declined" | "failed" | "voided" => failed(Event::CaptureFailed, failure),
        state => Report::open(format!("the intent is {state}")),
    })
}

/// Releases the money that is held for an order.
pub(crate) async fn void(payments: &Peer, order: Id) -> Result<Released, PeerError> {
    let reply = payments.post(&format!("/internal/intents/{order}/void"), &Value::Null).await?;
    let state = match reply.status {
        StatusCode::NOT_FOUND => return Ok(Released::Nothing),
        StatusCode::CONFLICT => member(&reply, "state").as_str().unwrap_or_default().to_owned(),
        _ => reply.expect::<Intent>()?.state,
    };
    Ok(match state.as_str() {
        "voided" | "declined" | "failed" => Released::Yes,
        "captured" => Released::WasTaken,
        _ => Released::Open,
    })
}

/// Gives money back, or tells how that stands; and if it failed, why.
pub(crate) async fn give_back(payments: &Peer, refund: &Refund) -> Result<(refund::State, Option<String>), PeerError> {
    let wish = json!({"refund_id": refund.id, "amount": refund.part.amount, "reason": refund.reason});
    let reply = payments.post(&format!("/internal/intents/{}/refunds", refund.order), &wish).await?;
    if matches!(reply.status, StatusCode::CONFLICT | StatusCode::NOT_FOUND) {
        // More than was taken, or nothing was: payments and orders disagree, and staff has to look.
        return Ok((refund::State::Failed, reply.problem()));
    }
    let given: Given = reply.expect()?;
    Ok((given.state, given.failure.map(|words| words.message)))
}

/// The intent of an order, if it has one.
pub(crate) async fn find(payments: &Peer, order: Id) -> Result<Option<Intent>, PeerError> {
    let reply = payments.get(&format!("/internal/intents/{order}")).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(None),
        _ => reply.expect().map(Some),
    }
}

/// What the payments of the orders after this one come to, by order.
pub(crate) async fn sums(payments: &Peer, after: &str, limit: u32) -> Result<Vec<Sums>, PeerError> {
    let reply = payments.get(&page("/internal/intents", after, limit)).await?;
    Ok(reply.expect::<Items>()?.items)
}

/// What came from providers and cannot be applied.
pub(crate) async fn unapplied(payments: &Peer) -> Result<Unapplied, PeerError> {
    payments.get("/internal/webhooks/audit").await?.expect()
}

impl Given {
    /// Why it failed.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_ref().map(|words| words.message.as_str())
    }
}

/// What the shopper has to enter again. Whatever else payments cannot read is not for them to mend: payments and orders
/// disagree, as revisions of two releases may, and the order waits.
fn unusable(reply: &Reply) -> Report {
    let violations = member(reply, "errors");
    let mut fields = violations.as_array().into_iter().flatten().map(|violation| &violation["field"]);
    if reply.problem().as_deref() == Some("card-number") || fields.any(|field| field == "payment_method") {
        let (reason, message) = ("invalid_payment_method", "The payment details cannot be used. Enter them again.");
        return refused(Event::Declined, reason, message);
    }
    Report::open(format!("payments cannot read what orders asks: {violations}"))
}

fn failed(event: Event, words: Option<Words>) -> Report {
    match words {
        Some(Words { code, message }) => refused(event, &code, &message),
        None => refused(event, "payment_failed", "The payment could not be made. Nothing was charged."),
    }
}

fn refused(event: Event, reason: &str, message: &str) -> Report {
    Report::failed(event, Failure::Payment { reason: reason.to_owned(), message: message.to_owned() })
}
