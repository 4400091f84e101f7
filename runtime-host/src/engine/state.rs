//! The data of one instance: its WASI context, its handles and the requests it is working on.

use std::sync::{Arc, Weak};

use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{ResourceLimiter, StoreContextMut};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::activity::{Activity, EPOCHS_BEFORE_WITHDRAWAL};
use super::component::{Component, InstanceObserver};
use super::guest_io::GuestStream;
use super::interfaces::SwapBudget;
use super::job::Job;
use super::outbound_http::Outbound;
use super::queue::Queue;
use super::requests::Requests;

/// Handles (streams, requests, stores, files, ...) that one instance may hold at once.
const HANDLES_MAX: usize = 10_000;
/// Bytes that one call for random data returns at most; more is a trap in WASI 0.2, and as many in 0.3.
const RANDOM_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one set of header fields inside a guest.
const FIELDS_BYTES_MAX: usize = 128 << 10;
/// Stores and connections that one instance may hold open at once.
pub(super) const STORES_OPEN_MAX: usize = 1_024;

/// The data of one instance.
pub struct GuestState {
    /// The component that this is an instance of.
    pub(super) component: Arc<Component>,
    pub(super) table: ResourceTable,
    pub(super) stores_open: usize,
    pub(super) swaps: SwapBudget,
    pub(super) limits: MemoryLimit,
    pub(super) outbound: Outbound,
    pub(super) activity: Arc<Activity>,
    pub(super) requests: Arc<Requests>,
    growth: Box<dyn InstanceObserver>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    /// The queue that it takes requests from, and its place there.
    place: Option<(Weak<Queue>, u64)>,
}

impl GuestState {
    pub(super) fn new(component: Arc<Component>, outbound: Outbound) -> wasmtime::Result<Self> {
        let requests = Arc::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Ok(Self {
            wasi: wasi_context(&component, &requests)?,
            limits: MemoryLimit { bytes_max: component.limits.memory_bytes_max, bytes: 0 },
            table,
            http,
            stores_open: 0,
            swaps: SwapBudget::default(),
            outbound,
            activity: Arc::default(),
            growth: component.growth.instance(),
            requests,
            place: None,
            component,
        })
    }

    /// Notes which request `task` works on, so that what the guest does and how it fails can be traced to it.
    pub(super) fn request_started(&mut self, task: GuestTaskId, job: Arc<Job>) {
        // An instance takes a request once, so the cell is empty.
        let _ = job.activity.set(self.activity.clone());
        self.requests.started(task, job);
    }

    /// Notes on whose behalf the guest sends a request: that of the task which calls the host now.
    pub(super) fn sends(mut store: StoreContextMut<'_, Self>) {
        // The innermost task is this call's own; the outermost is the one that took the request.
        let task = store.async_call_stack().ok().and_then(Iterator::last);
        let state = store.data_mut();
        state.outbound.on_behalf_of = state.requests.of(task.as_ref());
    }

    /// Notes how much memory the guest has at the end of a request.
    pub(super) fn request_ended(&mut self) {
        self.growth.request_ended(self.limits.bytes as u64);
    }

    /// Notes where the instance takes its requests from.
    pub(super) fn take_place(&mut self, queue: &Arc<Queue>, number: u64) {
        self.place = Some((Arc::downgrade(queue), number));
    }

    /// The guest computed for a whole epoch. When it goes on like this, its queue counts on it no more.
    pub(super) fn computed_for_an_epoch(&self) {
        if self.activity.epoch_computed() == EPOCHS_BEFORE_WITHDRAWAL
            && let Some((queue, number)) = &self.place
            && let Some(queue) = queue.upgrade()
        {
            queue.withdraw(*number);
        }
    }
}

fn wasi_context(component: &Arc<Component>, requests: &Arc<Requests>) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .envs(&component.environment)
        .max_random_size(RANDOM_BYTES_MAX)
        .stdout(GuestStream::new(component.stdout.lines(), requests.clone()))
        .stderr(GuestStream::new(component.stderr.lines(), requests.clone()))
        .allow_ip_name_lookup(false)
        // A guest that may connect nowhere gets no sockets either.
        .allow_tcp(component.allowed_hosts.allows_scheme("tcp"))
        .allow_udp(component.allowed_hosts.allows_scheme("udp"));
    let granted = component.clone();
    builder.socket_addr_check(move |address, operation| {
        let allows =
            |scheme| granted.allowed_hosts.allows_address(scheme, &address.ip().to_string(), Some(address.port()));
        let allowed = match operation {
            SocketAddrUse::TcpConnect => allows("tcp"),
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => allows("udp"),
            // The system binds a socket before it connects; to a port of the guest's choice it stays closed.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.port() == 0,
            _ => false,
        };
        Box::pin(std::future::ready(allowed))
    });
    if let Some(files) = &component.files {
        builder.preopened_dir((**files).as_ref(), "/", FsPerms::ReadOnly)?;
    }
    Ok(builder.build())
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Bounds all linear memories of an instance together.
pub(super) struct MemoryLimit {
    bytes_max: usize,
    bytes: usize,
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        let fits = bytes <= self.bytes_max;
        if fits {
            self.bytes = bytes;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        // The pool bounds every table.
        Ok(true)
    }
}
