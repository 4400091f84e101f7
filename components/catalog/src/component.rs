//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use identity::{Identity, Settings};
use spin_sdk::http::Request;
use spin_sdk::variables;

use crate::app::App;
use crate::routes;

/// Built by the first request of the instance and kept: variables do not change while it lives.
static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    let router = match ROUTER.get() {
        Some(router) => router,
        None => match build().await {
            Ok(router) => ROUTER.get_or_init(|| router),
            Err(reason) => return misconfigured(&reason).into_response(),
        },
    };
    let request = request.map(|body| Body::new(body.map_err(axum::Error::new)));
    let Ok(response) = tower_service::Service::call(&mut router.clone(), request).await;
    response
}

async fn build() -> Result<Router, String> {
    let settings = Settings {
        jwks: variable("jwks").await?,
        jwks_url: variable("jwks_url").await?,
        issuer: variable("token_issuer").await?,
        audience: variable("token_audience").await?,
    };
    let identity = Identity::new(&settings, identity::fetch).map_err(|error| error.to_string())?;
    let currency = commerce::parse_currency(&variable("currency").await?).map_err(|error| error.to_string())?;
    let app = App::open("catalog", identity, variable("internal_secret").await?, currency).await;
    Ok(routes::router(app.map_err(|error| error.to_string())?))
}

async fn variable(name: &str) -> Result<String, String> {
    variables::get(name).await.map_err(|error| format!("the variable {name}: {error}"))
}

fn misconfigured(reason: &str) -> commerce::Problem {
    eprintln!("the catalog cannot start: {reason}");
    let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    commerce::Problem::new(status, "not-ready", "The catalog cannot start")
}
