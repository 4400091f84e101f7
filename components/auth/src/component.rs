//! The entry point of the component, and its settings from the host's variables.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use identity::Settings;
use service::{SettingError, variable, wasi_http};
use spin_sdk::http::Request;

use crate::app::{App, Config};
use crate::oidc::Providers;
use crate::routes;

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let verified_only = match variable("email_verification").await?.as_str() {
        "optional" => false,
        "required" => true,
        other => return Err(format!("email_verification is \"optional\" or \"required\", not {other:?}").into()),
    };
    let config = Config {
        identity: Settings {
            jwks: variable("jwks").await?,
            jwks_url: String::new(),
            issuer: variable("token_issuer").await?,
            audience: variable("token_audience").await?,
        },
        internal_secret: variable("internal_secret").await?,
        verified_only,
        providers: Providers::parse(&variable("oidc_issuers").await?)?,
    };
    Ok(routes::router(App::open("auth", config, wasi_http(), Arc::new(commerce::unix_ms)).await?))
}
