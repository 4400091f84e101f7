//! Taking without end: time, stack, memory, table entries, handles.
//!
//! What ends before the host ends it answers 200, so that a missing limit fails a test instead of hanging it.

use std::hint::black_box;

use spin_sdk::http::IntoResponse;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response};

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "wit",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

/// More entries than any host should grant: their table alone would be 4 GB.
const TABLE_ENTRIES: u32 = 1_000_000_000;
const TABLE_STEP: u32 = 100_000;
const HANDLES: u32 = 50_000_000;
const MEMORY_STEP_BYTES: usize = 1 << 20;

pub(crate) fn time() -> ! {
    loop {
        black_box(());
    }
}

pub(crate) fn stack(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    if black_box(depth) == 0 { 0 } else { stack(depth + 1) + frame[31] }
}

/// Writes to what it takes, so that the host has to back it with real memory.
pub(crate) fn memory() -> ! {
    let mut hoard = Vec::new();
    loop {
        hoard.push(black_box(vec![1_u8; MEMORY_STEP_BYTES]));
    }
}

/// Takes `bytes` of memory, writes to it, and gives it back.
pub(crate) fn memory_of(bytes: usize) -> usize {
    black_box(vec![1_u8; bytes]).len()
}

pub(crate) fn table() -> Result<Response, ErrorCode> {
    for _ in 0..TABLE_ENTRIES / TABLE_STEP {
        let former_size = bindings::bodega::misbehave::table::grow(TABLE_STEP);
        assert!(former_size >= 0, "the host refused to grow the table");
    }
    "the table has no limit".into_response()
}

pub(crate) fn handles() -> Result<Response, ErrorCode> {
    for _ in 0..HANDLES {
        std::mem::forget(Fields::new());
    }
    "handles have no limit".into_response()
}
