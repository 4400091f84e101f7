//! Exports `bodega:test-greeter/greet@1.0.0`: greets a name and counts its own calls, to show whose memory it has.

use std::sync::atomic::{AtomicU32, Ordering};

#[expect(unsafe_code, reason = "generated from the WIT text")]
mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "greeter" });

    export!(Greeter);
    struct Greeter;

    impl exports::bodega::test_greeter::greet::Guest for Greeter {
        fn greet(name: String) -> String {
            super::greet(&name)
        }
    }
}

static CALLS: AtomicU32 = AtomicU32::new(0);

fn greet(name: &str) -> String {
    let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    format!("Good day, {name}. This is call {call}.")
}
