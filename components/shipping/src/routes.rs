//! Everything that shipping can be asked.
//!
//! Under `/api` quotes and places are for everyone, and the rest for staff; `/internal` is for the shop's other
//! services and on no public route.

mod places;
mod quotes;
mod shipments;
mod tariff;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use commerce::{Cursor, Id, Limit};
use serde::Serialize;
use serde_json::json;
use service::{Error, answer};

use crate::app::App;
use crate::query::BY_ID;

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/shipping/quotes", post(quotes::quote))
        .route("/api/shipping/cities", get(places::cities))
        .route("/api/shipping/postcodes", get(places::postcodes))
        .route("/api/shipping/places/import", post(places::import))
        .route("/api/shipping/zones", get(tariff::zones).post(tariff::add_zone))
        .route("/api/shipping/zones/{id}", get(tariff::show_zone).put(tariff::replace_zone).delete(tariff::delete_zone))
        .route("/api/shipping/zones/{id}/methods", get(tariff::methods).post(tariff::add_method))
        .route(
            "/api/shipping/methods/{id}",
            get(tariff::show_method).put(tariff::replace_method).delete(tariff::delete_method),
        )
        .route("/api/shipping/shipments", get(shipments::list))
        .route("/api/shipping/shipments/{id}", get(shipments::show))
        .route("/api/shipping/shipments/{id}/events", post(shipments::report))
        .route("/api/shipping/openapi.json", get(openapi))
        .route("/internal/quotes/verify", post(quotes::verify))
        .route("/internal/shipments", post(shipments::create))
        .route("/internal/shipments/sweep", post(shipments::sweep))
        .route("/internal/shipments/{order_id}", get(shipments::of_order))
        .route("/internal/shipments/{order_id}/events", post(shipments::report_of_order))
        .route("/internal/shipments/{order_id}/cancel", post(shipments::cancel))
        .route("/internal/outbox", get(shipments::events))
        .route("/internal/outbox/audit", get(shipments::audit))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}

/// A page of a list by id; a full one may have another after it.
fn page<T: Serialize>(items: Vec<T>, limit: Limit, id: impl Fn(&T) -> Id) -> Result<Response, Error> {
    let full = items.len() == limit.get() as usize;
    let last = items.last().filter(|_| full).map(id);
    let next = last.map(|after| Cursor { sort: BY_ID.to_owned(), after }.encode());
    Ok(answer::json(json!({"items": serde_json::to_value(items)?, "next_cursor": next}).to_string()))
}

/// The id in a path; a text that is none names nothing.
fn parse_id(what: &'static str, text: String) -> Result<Id, Error> {
    text.parse().map_err(|_| Error::NotFound { what, key: text })
}
