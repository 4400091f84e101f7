//! Fetching a JWKS over `wasi:http`, with every wait and size bounded.

use http_body_util::{BodyExt, Limited};
use spin_sdk::http::{EmptyBody, send};
use spin_sdk::wasip3::http::types::RequestOptions;
use spin_sdk::wasip3::http_compat::{Request, RequestOptionsExtension};

use crate::Fetched;

/// Largest JWKS that is read, in bytes.
const JWKS_BYTES_MAX: usize = 64 * 1024;
/// How long connecting, and then each wait for the answer, may take.
const FETCH_TIMEOUT_NS: u64 = 2_000_000_000;

/// Gets the body of a URL.
pub fn fetch(url: String) -> Fetched {
    Box::pin(async move {
        let options = RequestOptions::new();
        // A host that does not take a timeout keeps its own.
        let _ = options.set_connect_timeout(Some(FETCH_TIMEOUT_NS));
        let _ = options.set_first_byte_timeout(Some(FETCH_TIMEOUT_NS));
        let _ = options.set_between_bytes_timeout(Some(FETCH_TIMEOUT_NS));
        let request = Request::get(url).extension(RequestOptionsExtension(options)).body(EmptyBody::new());
        let response = send(request.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("the answer is {}", response.status()));
        }
        let body = Limited::new(response.into_body(), JWKS_BYTES_MAX).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes().into())
    })
}
