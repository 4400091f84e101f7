//! The cart: what is in it, and that it was ordered.

use axum::http::StatusCode;
use catalog_client::Wish;
use commerce::{Id, Money, Problem, Quantity, Sku};
use serde::Deserialize;
use serde_json::{Value, json};
use service::{Error, Peer, PeerError};

use crate::error::Refusal;
use crate::order::Order;
use crate::request::Cart;

/// What is in a cart.
#[derive(Debug, Deserialize)]
pub(crate) struct Basket {
    lines: Vec<Line>,
    pub(crate) coupons: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Line {
    sku: Sku,
    quantity: Quantity,
    #[serde(default)]
    seen_price: Option<Money>,
}

impl Basket {
    /// What is wanted.
    pub(crate) fn wishes(self) -> Vec<Wish> {
        let wish = |line: Line| Wish { sku: line.sku, quantity: line.quantity, seen_price: line.seen_price };
        self.lines.into_iter().map(wish).collect()
    }
}

/// What is in a cart, which must be there and have something in it.
pub(crate) async fn resolve(peer: &Peer, cart: &Cart) -> Result<Basket, Error> {
    let reply = peer.post("/internal/carts/resolve", cart).await?;
    match (reply.status, reply.problem().as_deref()) {
        (StatusCode::NOT_FOUND, _) => return Err(Refusal::NoCart.into()),
        (StatusCode::CONFLICT, Some("cart-merging")) => {
            let problem = Problem::new(StatusCode::CONFLICT, "cart-merging", "The cart is being merged");
            return Err(problem.detail("the cart is on its way into an account; repeat the merge first").into());
        }
        _ => {}
    }
    let basket: Basket = reply.expect()?;
    if basket.lines.is_empty() {
        return Err(Refusal::EmptyCart.into());
    }
    Ok(basket)
}

/// Takes what was ordered out of the cart. A cart that is gone has nothing left to take out.
pub(crate) async fn check_out(peer: &Peer, cart: &Cart, order: &Order) -> Result<(), PeerError> {
    let mut body = json!(cart);
    let lines: Vec<Value> =
        order.content.priced.lines.iter().map(|line| json!({"sku": line.sku, "quantity": line.quantity})).collect();
    body["order_id"] = json!(Id::to_string(&order.id));
    body["lines"] = json!(lines);
    let reply = peer.post("/internal/carts/checked-out", &body).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(()),
        _ => reply.expect::<Value>().map(|_| ()),
    }
}
