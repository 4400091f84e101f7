//! The smallest service: answers every request with `Hello, world!`, also under `wasmtime serve`.

use spin_sdk::http::{IntoResponse, Request};

#[spin_sdk::http_service]
async fn hello(_request: Request) -> impl IntoResponse {
    "Hello, world!\n"
}
