//! `wasi:http/outgoing-handler@0.2`: wasmtime's implementation, told on whose behalf the guest sends, and for requests
//! without a host too.

use wasmtime::component::{Linker, Resource};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Host as _, Scheme};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttpView as _};

use crate::engine::outbound_http::SELF_ALT;
use crate::engine::state::GuestState;

type Arguments = (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>);
type Handled = Result<Resource<HostFutureIncomingResponse>, ErrorCode>;

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap(
        "handle",
        |mut store: StoreContextMut<'_, GuestState>, (request, options): Arguments| {
            GuestState::sends(store.as_context_mut());
            Ok((handle(store.data_mut(), request, options)?,))
        },
    )
}

fn handle(
    state: &mut GuestState,
    request: Resource<HostOutgoingRequest>,
    options: Option<Resource<RequestOptions>>,
) -> wasmtime::Result<Handled> {
    let mut http = state.http();
    let sent = http.table.get_mut(&request)?;
    if sent.authority.is_none() {
        sent.scheme = Some(Scheme::Http);
        sent.authority = Some(SELF_ALT.to_owned());
    }
    match http.handle(request, options) {
        Ok(response) => Ok(Ok(response)),
        Err(error) => http.convert_error_code(error).map(Err),
    }
}
