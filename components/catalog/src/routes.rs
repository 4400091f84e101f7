//! Everything that the catalog can be asked.
//!
//! Under `/api` products are read by everyone, and all else is for staff; `/internal` is for the shop's other services and
//! on no public route.

mod audit;
mod categories;
mod products;
mod redemptions;
mod reservations;
mod rules;
mod transfer;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use service::answer;

use crate::app::App;
use crate::rules::{Promotions, TaxRates};

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route(
            "/api/products/{key}",
            get(products::show).put(products::replace).patch(products::patch).delete(products::archive),
        )
        .route("/api/products", get(products::list).post(products::create))
        .route("/api/products/{key}/variants/{sku}/stock", post(products::adjust_stock))
        .route("/api/categories", get(categories::tree).post(categories::create))
        .route("/api/categories/{slug}", get(categories::show).put(categories::update))
        .route("/api/catalog/import", post(transfer::import))
        .route("/api/catalog/export", get(transfer::export))
        .route("/api/catalog/openapi.json", get(openapi))
        .route("/internal/variants", get(reservations::variants))
        .route("/internal/reservations", get(audit::reservations).post(reservations::hold))
        .route("/internal/reservations/sweep", post(reservations::sweep))
        .route("/internal/reservations/{order_id}", get(reservations::show))
        .route("/internal/reservations/{order_id}/commit", post(reservations::commit))
        .route("/internal/reservations/{order_id}/release", post(reservations::release))
        .route("/internal/restocks", post(reservations::restock))
        .route("/internal/stock/audit", get(audit::stock))
        .route("/api/promotions", get(rules::list::<Promotions>).post(rules::create::<Promotions>))
        .route(
            "/api/promotions/{id}",
            get(rules::show::<Promotions>).put(rules::replace::<Promotions>).delete(rules::remove::<Promotions>),
        )
        .route("/api/tax-rates", get(rules::list::<TaxRates>).post(rules::create::<TaxRates>))
        .route(
            "/api/tax-rates/{id}",
            get(rules::show::<TaxRates>).put(rules::replace::<TaxRates>).delete(rules::remove::<TaxRates>),
        )
        .route("/api/tax-settings", get(rules::show_settings).put(rules::replace_settings))
        .route("/internal/pricing-rules", get(rules::book))
        .route("/internal/redemptions", post(redemptions::redeem))
        .route("/internal/redemptions/{order_id}/release", post(redemptions::release))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}
