//! The coupons of a cart. Any code can be entered: whether it takes something off depends on the cart, and the cart as
//! it is shown says why one does not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;
use service::Error;
use service::request::{Segments, parse, read_body};

use super::{Reply, now};
use crate::app::App;
use crate::attempt::Condition;
use crate::changes::change;
use crate::owner::Owner;

/// Longest code, in characters; no coupon of the catalog has a longer one.
const CODE_CHARS_MAX: usize = 40;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coupon {
    code: String,
}

/// `POST /api/cart/coupons`
pub(crate) async fn enter(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let body = read_body(body).await?;
    let condition = Condition::with_attempt(&headers, "POST /api/cart/coupons", &body)?;
    let coupon: Coupon = parse(&body)?;
    let code = coupon.code.trim();
    let fits = (1..=CODE_CHARS_MAX).contains(&code.chars().count());
    if !fits || code.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Err(Error::invalid("code", format!("1 to {CODE_CHARS_MAX} characters without spaces")));
    }
    now(change(&app, &owner, &condition, None, |cart, _| Ok(cart.enter(code.to_owned())?)).await)
}

/// `DELETE /api/cart/coupons/{code}`
pub(crate) async fn withdraw(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(code): Segments<String>,
) -> Reply {
    let owner = Owner::from_headers(&app.access, &headers).await?;
    let condition = Condition::from_headers(&headers)?;
    now(change(&app, &owner, &condition, None, |cart, _| cart.withdraw(&code)).await)
}
