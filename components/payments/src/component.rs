//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use service::{Access, Peer, SettingError, variable, wasi_http};
use spin_sdk::http::Request;
use sql::Database;

use crate::app::App;
use crate::provider::stripe::Stripe;
use crate::provider::test::TestProvider;
use crate::provider::{Provider, Providers};
use crate::routes;

/// The label of the database.
const DATABASE: &str = "payments";

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let orders = Peer::new("orders", &variable("orders_url").await?, &variable("internal_secret").await?, wasi_http());
    let access = Access::from_variables().await?;
    let webhook_secret = variable("payments_webhook_secret").await?;
    let app = App::open(DATABASE, access, providers().await?, webhook_secret, orders).await?;
    Ok(routes::router(app))
}

async fn providers() -> Result<Providers, SettingError> {
    let secret_key = variable("stripe_secret_key").await?;
    let url = variable("stripe_url").await?;
    let stripe = || -> Box<dyn Provider> { Box::new(Stripe::new(&url, &secret_key, wasi_http())) };
    match variable("payments_provider").await?.as_str() {
        TestProvider::NAME => {
            eprintln!("warning: the test provider is on, so no money moves; see the variable payments_provider");
            let others = if secret_key.is_empty() { Vec::new() } else { vec![stripe()] };
            Ok(Providers::new(Box::new(TestProvider::new(Database::new(DATABASE))), others))
        }
        Stripe::NAME if secret_key.is_empty() => Err("the variable stripe_secret_key is empty".into()),
        Stripe::NAME => Ok(Providers::new(stripe(), Vec::new())),
        other => Err(format!("the variable payments_provider is {other:?}; it is `test` or `stripe`").into()),
    }
}
