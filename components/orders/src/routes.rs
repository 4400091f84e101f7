//! Everything that orders can be asked.
//!
//! Under `/api` shoppers place their orders and look after them, and staff runs them; `/internal` is for the shop's other
//! services and the host's schedule, and on no public route.

mod audit;
mod changes;
mod checkout;
mod internal;
mod orders;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use service::{Error, answer};

use crate::app::App;
use crate::order::Order;
use crate::store::refunds;
use crate::view;

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

type Reply = Result<Response, Error>;

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/checkout", post(checkout::check_out))
        .route("/api/orders", get(orders::list))
        .route("/api/orders/{id}", get(orders::show))
        .route("/api/orders/{id}/history", get(orders::history))
        .route("/api/orders/{id}/cancel", post(changes::cancel))
        .route("/api/orders/{id}/refunds", post(changes::refund))
        .route("/api/orders/{id}/transitions", post(changes::transition))
        .route("/api/orders/audit", get(audit::audit))
        .route("/api/orders/openapi.json", get(openapi))
        .route("/internal/orders/sweep", post(internal::sweep))
        .route("/internal/payments/changed", post(internal::payment_changed))
        .route("/internal/shipments/changed", post(internal::parcel_changed))
        .route("/internal/outbox", get(internal::events))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}

/// An order as it stands, with its entity tag.
fn shown(app: &App, order: &Order) -> Reply {
    let refunds = refunds::list(&app.database, order.id)?;
    Ok(tagged(StatusCode::OK, order, view::order(order, &refunds).to_string()))
}

/// An answer that is about an order, with the order's entity tag. It is its owner's alone, whatever lies between.
fn tagged(status: StatusCode, order: &Order, body: String) -> Response {
    let private = [(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"))];
    let mut response = (status, private, answer::json(body)).into_response();
    // An entity tag is quotes, digits and a hyphen.
    if let Ok(etag) = HeaderValue::from_str(&order.etag()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}
