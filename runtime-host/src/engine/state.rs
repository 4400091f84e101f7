//! The data of one instance: its WASI context, its handles and the requests it is working on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use wasmtime::ResourceLimiter;
use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime_wasi::sockets::SocketAddrUse;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::component::Component;
use super::guest_io::GuestStream;
use super::outbound_http::Outbound;
use super::queue::Queue;
use crate::telemetry::request_context::RequestContext;

/// Handles (streams, requests, stores, files, ...) that one instance may hold at once.
const HANDLES_MAX: usize = 10_000;
/// Epochs in a row that a guest may compute before requests are no longer kept for it.
const EPOCHS_BEFORE_WITHDRAWAL: u32 = 5;
/// Bytes that one call for random data returns at most.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
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
    pub(super) limits: MemoryLimit,
    pub(super) outbound: Outbound,
    pub(super) activity: Arc<Activity>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    requests: VecDeque<(GuestTaskId, Arc<Job>)>,
    /// The queue that it takes requests from, and its place there.
    place: Option<(Weak<Queue>, u64)>,
}

impl GuestState {
    pub(super) fn new(component: Arc<Component>, outbound: Outbound) -> wasmtime::Result<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Ok(Self {
            wasi: wasi_context(&component)?,
            limits: MemoryLimit { bytes_max: component.limits.memory_bytes_max, bytes: 0 },
            table,
            http,
            stores_open: 0,
            outbound,
            activity: Arc::default(),
            requests: VecDeque::new(),
            place: None,
            component,
        })
    }

    /// Notes which request `task` works on, so that an outbound call or a trap can be traced to it.
    pub(super) fn request_started(&mut self, task: GuestTaskId, job: Arc<Job>) {
        // A task may go on after its response, so entries leave by age: twice the concurrency covers every running one.
        if self.requests.len() >= 2 * self.component.limits.concurrency_max {
            self.requests.pop_front();
        }
        // An instance takes a request once, so the cell is empty.
        let _ = job.activity.set(self.activity.clone());
        // A WASI 0.2 guest works on one request at a time; the newer one names its own before it sends.
        self.outbound.on_behalf_of = Some(job.context.clone());
        self.requests.push_back((task, job));
    }

    /// The request that `task` works on; without a task, the latest one.
    pub(super) fn request_of(&self, task: Option<GuestTaskId>) -> Option<Arc<RequestContext>> {
        let entry = match task {
            Some(task) => self.requests.iter().rev().find(|(started, _)| *started == task),
            None => self.requests.back(),
        };
        entry.map(|(_, job)| job.context.clone())
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

    /// Tells the requests of this instance why they get no response.
    pub(super) fn fail_requests(&self, reason: &str) {
        for (_, job) in &self.requests {
            // A request that was answered no longer looks.
            let _ = job.failure.set(reason.to_owned());
        }
    }
}

/// A request on its way through an instance.
pub(super) struct Job {
    pub(super) context: Arc<RequestContext>,
    /// When the instance that took it last made progress; empty until one took it.
    pub(super) activity: OnceLock<Arc<Activity>>,
    /// Why the instance that took it was lost.
    pub(super) failure: OnceLock<String>,
}

fn wasi_context(component: &Arc<Component>) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .envs(&component.environment)
        .max_random_size(RANDOM_BYTES_MAX)
        .stdout(GuestStream::new(component.stdout.lines()))
        .stderr(GuestStream::new(component.stderr.lines()))
        .allow_ip_name_lookup(false);
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
        builder.preopened_dir(files, "/", FsPerms::ReadOnly)?;
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

/// Whether an instance is at work, and when it last made progress that a client saw.
pub(super) struct Activity {
    born: Instant,
    last_ms: AtomicU64,
    busy: AtomicBool,
    /// Epochs that the guest computed through since it last paused.
    epochs: AtomicU32,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
            busy: AtomicBool::new(true),
            epochs: AtomicU32::new(0),
        }
    }
}

impl Activity {
    /// There was progress: a request taken, an answer, a piece of a body.
    pub(super) fn touch(&self) {
        // Milliseconds since birth fit u64 for longer than any instance lives.
        self.last_ms.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Counts an epoch that the guest computed through, and returns how many there were in a row.
    pub(super) fn epoch_computed(&self) -> u32 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The guest pauses; whether it had computed for so long that nobody counted on it any more.
    pub(super) fn paused(&self) -> bool {
        self.epochs.swap(0, Ordering::Relaxed) >= EPOCHS_BEFORE_WITHDRAWAL
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}
