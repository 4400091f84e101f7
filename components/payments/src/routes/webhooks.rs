//! Where providers call, and what could not be made of that.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use service::Error;
use service::answer;
use service::request::{Segments, read_body};

use crate::app::App;
use crate::store;
use crate::webhooks;

/// `POST /api/payments/webhooks/{provider}`: 200 says that it is stored.
pub(crate) async fn receive(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(provider): Segments<String>,
    body: Body,
) -> Result<Response, Error> {
    webhooks::receive(&app, &provider, &headers, &read_body(body).await?).await?;
    Ok(answer::json(r#"{"received":true}"#))
}

/// `GET /internal/webhooks/audit`: what came and cannot be applied.
pub(crate) async fn audit(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Error> {
    app.access.internal(&headers)?;
    let failing = store::webhooks::failing(&app.database).await?;
    Ok(answer::json(serde_json::to_string(&failing)?))
}
