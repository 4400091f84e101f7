//! The entry point of the component, and its settings from the host's variables.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use catalog_client::Catalog;
use service::{Access, Peer, SettingError, variable, wasi_http};
use spin_sdk::http::Request;

use crate::app::App;
use crate::peers::Peers;
use crate::routes;
use crate::token::Tokens;

/// The label of the database.
const DATABASE: &str = "orders";

static ROUTER: OnceLock<Router> = OnceLock::new();

#[spin_sdk::http_service]
async fn handle(request: Request) -> Response<Body> {
    service::serve(&ROUTER, build(), request).await
}

async fn build() -> Result<Router, SettingError> {
    let currency = commerce::parse_currency(&variable("currency").await?)?;
    let tokens = Tokens::new(&variable("orders_token_secret").await?)?;
    let internal_secret = variable("internal_secret").await?;
    let peer =
        async |name, url| Ok::<_, SettingError>(Peer::new(name, &variable(url).await?, &internal_secret, wasi_http()));
    let catalog = peer("catalog", "catalog_url").await?;
    let peers = Peers {
        offers: Catalog::new(catalog.clone(), currency),
        catalog,
        cart: peer("cart", "cart_url").await?,
        payments: peer("payments", "payments_url").await?,
        shipping: peer("shipping", "shipping_url").await?,
    };
    let access = Access::from_variables().await?;
    Ok(routes::router(App::open(DATABASE, access, peers, tokens).await?))
}
