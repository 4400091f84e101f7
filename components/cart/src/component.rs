//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use catalog_client::Catalog;
use service::{Access, Peer, SettingError, variable, wasi_http};
use spin_sdk::http::Request;

use crate::app::App;
use crate::routes;
use crate::store::keyvalue::KeyValue;

/// The label of the key-value store.
const STORE: &str = "cart";

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let (url, secret) = (variable("catalog_url").await?, variable("internal_secret").await?);
    let currency = commerce::parse_currency(&variable("currency").await?)?;
    let catalog = Catalog::new(Peer::new("catalog", &url, &secret, wasi_http()), currency);
    let access = Access::from_variables().await?;
    Ok(routes::router(App { store: Box::new(KeyValue::open(STORE)?), access, catalog }))
}
