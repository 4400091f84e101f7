//! The data of one instance: its WASI context, its handles and the requests it is working on.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use wasmtime::component::{GuestTaskId, ResourceTable};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::component::Component;
use super::guest_io::GuestStream;
use super::outbound_http::Outbound;
use crate::telemetry::request_context::RequestContext;

/// Handles (streams, requests, stores, files, ...) that one instance may hold at once.
const HANDLES_MAX: usize = 10_000;
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
    pub(super) limits: StoreLimits,
    pub(super) outbound: Outbound,
    pub(super) activity: Arc<Activity>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    requests: VecDeque<(GuestTaskId, Arc<Job>)>,
}

impl GuestState {
    pub(super) fn new(component: Arc<Component>, outbound: Outbound) -> wasmtime::Result<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES_MAX);
        Ok(Self {
            wasi: wasi_context(&component)?,
            limits: StoreLimitsBuilder::new().memory_size(component.limits.memory_bytes_max).build(),
            table,
            http,
            stores_open: 0,
            outbound,
            activity: Arc::default(),
            requests: VecDeque::new(),
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

fn wasi_context(component: &Component) -> wasmtime::Result<WasiCtx> {
    let mut builder = WasiCtxBuilder::new();
    builder
        .envs(&component.environment)
        .max_random_size(RANDOM_BYTES_MAX)
        .stdout(GuestStream::new(component.stdout.clone()))
        .stderr(GuestStream::new(component.stderr.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
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

/// Whether an instance is at work, and when it last made progress that a client saw.
pub(super) struct Activity {
    born: Instant,
    last_ms: AtomicU64,
    busy: AtomicBool,
}

impl Default for Activity {
    fn default() -> Self {
        Self { born: Instant::now(), last_ms: AtomicU64::new(0), busy: AtomicBool::new(true) }
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

    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}
