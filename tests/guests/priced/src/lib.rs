//! Has the cart in the request's body priced, and answers with the quote, or with 422 and what the calculator said.

use http_body_util::BodyExt;
use pricing_client::{Cart, Quote};
use spin_sdk::http::{IntoResponse, Request, StatusCode};

#[spin_sdk::http_service]
async fn priced(request: Request) -> impl IntoResponse {
    let answer = match request.into_body().collect().await {
        Ok(body) => price(&body.to_bytes()),
        Err(error) => Err(error.to_string()),
    };
    match answer.and_then(|quote| serde_json::to_string(&quote).map_err(|error| error.to_string())) {
        Ok(quote) => (StatusCode::OK, quote),
        Err(reason) => (StatusCode::UNPROCESSABLE_ENTITY, reason),
    }
}

fn price(body: &[u8]) -> Result<Quote, String> {
    let cart: Cart = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    pricing_client::price(&cart).map_err(|error| {
        let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
        format!("{error}{}", source.unwrap_or_default())
    })
}
