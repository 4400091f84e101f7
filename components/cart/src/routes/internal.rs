//! For the shop's other services: what is in a cart, and that it was ordered. They name a cart by the customer's
//! account or by the guest's token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::{Quantity, Sku, rfc3339, unix_ms};
use serde::Deserialize;
use serde_json::json;
use service::request::{parse, read_body};
use service::{Error, Violation, answer, figures};

use super::Reply;
use super::whole::OPENED;
use crate::app::App;
use crate::attempt::Condition;
use crate::cart::{Cart, State as Stage};
use crate::changes::{Stored, change_alone};
use crate::owner::Owner;
use crate::sweep::sweep as sweep_carts;

/// Longest id of an account or an order, in bytes.
const ID_BYTES_MAX: usize = 128;
/// Lines that one order may name.
const ORDERED_LINES_MAX: usize = pricing_client::LINES_MAX;

/// Whose cart is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    customer: Option<String>,
    token: Option<String>,
}

/// What was ordered from a cart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ordered {
    customer: Option<String>,
    token: Option<String>,
    order_id: String,
    lines: Vec<OrderedLine>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderedLine {
    sku: Sku,
    quantity: Quantity,
}

/// `POST /internal/carts/resolve`
pub(crate) async fn resolve(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let Wanted { customer, token } = parse(&read_body(body).await?)?;
    Ok(resolved(&Stored::open(&app, &owner(customer, token)?)?.cart))
}

/// `POST /internal/carts/checked-out`: takes what was ordered out of the cart, once for each order.
pub(crate) async fn check_out(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let Ordered { customer, token, order_id, lines } = parse(&read_body(body).await?)?;
    let mut owner = owner(customer, token)?;
    if !(1..=ID_BYTES_MAX).contains(&order_id.len()) {
        return Err(Error::invalid("order_id", format!("1 to {ID_BYTES_MAX} bytes")));
    }
    if lines.len() > ORDERED_LINES_MAX {
        return Err(Error::invalid("lines", format!("at most {ORDERED_LINES_MAX}")));
    }
    let Some(stored) = Stored::find(&app, &owner)? else { return Ok(resolved(&Cart::default())) };
    match stored.cart.state {
        // What was ordered as a guest may have gone into an account's cart meanwhile.
        Stage::Merged { into } => owner = Owner::of_key(&into).unwrap_or(owner),
        // There is nothing left that could be taken out.
        Stage::Discarded => return Ok(resolved(&Cart::default())),
        Stage::Open | Stage::Merging { .. } => {}
    }
    let ordered: Vec<_> = lines.into_iter().map(|line| (line.sku, line.quantity)).collect();
    let check_out = |cart: &mut Cart| cart.check_out(&order_id, &ordered);
    Ok(resolved(&change_alone(&app, &owner, &Condition::default(), check_out)?))
}

/// `POST /internal/carts/sweep`: removes the carts whose time is up.
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    figures::expect([OPENED]);
    Ok(answer::json(serde_json::to_string(&sweep_carts(&app, unix_ms).await?)?))
}

fn owner(customer: Option<String>, token: Option<String>) -> Result<Owner, Error> {
    let fits = |id: &String| (1..=ID_BYTES_MAX).contains(&id.len());
    match (customer.filter(fits), token.filter(fits)) {
        (Some(customer), None) => Ok(Owner::account(&customer)),
        (None, Some(token)) => Ok(Owner::guest(&token)),
        _ => Err(Error::Invalid(vec![Violation::new("", "names a customer or a token, and not both")])),
    }
}

/// A cart as orders see it.
fn resolved(cart: &Cart) -> Response {
    let lines: Vec<_> = cart
        .lines
        .iter()
        .map(|line| json!({"sku": line.sku, "quantity": line.quantity, "seen_price": line.seen_price}))
        .collect();
    let body = json!({
        "version": cart.version,
        "lines": lines,
        "coupons": cart.coupons,
        "destination": cart.destination,
        "expires_at": (cart.version != 0).then(|| rfc3339(cart.expires_at_ms())),
    });
    answer::json(body.to_string())
}
