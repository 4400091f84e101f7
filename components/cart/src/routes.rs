//! Everything that carts can be asked.
//!
//! Under `/api` a shopper has one cart: with a bearer token the account's, else the guest's whose token is in
//! `X-Cart-Token`. `/internal` is for the shop's other services and on no public route.

mod coupons;
mod internal;
mod lines;
mod whole;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use serde_json::Value;
use service::{Error, answer};

use crate::app::App;
use crate::view::Shown;

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// A cart is its owner's alone, whatever lies between.
const HEADERS: [(HeaderName, HeaderValue); 2] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    (header::VARY, HeaderValue::from_static("Authorization, X-Cart-Token")),
];

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/cart", get(whole::show).post(whole::open).delete(whole::discard))
        .route("/api/cart/lines", post(lines::add))
        .route("/api/cart/lines/{sku}", put(lines::set).delete(lines::remove))
        .route("/api/cart/coupons", post(coupons::enter))
        .route("/api/cart/coupons/{code}", delete(coupons::withdraw))
        .route("/api/cart/destination", put(whole::send_to))
        .route("/api/cart/merge", post(whole::merge))
        .route("/api/cart/openapi.json", get(openapi))
        .route("/internal/carts/resolve", post(internal::resolve))
        .route("/internal/carts/checked-out", post(internal::check_out))
        .route("/internal/carts/sweep", post(internal::sweep))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}

type Reply = Result<Response, Error>;

/// An answer about a cart, with its entity tag.
fn about(status: StatusCode, body: &Value, etag: &str) -> Response {
    let mut response = (status, HEADERS, answer::json(body.to_string())).into_response();
    // An entity tag is made of quotes, digits, letters and a hyphen.
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The cart as it is now.
fn now(shown: Result<Shown, Error>) -> Reply {
    shown.map(|shown| about(StatusCode::OK, &shown.cart, &shown.etag))
}
