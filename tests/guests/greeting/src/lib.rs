//! Answers with what the dependency behind `bodega:test-greeter/greet@1.0.0` says to the last path segment.

use spin_sdk::http::{IntoResponse, Request};

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../greeter/wit",
        world: "greeting",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

#[spin_sdk::http_service]
async fn greet(request: Request) -> impl IntoResponse {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default();
    bindings::bodega::test_greeter::greet::greet(name)
}
