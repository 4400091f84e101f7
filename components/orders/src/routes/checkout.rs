//! Placing an order.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commerce::Problem;
use identity::{IdentityError, Principal, guest};
use serde_json::json;
use service::idempotency::Attempt;
use service::request::read_body;
use service::{Error, cards};

use super::{Reply, tagged};
use crate::app::App;
use crate::checkout;
use crate::failure::called_off;
use crate::order::Order;
use crate::request::{Cart, Request};
use crate::state::State as Stage;
use crate::view;
use crate::wish::{CheckoutInput, TOKEN_PLACES};

/// What the fingerprint of a checkout covers beside its body.
const TARGET: &str = "POST /api/checkout";

/// `POST /api/checkout`: 201 with the order when it is paid, 202 while that is not known or the shopper has to act.
pub(crate) async fn check_out(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let principal = match headers.contains_key(header::AUTHORIZATION) {
        true => Some(app.access.principal(&headers).await?),
        false => None,
    };
    let customer = principal.as_ref().map(|principal| principal.subject().to_owned());
    let body = read_body(body).await?;
    let input: CheckoutInput = cards::parse_with_tokens(&body, &TOKEN_PLACES)?;
    let (actor, cart) = match (&customer, input.cart_token()) {
        (Some(customer), Some(token)) => (format!("account:{customer}"), Cart::Token(token.to_owned())),
        (Some(customer), None) => (format!("account:{customer}"), Cart::Customer(customer.clone())),
        (None, Some(token)) => (format!("cart:{}", guest::token_digest(token)), Cart::Token(token.to_owned())),
        (None, None) => return Err(IdentityError::Missing.into()),
    };
    let attempt = Attempt::new(&headers, &actor, TARGET, &body)?;
    let key = attempt.required_key()?.to_owned();
    let is_guest = customer.is_none();
    let customer_group = principal.as_ref().map(Principal::customer_group).unwrap_or_default().to_owned();
    let fingerprint = attempt.fingerprint().to_owned();
    let request = Request { actor, key, fingerprint, customer, customer_group, cart };
    let order = match checkout::find(&app, &request).await? {
        Some(order) => order,
        None => checkout::place(&app, &request, input.check(is_guest).map_err(Error::Invalid)?).await?,
    };
    answer(&app, &order)
}

/// What became of a checkout. Once it has ended, it is the same whenever it is asked for.
fn answer(app: &App, order: &Order) -> Reply {
    let (status, shown) = match (order.state, &order.failure) {
        (Stage::Pending, _) => (StatusCode::ACCEPTED, order.clone()),
        (Stage::Failed, Some(failure)) => return Ok(of_order(failure.problem(), order).into_response()),
        _ if order.paid.is_none() => return Ok(of_order(called_off(), order).into_response()),
        _ => (StatusCode::CREATED, order.as_paid()),
    };
    let mut body = view::order(&shown, &[]);
    if shown.token_digest.is_some() {
        body["order_token"] = json!(app.tokens.of(order.id));
    }
    let mut response: Response = tagged(status, &shown, body.to_string());
    // An id is a header value.
    if let Ok(location) = HeaderValue::from_str(&format!("/api/orders/{}", order.id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn of_order(problem: Problem, order: &Order) -> Problem {
    problem.member("order_id", order.id.to_string()).member("number", order.number.as_str())
}
