//! What no guest should do.

use std::hint::black_box;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};

pub(crate) fn compute_forever() -> ! {
    loop {
        black_box(());
    }
}

pub(crate) fn wait_forever() -> ! {
    loop {
        sleep(Duration::from_secs(3_600));
    }
}

pub(crate) fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

/// Answers 200 with the beginning of a body, and no more.
pub(crate) fn trap_in_the_body(response_out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(body) = response.body() else { return };
    ResponseOutparam::set(response_out, Ok(response));
    if let Ok(mut stream) = body.write() {
        let _ = stream.write_all(b"the first words");
        let _ = stream.flush();
    }
    // So that the host has passed on what there is.
    sleep(Duration::from_millis(100));
    trap()
}
