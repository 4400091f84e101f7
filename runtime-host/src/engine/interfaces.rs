//! Every interface that guests may import, one file each.

mod key_value;
mod pages;
mod sqlite;
mod variables;
mod wasi_http_client;
mod wasi_http_outgoing_handler;
mod wasi_keyvalue;

pub(super) use wasi_keyvalue::SwapBudget;
use wasmtime::component::Linker;
use wasmtime_wasi_http::{WasiHttp, WasiHttpView, p2, p3};

use super::state::GuestState;

/// A linker that offers everything below and nothing else.
pub(super) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    let options = p2::bindings::LinkOptions::default();
    p2::bindings::http::types::add_to_linker::<_, WasiHttp>(&mut linker, &(&options).into(), GuestState::http)?;
    wasi_http_outgoing_handler::add_to_linker(&mut linker)?;
    p3::bindings::http::types::add_to_linker::<_, WasiHttp>(&mut linker, GuestState::http)?;
    wasi_http_client::add_to_linker(&mut linker)?;
    key_value::add_to_linker(&mut linker)?;
    wasi_keyvalue::add_to_linker(&mut linker)?;
    sqlite::add_to_linker(&mut linker)?;
    variables::add_to_linker(&mut linker)?;
    Ok(linker)
}

#[cfg(test)]
mod tests;
