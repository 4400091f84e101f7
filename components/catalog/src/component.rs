//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use service::{Access, SettingError, variable};
use spin_sdk::http::Request;

use crate::app::App;
use crate::routes;

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let currency = commerce::parse_currency(&variable("currency").await?)?;
    Ok(routes::router(App::open("catalog", Access::from_variables().await?, currency).await?))
}
