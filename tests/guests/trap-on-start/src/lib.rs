//! Cannot be instantiated: its start function traps before any request can reach it, or never returns.

use std::hint::black_box;

use spin_sdk::http::{IntoResponse, Request};

/// What it does at its start: a test has it `loop` by replacing the word in the compiled component.
static AT_START: &str = "at its start: trap";

#[spin_sdk::http_service]
async fn never_reached(_request: Request) -> impl IntoResponse {
    "A start function that traps was ignored.\n"
}

/// The name that component tools give to a module's initialisation, which runs at instantiation.
#[expect(unsafe_code, reason = "the symbol's name is the contract")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // What is read here is not what the compiler saw.
    while black_box(AT_START).ends_with("loop") {}
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable()
}
