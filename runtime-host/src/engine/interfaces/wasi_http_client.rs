//! `wasi:http/client@0.3.0`: wasmtime's implementation, told on whose behalf the guest sends.

use http::uri::{Authority, Scheme};
use wasmtime::AsContextMut as _;
use wasmtime::component::{Accessor, HasData, Linker, Resource};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi_http::p3::bindings::http::client::{self, HostWithStore};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{WasiHttp, WasiHttpCtxView, WasiHttpView as _};

use crate::engine::outbound_http::SELF_ALT;
use crate::engine::state::GuestState;

struct TracedClient;

impl HasData for TracedClient {
    type Data<'a> = WasiHttpCtxView<'a>;
}

impl HostWithStore<GuestState> for TracedClient {
    async fn send(
        accessor: &Accessor<GuestState, Self>,
        request: Resource<Request>,
    ) -> Result<Resource<Response>, TrappableError<ErrorCode>> {
        accessor
            .with(|mut access| {
                let mut store = access.as_context_mut();
                GuestState::sends(store.as_context_mut());
                let sent = store.data_mut().table.get_mut(&request)?;
                if sent.authority.is_none() {
                    sent.scheme = Some(Scheme::HTTP);
                    sent.authority = Some(Authority::from_static(SELF_ALT));
                }
                wasmtime::error::Ok(())
            })
            .map_err(TrappableError::trap)?;
        // `send` reads `on_behalf_of` before it first waits, so no other task can come between.
        WasiHttp::send(&accessor.with_getter::<WasiHttp>(GuestState::http), request).await
    }
}

pub(super) fn add_to_linker(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    client::add_to_linker::<_, TracedClient>(linker, GuestState::http)
}
