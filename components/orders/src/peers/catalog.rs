//! The catalog: stock that is held, sold and given back, and coupons that are used.

use axum::http::StatusCode;
use commerce::{Id, parse_rfc3339};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::{Peer, PeerError, Reply};

use super::{Report, member, page};
use crate::failure::Failure;
use crate::order::Order;
use crate::refund;
use crate::saga::Event;

/// How long stock is held for an order before it has to be asked for again, in seconds. It outlasts a lease and every
/// call, so that a checkout that goes on finds its stock.
const HOLD_S: u32 = 10 * 60;
/// How often a wish is repeated that was refused although nothing is short any more.
const TRIES_MAX: u32 = 3;

/// What came of giving something back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Returned {
    Yes,
    /// There never was anything.
    Nothing,
    /// The stock was sold, and can only be restocked.
    WasSold,
}

/// A reservation, and what else the catalog keeps for its order.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reserved {
    pub(crate) order_id: String,
    pub(crate) state: String,
    #[serde(rename = "expires_at", deserialize_with = "from_rfc3339")]
    pub(crate) expires_at_ms: i64,
    pub(crate) lines: Vec<refund::Line>,
    pub(crate) restocked: Vec<refund::Line>,
    pub(crate) redemption: Option<String>,
}

/// Whether the catalog's counts add up.
#[derive(Debug, Deserialize)]
pub(crate) struct StockAudit {
    pub(crate) variants: u64,
    /// How many of them do not.
    pub(crate) wrong_total: u64,
    /// The first of these.
    pub(crate) wrong: Vec<Value>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize)]
struct Line<'a> {
    sku: &'a str,
    quantity: u32,
}

/// Holds the stock of an order; held already, for longer.
pub(crate) async fn hold(catalog: &Peer, order: &Order) -> Result<Report, PeerError> {
    let lines: Vec<Line<'_>> = order
        .content
        .priced
        .lines
        .iter()
        .map(|line| Line { sku: line.sku.as_str(), quantity: line.quantity.get() })
        .collect();
    let wish = json!({"order_id": order.id, "lines": lines, "expires_in_s": HOLD_S});
    let refused = |reply: &Reply| problem_with(reply, "out-of-stock", "short");
    let reply = insist(catalog, "/internal/reservations", &wish, refused).await?;
    if let Some(short) = refused(&reply) {
        return Ok(Report::failed(Event::Short, Failure::OutOfStock { short }));
    }
    let state = member(&reply, "state");
    reply.expect::<Value>()?;
    match state.as_str() {
        Some("held" | "committed") => Ok(Report::of(Event::Held)),
        _ => Ok(Report::open(format!("the reservation is {state}"))),
    }
}

/// Sells the stock that is held for an order.
pub(crate) async fn commit(catalog: &Peer, order: Id) -> Result<Report, PeerError> {
    let reply = catalog.post(&format!("/internal/reservations/{order}/commit"), &Value::Null).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(Report::of(Event::HoldLost)),
        StatusCode::CONFLICT if reply.problem().as_deref() == Some("reservation-closed") => {
            Ok(Report::of(Event::HoldLost))
        }
        _ => reply.expect::<Value>().map(|_| Report::of(Event::Sold)),
    }
}

/// Gives back the stock that is held for an order.
pub(crate) async fn release(catalog: &Peer, order: Id) -> Result<Returned, PeerError> {
    let reply = catalog.post(&format!("/internal/reservations/{order}/release"), &Value::Null).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(Returned::Nothing),
        StatusCode::CONFLICT if member(&reply, "state") == "committed" => Ok(Returned::WasSold),
        _ => reply.expect::<Value>().map(|_| Returned::Yes),
    }
}

/// Takes units of a sold order back into stock. A refusal is final, and told in words.
pub(crate) async fn restock(
    catalog: &Peer,
    restock: Id,
    order: Id,
    lines: &[refund::Line],
) -> Result<Result<(), String>, PeerError> {
    let wish = json!({"restock_id": restock, "order_id": order, "lines": lines});
    let reply = catalog.post("/internal/restocks", &wish).await?;
    match reply.status {
        StatusCode::CONFLICT | StatusCode::NOT_FOUND => Ok(Err(reply.problem().unwrap_or_default())),
        _ => reply.expect::<Value>().map(|_| Ok(())),
    }
}

/// Uses the coupons of an order.
pub(crate) async fn redeem(catalog: &Peer, order: &Order) -> Result<Report, PeerError> {
    let wish = json!({"order_id": order.id, "customer": order.customer, "coupons": order.content.priced.coupons});
    let refused = |reply: &Reply| problem_with(reply, "coupons-refused", "coupons");
    let reply = insist(catalog, "/internal/redemptions", &wish, refused).await?;
    if let Some(coupons) = refused(&reply) {
        return Ok(Report::failed(Event::CouponsRefused, Failure::CouponRefused { coupons }));
    }
    reply.expect::<Value>().map(|_| Report::of(Event::Redeemed))
}

/// Gives the uses of an order's coupons back.
pub(crate) async fn unredeem(catalog: &Peer, order: Id) -> Result<Returned, PeerError> {
    let reply = catalog.post(&format!("/internal/redemptions/{order}/release"), &Value::Null).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(Returned::Nothing),
        _ => reply.expect::<Value>().map(|_| Returned::Yes),
    }
}

/// The reservations of the orders after this one, by order.
pub(crate) async fn reservations(catalog: &Peer, after: &str, limit: u32) -> Result<Vec<Reserved>, PeerError> {
    let reply = catalog.get(&page("/internal/reservations", after, limit)).await?;
    Ok(reply.expect::<Items<Reserved>>()?.items)
}

/// Whether the catalog's counts add up.
pub(crate) async fn audit_stock(catalog: &Peer) -> Result<StockAudit, PeerError> {
    catalog.get("/internal/stock/audit").await?.expect()
}

fn from_rfc3339<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rfc3339(&text).ok_or_else(|| D::Error::custom("a time as of RFC 3339 was expected"))
}

/// Posts a wish, again if it was refused and the refusal names nothing: what was short came back meanwhile.
async fn insist(
    catalog: &Peer,
    path: &str,
    wish: &Value,
    refused: impl Fn(&Reply) -> Option<Value>,
) -> Result<Reply, PeerError> {
    let mut reply = catalog.post(path, wish).await?;
    for _ in 1..TRIES_MAX {
        if !refused(&reply).is_some_and(|named| named.as_array().is_none_or(Vec::is_empty)) {
            break;
        }
        reply = catalog.post(path, wish).await?;
    }
    Ok(reply)
}

/// A member of a refusal, if the answer is one of this kind.
fn problem_with(reply: &Reply, kind: &str, name: &str) -> Option<Value> {
    (reply.status == StatusCode::CONFLICT && reply.problem().as_deref() == Some(kind)).then(|| member(reply, name))
}
