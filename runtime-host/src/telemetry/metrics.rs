//! What is counted and how long it took, as OpenMetrics text.
//!
//! Counting happens on the request path. Requests and store calls take no lock; what is rare (a trap, a refusal) and what
//! components count themselves take one for as long as an addition. All is summed up when it is asked for. The families:
//!
//! | family | labels |
//! |---|---|
//! | `bodega_http_requests_total`, `bodega_http_request_duration_seconds` | component, revision, method, status_class |
//! | `bodega_store_calls_total`, `bodega_store_call_duration_seconds` | component, revision, store_kind, operation, result |
//! | `bodega_instances_created_total`, `bodega_instances_live`, `bodega_queue_length` | component, revision |
//! | `bodega_instances_trapped_total`, `bodega_requests_rejected_total`, `bodega_response_bodies_cut_total` | component, revision, reason |
//! | `bodega_scheduled_runs_total` | component, revision, path, result |
//! | `bodega_instances_max`, `bodega_queue_length_max` | component, revision |
//! | `bodega_component_counts_total`, `bodega_component_level` | component, revision, name: what the component itself counts, and at what something stands ([`guest_counters`](super::guest_counters)) |
//! | `bodega_gateway_refused_total` | reason |
//! | `bodega_gateway_retries_total`, `bodega_gateway_fallbacks_total` | |
//! | `bodega_gateway_breaker_changes_total` | target, change |
//! | `bodega_upstream_requests_total`, `bodega_upstream_request_duration_seconds` | upstream, method, status_class |
//! | `bodega_rollout_weight_percent` | component |
//! | `bodega_rollout_transitions_total` | component, change |
//! | `bodega_control_actions_total` | component, action, result: what people asked for through the control API |
//! | `bodega_webhooks_total` | component, result |
//! | `bodega_disk_size_bytes`, `bodega_disk_free_bytes` | path: a folder of each file system in use ([`disk`](super::disk)) |
//! | `bodega_store_size_bytes`, `bodega_store_size_max_bytes` | store_kind, store |
//! | `bodega_build_info` | version |
//! | `bodega_spans_exported_total`, `bodega_spans_failed_total`, `bodega_spans_dropped_total` | where traces are sent |
//! | `bodega_gateway_cache_total` | outcome |
//! | `process_resident_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_start_time_seconds` | |
//!
//! Requests that no component answered (no route, a static response, over a limit) have [`HOST`] for their component.
//! A gauge of the whole process is added with [`Metrics::gauge`]. A counter of what is rare and told of in alerts stands at 0 from the
//! start ([`Metrics::expect`]): Prometheus sees no growth in a series that begins at 1.

mod encode;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

use super::disk::{Disk, StoreFile};
use super::guest_counters::GuestCounters;
use super::histogram::{Histograms, Observed};
use super::process::ProcessMetrics;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Stands for a component where there is none. No component can have this name.
pub const HOST: &str = "(host)";

/// Why a body was cut that its reader did not take.
pub const ABANDONED: &str = "abandoned";
/// Why a body was cut whose revision was no longer in force and had to end.
pub const DRAINED: &str = "drained";

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER"];
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const RESULTS: [&str; 3] = ["ok", "error", "cancelled"];

/// What the gateway's cache did about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// What is stored, or was just fetched for somebody else, was the answer.
    Hit,
    /// There was none.
    Miss,
    /// What is stored was the answer although it is stale.
    Stale,
    /// What is stored was the answer after the service had said that it still holds.
    Revalidated,
    /// The request was none for the cache.
    Pass,
}

impl CacheOutcome {
    /// All of them, in their order.
    const ALL: [Self; 5] = [Self::Hit, Self::Miss, Self::Stale, Self::Revalidated, Self::Pass];

    /// The name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Pass => "pass",
        }
    }
}

/// A kind of store call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the call of its name")]
pub enum StoreOperation {
    SqliteExecute,
    KeyValueGet,
    KeyValueGetMany,
    KeyValueSet,
    KeyValueSetMany,
    KeyValueDelete,
    KeyValueDeleteMany,
    KeyValueExists,
    KeyValueKeys,
    KeyValueIncrement,
    KeyValueSwap,
}

/// Labels by [`StoreOperation`], in its order.
const STORE_OPERATIONS: [(&str, &str); 11] = [
    ("sqlite", "execute"),
    ("key-value", "get"),
    ("key-value", "get-many"),
    ("key-value", "set"),
    ("key-value", "set-many"),
    ("key-value", "delete"),
    ("key-value", "delete-many"),
    ("key-value", "exists"),
    ("key-value", "keys"),
    ("key-value", "increment"),
    ("key-value", "swap"),
];

type Read = Box<dyn Fn() -> u64 + Send + Sync>;

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    families: Arc<Families>,
    process: ProcessMetrics,
    disk: Disk,
}

#[derive(Default)]
struct Families {
    /// By component and revision.
    /// A revision that nobody has any more counts no more, and is no longer told of.
    components: Mutex<BTreeMap<(String, String), Weak<ComponentMetrics>>>,
    /// Requests that no component answered.
    host: RequestCounts,
    gauges: Mutex<Vec<(&'static str, &'static str, Read)>>,
    counters: Mutex<Vec<(&'static str, &'static str, Read)>>,
    /// Percent, by the component that is rolled out.
    rollout_weights: Mutex<BTreeMap<String, u8>>,
    /// By component and change.
    rollout_transitions: Mutex<BTreeMap<(String, &'static str), u64>>,
    /// By component, action and result.
    control_actions: Mutex<BTreeMap<(String, &'static str, &'static str), u64>>,
    /// By reason.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    retries: AtomicU64,
    fallbacks: AtomicU64,
    /// By component or upstream, and change.
    breaker_changes: Mutex<BTreeMap<(String, &'static str), u64>>,
    /// By name.
    upstreams: Mutex<BTreeMap<String, Arc<RequestCounts>>>,
    /// By [`CacheOutcome`].
    cache: [AtomicU64; CacheOutcome::ALL.len()],
    /// By component and result.
    webhooks: Mutex<BTreeMap<(String, &'static str), u64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { families: Arc::default(), process: ProcessMetrics::new(), disk: Disk::default() }
    }

    /// The counters of a component's revision; the same ones for the same names as long as somebody has them.
    pub fn component(&self, component: &str, revision: &str) -> Arc<ComponentMetrics> {
        let mut components = lock(&self.families.components);
        components.retain(|_, counters| counters.strong_count() > 0);
        let name = (component.to_owned(), revision.to_owned());
        if let Some(counters) = components.get(&name).and_then(Weak::upgrade) {
            return counters;
        }
        let counters = Arc::new(ComponentMetrics::new(component, revision));
        components.insert(name, Arc::downgrade(&counters));
        counters
    }

    /// A request was answered after `duration` without a component.
    pub fn host_request(&self, method: &Method, status: StatusCode, duration: Duration) {
        self.families.host.add(method, status, duration);
    }

    /// A revision of a component is rolled out and has this share of its requests, in percent; `None` when that is over.
    pub fn rollout_weight(&self, component: &str, weight_percent: Option<u8>) {
        let mut weights = lock(&self.families.rollout_weights);
        match weight_percent {
            Some(weight) => weights.insert(component.to_owned(), weight),
            None => weights.remove(component),
        };
    }

    /// A rollout has changed; `change` is one of a few fixed words.
    pub fn rollout_transition(&self, component: &str, change: &'static str) {
        *lock(&self.families.rollout_transitions).entry((component.to_owned(), change)).or_default() += 1;
    }

    /// Somebody asked for this through the control API; `action` and `result` are each one of a few fixed words.
    pub fn control_action(&self, component: &str, action: &'static str, result: &'static str) {
        *lock(&self.families.control_actions).entry((component.to_owned(), action, result)).or_default() += 1;
    }

    /// These changes of rollouts and actions may come for the component, and these results of its webhooks, and have not yet.
    pub fn expect(
        &self,
        component: &str,
        changes: impl IntoIterator<Item = &'static str>,
        actions: impl IntoIterator<Item = &'static str>,
        webhook_results: impl IntoIterator<Item = &'static str>,
    ) {
        let of = || component.to_owned();
        let mut transitions = lock(&self.families.rollout_transitions);
        for change in changes {
            transitions.entry((of(), change)).or_default();
        }
        let mut done = lock(&self.families.control_actions);
        for action in actions {
            done.entry((of(), action, "ok")).or_default();
        }
        let mut webhooks = lock(&self.families.webhooks);
        for result in webhook_results {
            webhooks.entry((of(), result)).or_default();
        }
    }

    /// Measures how full the file systems are of the state folder and these files of stores, and how large those are; blocks.
    pub fn measure_disk(&self, state_dir: &Path, files: &[StoreFile]) {
        self.disk.measure(state_dir, files);
    }

    /// The gateway has refused a request; `reason` is one of a few fixed words.
    pub fn gateway_refused(&self, reason: &'static str) {
        *lock(&self.families.refused).entry(reason).or_default() += 1;
    }

    /// The gateway has sent a request once more.
    pub fn gateway_retried(&self) {
        self.families.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Something else was answered in place of a failure.
    pub fn gateway_fell_back(&self) {
        self.families.fallbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// The breaker of a component or upstream has opened or closed; `change` is one of these words.
    pub fn breaker_changed(&self, target: &str, change: &'static str) {
        *lock(&self.families.breaker_changes).entry((target.to_owned(), change)).or_default() += 1;
    }

    /// An upstream has answered after `duration`, or the host in its place.
    pub fn upstream_request(&self, upstream: &str, method: &Method, status: StatusCode, duration: Duration) {
        let known = lock(&self.families.upstreams).get(upstream).cloned();
        let counts =
            known.unwrap_or_else(|| lock(&self.families.upstreams).entry(upstream.to_owned()).or_default().clone());
        counts.add(method, status, duration);
    }

    /// The gateway's cache has done this about a request.
    pub fn gateway_cache(&self, outcome: CacheOutcome) {
        self.families.cache[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// A message to a webhook was delivered or not; `result` is one of a few fixed words.
    pub fn webhook(&self, component: &str, result: &'static str) {
        *lock(&self.families.webhooks).entry((component.to_owned(), result)).or_default() += 1;
    }

    /// Adds a gauge without labels, whose value is read when it is asked for.
    pub fn gauge(&self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        lock(&self.families.gauges).push((name, help, Box::new(read)));
    }

    /// Adds a counter without labels, whose value is read when it is asked for; `name` is without `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str, read: impl Fn() -> u64 + Send + Sync + 'static) {
        lock(&self.families.counters).push((name, help, Box::new(read)));
    }

    /// Everything as OpenMetrics text.
    pub fn render(&self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.families.clone()));
        registry.register_collector(Box::new(self.process.clone()));
        registry.register_collector(Box::new(self.disk.clone()));
        let mut rendered = String::new();
        // Writing to a string cannot fail.
        let _ = text::encode(&mut rendered, &registry);
        rendered
    }
}

/// Requests by method and class of status.
struct RequestCounts(Histograms<{ METHODS.len() * STATUS_CLASSES.len() }>);

impl Default for RequestCounts {
    fn default() -> Self {
        Self(Histograms::new())
    }
}

impl RequestCounts {
    fn add(&self, method: &Method, status: StatusCode, duration: Duration) {
        let method = match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::POST => 2,
            Method::PUT => 3,
            Method::PATCH => 4,
            Method::DELETE => 5,
            Method::OPTIONS => 6,
            _ => METHODS.len() - 1,
        };
        let class = usize::from(status.as_u16() / 100).clamp(1, STATUS_CLASSES.len()) - 1;
        self.0.observe(method * STATUS_CLASSES.len() + class, duration);
    }

    /// All that were counted, with `own` labels before those of method and class.
    fn read<'m, const N: usize>(
        &'m self,
        own: [(&'static str, &'m str); N],
    ) -> impl Iterator<Item = (Labels<'m>, Observed)> {
        let methods = METHODS.iter().flat_map(|method| STATUS_CLASSES.map(|class| (*method, class)));
        methods.enumerate().filter_map(move |(index, (method, class))| {
            let labels = own.into_iter().chain([("method", method), ("status_class", class)]);
            Some((labels.collect(), self.0.read(index)?))
        })
    }
}

/// The counters of one revision of a component.
pub struct ComponentMetrics {
    component: String,
    revision: String,
    requests: RequestCounts,
    store_calls: Histograms<{ STORE_OPERATIONS.len() * RESULTS.len() }>,
    instances_created: AtomicU64,
    instances_dropped: AtomicU64,
    trapped: Mutex<BTreeMap<&'static str, u64>>,
    rejected: Mutex<BTreeMap<&'static str, u64>>,
    bodies_cut: Mutex<BTreeMap<&'static str, u64>>,
    /// By path and result.
    scheduled: Mutex<BTreeMap<(String, &'static str), u64>>,
    queue_length: Mutex<Option<Read>>,
    queue_length_max: AtomicU64,
    instances_max: AtomicU64,
    own: GuestCounters,
}

impl ComponentMetrics {
    /// The revision that they are of.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    fn new(component: &str, revision: &str) -> Self {
        Self {
            component: component.to_owned(),
            revision: revision.to_owned(),
            requests: RequestCounts::default(),
            store_calls: Histograms::new(),
            instances_created: AtomicU64::new(0),
            instances_dropped: AtomicU64::new(0),
            trapped: Mutex::default(),
            rejected: Mutex::default(),
            bodies_cut: Mutex::default(),
            scheduled: Mutex::default(),
            queue_length: Mutex::default(),
            queue_length_max: AtomicU64::new(0),
            instances_max: AtomicU64::new(0),
            own: GuestCounters::default(),
        }
    }

    /// A request was answered after `duration`.
    pub fn request(&self, method: &Method, status: StatusCode, duration: Duration) {
        self.requests.add(method, status, duration);
    }

    /// The body of an answer that had begun did not come to its end; `reason` is one of a few fixed words.
    pub fn response_body_cut(&self, reason: &'static str) {
        *lock(&self.bodies_cut).entry(reason).or_default() += 1;
    }

    /// A request was turned away before an instance saw it; `reason` is one of a few fixed words.
    pub fn request_rejected(&self, reason: &'static str) {
        *lock(&self.rejected).entry(reason).or_default() += 1;
    }

    /// Begins to time a store call.
    pub fn store_timer(&self, operation: StoreOperation) -> StoreTimer<'_> {
        StoreTimer { metrics: self, operation, started: Instant::now(), result: 2 }
    }

    /// An instance is there.
    pub fn instance_created(&self) {
        self.instances_created.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance is gone.
    pub fn instance_dropped(&self) {
        self.instances_dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// An instance trapped; `reason` is one of a few fixed words.
    pub fn instance_trapped(&self, reason: &'static str) {
        *lock(&self.trapped).entry(reason).or_default() += 1;
    }

    /// Instances that trapped so far.
    pub fn instances_trapped(&self) -> u64 {
        lock(&self.trapped).values().sum()
    }

    /// Bodies that did not come to their end so far, except those that their readers abandoned or the host cut.
    pub fn bodies_cut_by_guest(&self) -> u64 {
        let bodies_cut = lock(&self.bodies_cut);
        bodies_cut.iter().filter(|(reason, _)| ![ABANDONED, DRAINED].contains(reason)).map(|(_, count)| count).sum()
    }

    /// A run of a schedule has ended, or was due while the last one still ran; `result` is one of a few fixed words.
    pub fn scheduled_run(&self, path: &str, result: &'static str) {
        *lock(&self.scheduled).entry((path.to_owned(), result)).or_default() += 1;
    }

    /// Takes out of an answer's headers what the component counts.
    pub fn take_counts(&self, headers: &mut HeaderMap) {
        self.own.take(&self.component, headers);
    }

    /// What the component has counted under a name so far.
    pub fn counted(&self, name: &str) -> u64 {
        self.own.get(name)
    }

    /// Says how many requests wait, when it is asked for; in place of what said so before.
    pub fn watch_queue(&self, length: impl Fn() -> usize + Send + Sync + 'static) {
        *lock(&self.queue_length) = Some(Box::new(move || length() as u64));
    }

    /// It may have so many instances, and so many requests that wait.
    pub fn bounded(&self, instances_max: usize, queue_length_max: usize) {
        self.instances_max.store(instances_max as u64, Ordering::Relaxed);
        self.queue_length_max.store(queue_length_max as u64, Ordering::Relaxed);
    }

    fn own_labels(&self) -> [(&'static str, &str); 2] {
        [("component", &self.component), ("revision", &self.revision)]
    }

    fn labels<'m>(&'m self, more: &[(&'static str, &'static str)]) -> Labels<'m> {
        self.own_labels().into_iter().chain(more.iter().copied()).collect()
    }

    fn store_calls(&self) -> impl Iterator<Item = (Labels<'_>, Observed)> {
        let calls = STORE_OPERATIONS.iter().flat_map(|operation| RESULTS.map(|result| (*operation, result)));
        calls.enumerate().filter_map(|(index, ((kind, operation), result))| {
            let labels = self.labels(&[("store_kind", kind), ("operation", operation), ("result", result)]);
            Some((labels, self.store_calls.read(index)?))
        })
    }

    fn by_reason(&self, counts: &Mutex<BTreeMap<&'static str, u64>>) -> Vec<(Labels<'_>, u64)> {
        lock(counts).iter().map(|(reason, count)| (self.labels(&[("reason", reason)]), *count)).collect()
    }

    fn scheduled_runs(&self) -> Vec<(&Self, String, &'static str, u64)> {
        lock(&self.scheduled).iter().map(|((path, result), count)| (self, path.clone(), *result, *count)).collect()
    }

    fn instances_live(&self) -> u64 {
        // Read first: an instance that is dropped in between must not make the difference negative.
        let dropped = self.instances_dropped.load(Ordering::Relaxed);
        self.instances_created.load(Ordering::Relaxed).saturating_sub(dropped)
    }
}

/// Times one store call; dropped without a result it counts as cancelled.
#[derive(Debug)]
#[must_use = "the call ends when the timer is dropped"]
pub struct StoreTimer<'m> {
    metrics: &'m ComponentMetrics,
    operation: StoreOperation,
    started: Instant,
    result: usize,
}

impl StoreTimer<'_> {
    /// The call has ended, well or with an error.
    pub fn finish(mut self, ok: bool) {
        self.result = if ok { 0 } else { 1 };
    }
}

impl Drop for StoreTimer<'_> {
    fn drop(&mut self) {
        let index = self.operation as usize * RESULTS.len() + self.result;
        self.metrics.store_calls.observe(index, self.started.elapsed());
    }
}

type Labels<'m> = Vec<(&'static str, &'m str)>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counting goes on after a panic elsewhere: no value is ever left half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Families").finish_non_exhaustive()
    }
}

impl fmt::Debug for ComponentMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentMetrics({} {})", self.component, self.revision)
    }
}

#[cfg(test)]
mod tests;
