//! Shipping: promises of a price, and the parcel of an order.

use axum::http::StatusCode;
use catalog_client::Parcel;
use commerce::{Id, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use service::{Error, Peer, PeerError, Violation};

use super::member;
use crate::address::Address;
use crate::order::Order;
use crate::priced::Promise;

/// What a token promises.
#[derive(Debug)]
pub(crate) enum Verified {
    /// Still that.
    Kept(Promise),
    /// It was for another parcel; this is what the same method asks for this one now, with a token for it.
    Renewed { promise: Promise, token: String },
}

#[derive(Deserialize)]
struct Quote {
    #[serde(flatten)]
    promise: Promise,
    token: String,
}

/// What a shipping quote promises for a parcel to an address, or why it is not good for it.
pub(crate) async fn verify(shipping: &Peer, token: &str, address: &Address, parcel: Parcel) -> Result<Verified, Error> {
    let claim = json!({
        "token": token,
        "destination": {
            "country": address.country, "region": address.region, "city": address.city, "postcode": address.postcode,
        },
        "parcel": parcel,
    });
    let reply = shipping.post("/internal/quotes/verify", &claim).await?;
    let kind = reply.problem();
    let refused = |kind, title| {
        let detail = member(&reply, "detail").as_str().unwrap_or_default().to_owned();
        let parcel = json!(parcel);
        Err(Problem::new(StatusCode::CONFLICT, kind, title).detail(detail).member("parcel", parcel).into())
    };
    match kind.as_deref() {
        Some("quote-expired") => refused("quote-expired", "The shipping quote has expired"),
        Some("quote-altered") => refused("quote-altered", "The shipping quote is not one of ours"),
        Some("quote-differs") => match serde_json::from_value::<Quote>(member(&reply, "renewed")) {
            Ok(Quote { promise, token }) => Ok(Verified::Renewed { promise, token }),
            Err(_) => refused("quote-differs", "The shipping quote is for another parcel"),
        },
        Some("invalid") => {
            let rule = "is no address that shipping can send to";
            Err(Error::Invalid(vec![Violation::new("shipping_address", rule)]))
        }
        _ => Ok(Verified::Kept(reply.expect()?)),
    }
}

/// Has the parcel of an order made. A refusal is final, and told in words.
pub(crate) async fn make(shipping: &Peer, order: &Order) -> Result<Result<(), String>, PeerError> {
    let address = &order.content.shipping_address;
    let priced = &order.content.priced;
    let lines: Vec<Value> =
        priced.lines.iter().map(|line| json!({"sku": line.sku, "quantity": line.quantity})).collect();
    let wish = json!({
        "order_id": order.id,
        "method": priced.shipping.method,
        "address": {
            "name": address.name, "line1": address.lines.first(), "line2": address.lines.get(1),
            "city": address.city, "region": address.region, "postcode": address.postcode, "country": address.country,
        },
        "lines": lines,
    });
    done(shipping, "/internal/shipments", &wish).await
}

/// The parcel of an order, as far as its order cares.
#[derive(Debug, Deserialize)]
pub(crate) struct Shipment {
    pub(crate) tracking_number: Option<String>,
    /// What happened to it, the earliest first.
    pub(crate) events: Vec<Event>,
}

/// Something that happened to a parcel.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    pub(crate) state: String,
    /// The account that reported it, or the service.
    pub(crate) actor: String,
}

/// The parcel of an order, if there is one.
pub(crate) async fn find(shipping: &Peer, order: Id) -> Result<Option<Shipment>, PeerError> {
    let reply = shipping.get(&format!("/internal/shipments/{order}")).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(None),
        _ => reply.expect().map(Some),
    }
}

/// Tells where the parcel of an order is. A refusal is final: shipping knows better.
pub(crate) async fn report(
    shipping: &Peer,
    order: Id,
    state: &str,
    tracking: Option<&str>,
) -> Result<Result<(), String>, PeerError> {
    let event = json!({"state": state, "tracking_number": tracking});
    done(shipping, &format!("/internal/shipments/{order}/events"), &event).await
}

/// Has the parcel of an order not sent. A refusal is final: the carrier has it.
pub(crate) async fn recall(shipping: &Peer, order: Id) -> Result<Result<(), String>, PeerError> {
    done(shipping, &format!("/internal/shipments/{order}/cancel"), &Value::Null).await
}

async fn done(shipping: &Peer, path: &str, body: &Value) -> Result<Result<(), String>, PeerError> {
    let reply = shipping.post(path, body).await?;
    match reply.status {
        StatusCode::NOT_FOUND | StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
            Ok(Err(reply.problem().unwrap_or_else(|| reply.status.to_string())))
        }
        _ => reply.expect::<Value>().map(|_| Ok(())),
    }
}
