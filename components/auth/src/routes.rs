//! Everything that can be asked about accounts.
//!
//! `/api/auth` is public, each route with the token that it needs; `/internal` is for the shop's other services and
//! on no public route.

mod accounts;
mod api_keys;
mod internal;
mod keys;
mod mail;
mod oidc;
mod password;
mod profile;
mod register;
mod session;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use service::{Error, answer};

use crate::app::App;

/// The description of the public and internal routes.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

type Reply = Result<Response, Error>;

/// The service as a router.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/api/auth/register", post(register::register))
        .route("/api/auth/login", post(session::login))
        .route("/api/auth/refresh", post(session::refresh))
        .route("/api/auth/logout", post(session::logout))
        .route("/api/auth/me", get(profile::show).patch(profile::patch).delete(profile::delete))
        .route("/api/auth/password", post(password::change))
        .route("/api/auth/password/reset-requests", post(password::request_reset))
        .route("/api/auth/password/resets", post(password::reset))
        .route("/api/auth/email/verification-requests", post(mail::request_verification))
        .route("/api/auth/email/verifications", post(mail::verify))
        .route("/api/auth/api-keys", get(api_keys::list).post(api_keys::create))
        .route("/api/auth/api-keys/{id}", delete(api_keys::revoke))
        .route("/api/auth/token", post(token::token))
        .route("/api/auth/oidc/{provider}/start", get(oidc::start))
        .route("/api/auth/oidc/{provider}/callback", get(oidc::callback))
        .route("/api/auth/accounts", get(accounts::list).post(accounts::create))
        .route("/api/auth/accounts/{id}", get(accounts::show))
        .route("/api/auth/accounts/{id}/role", put(accounts::set_role))
        .route("/api/auth/accounts/{id}/customer-group", put(accounts::set_customer_group))
        .route("/api/auth/accounts/{id}/unlock", post(accounts::unlock))
        .route("/api/auth/keys/rotate", post(keys::rotate))
        .route("/api/auth/openapi.json", get(openapi))
        .route("/.well-known/jwks.json", get(keys::jwks))
        .route("/internal/accounts/{id}", get(internal::account))
        .route("/internal/keys/rotate", post(internal::rotate_keys))
        .route("/internal/outbox", get(internal::events))
        .route("/internal/sweep", post(internal::sweep))
        .fallback(commerce::not_found)
        .method_not_allowed_fallback(commerce::method_not_allowed)
        .with_state(Arc::new(app))
}

async fn openapi() -> Response {
    answer::json(OPENAPI)
}
