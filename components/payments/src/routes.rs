//! Everything that payments can be asked.
//!
//! Under `/api` are the shopper's way back, the providers' webhooks, and what staff looks at; `/internal` is for the
//! shop's other services and on no public route.

mod intents;
mod lists;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use service::{Error, answer};

use crate::app::App;

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/payments/intents/{id}", get(intents::show_to_staff))
        .route("/api/payments/intents/{order_id}/confirm", post(intents::confirm))
        .route("/api/payments/webhooks/{provider}", post(webhooks::receive))
        .route("/api/payments/openapi.json", get(openapi))
        .route("/internal/intents", get(lists::intents).post(intents::authorize))
        .route("/internal/intents/sweep", post(intents::sweep))
        .route("/internal/intents/{order_id}", get(intents::show))
        .route("/internal/intents/{order_id}/capture", post(intents::capture))
        .route("/internal/intents/{order_id}/void", post(intents::void))
        .route("/internal/intents/{order_id}/refunds", post(intents::refund))
        .route("/internal/migrate", post(migrate))
        .route("/internal/webhooks/audit", get(webhooks::audit))
        .route("/internal/outbox", get(lists::events))
        .route("/internal/outbox/audit", get(lists::audit))
        .route("/internal/test-provider/ledger", get(lists::test_ledger))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

/// `POST /internal/migrate`: who is asked anything has its tables, so that there is nothing left to do.
async fn migrate(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<StatusCode, Error> {
    app.access.internal(&headers)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}
