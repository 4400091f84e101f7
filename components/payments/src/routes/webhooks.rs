//! Where providers call.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use service::Error;
use service::answer;
use service::request::{Segments, read_body};

use crate::app::App;
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
