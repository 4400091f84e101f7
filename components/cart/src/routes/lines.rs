//! The lines of a cart.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use catalog_client::Offer;
use commerce::{Quantity, Sku};
use serde::Deserialize;
use service::Error;
use service::request::{Segments, parse, read_body};

use super::{Reply, now};
use crate::app::App;
use crate::attempt::Condition;
use crate::cart::Cart;
use crate::changes::change;
use crate::error::Refusal;
use crate::owner::Owner;

/// What is added.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Addition {
    sku: Sku,
    quantity: Quantity,
}

/// How many there are to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    quantity: Quantity,
}

/// `POST /api/cart/lines`: so many more of a SKU. More than there is can be wished for, and is then shown as a problem.
pub(crate) async fn add(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let body = read_body(body).await?;
    let condition = Condition::with_attempt(&headers, "POST /api/cart/lines", &body)?;
    let Addition { sku, quantity } = parse(&body)?;
    let add = |cart: &mut Cart, offer: &Offer| {
        let price = offer.price(&sku).ok_or_else(|| Refusal::NotForSale(sku.clone()))?;
        Ok(cart.add(sku.clone(), quantity, price)?)
    };
    now(change(&app, &owner, &condition, Some(&sku), add).await)
}

/// `PUT /api/cart/lines/{sku}`: so many in all.
pub(crate) async fn set(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(sku): Segments<String>,
    body: Body,
) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let condition = Condition::from_headers(&headers)?;
    let Count { quantity } = parse(&read_body(body).await?)?;
    let sku = parse_sku(sku)?;
    let set = |cart: &mut Cart, offer: &Offer| cart.set(&sku, quantity, offer.price(&sku));
    now(change(&app, &owner, &condition, None, set).await)
}

/// `DELETE /api/cart/lines/{sku}`
pub(crate) async fn remove(State(app): State<Arc<App>>, headers: HeaderMap, Segments(sku): Segments<String>) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let condition = Condition::from_headers(&headers)?;
    let sku = parse_sku(sku)?;
    now(change(&app, &owner, &condition, None, |cart, _| cart.remove(&sku)).await)
}

/// The SKU in a path; a text that is none is in no cart.
fn parse_sku(text: String) -> Result<Sku, Error> {
    Sku::try_from(text.clone()).map_err(|_| Error::NotFound { what: "line", key: text })
}
