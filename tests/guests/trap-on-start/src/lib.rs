//! Cannot be instantiated: its start function traps before any request can reach it.

use spin_sdk::http::{IntoResponse, Request};

#[spin_sdk::http_service]
async fn never_reached(_request: Request) -> impl IntoResponse {
    "A start function that traps was ignored.\n"
}

/// The name that component tools give to a module's initialisation, which runs at instantiation.
#[expect(unsafe_code, reason = "the symbol's name is the contract")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable()
}
