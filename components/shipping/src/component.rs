//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use service::{Access, Peer, SettingError, variable, wasi_http};
use spin_sdk::http::Request;

use crate::app::{App, Settings};
use crate::country::Country;
use crate::routes;
use crate::token::Signer;

/// Longest time that a quote may be good, in seconds.
const QUOTE_TTL_S_MAX: u32 = 7 * 24 * 60 * 60;

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let settings = Settings {
        currency: commerce::parse_currency(&variable("currency").await?)?,
        home: Country::try_from(variable("home_country").await?)?,
        signer: Signer::new(&variable("quote_secret").await?)?,
        quote_ttl_s: quote_ttl_s(&variable("quote_ttl_s").await?)?,
    };
    let orders = Peer::new("orders", &variable("orders_url").await?, &variable("internal_secret").await?, wasi_http());
    Ok(routes::router(App::open("shipping", Access::from_variables().await?, settings, orders).await?))
}

fn quote_ttl_s(text: &str) -> Result<u32, SettingError> {
    let seconds = text.parse().ok().filter(|seconds| (1..=QUOTE_TTL_S_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("quote_ttl_s is 1 to {QUOTE_TTL_S_MAX} seconds, not {text:?}").into())
}
