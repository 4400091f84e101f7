//! What the host tells about itself: logs, metrics, trace context, health.

pub mod access_log;
pub mod disk;
pub mod guest_counters;
pub mod guest_output;
pub mod health;
mod histogram;
pub mod logs;
pub mod metrics;
mod process;
pub mod request_context;
pub mod spans;
pub mod trace_context;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use disk::StoreFile;
use guest_output::GuestOutput;
use health::{AppInfo, Health};
use metrics::{ComponentMetrics, Metrics};
use request_context::RequestContext;
use spans::Tracer;

/// Everything that the host reports about itself; one per process.
#[derive(Debug)]
pub struct Telemetry {
    /// Whether the application takes requests.
    pub health: Health,
    /// What is counted.
    pub metrics: Metrics,
    info: AppInfo,
    /// Set once, where there is a collector.
    tracer: OnceLock<Tracer>,
}

impl Telemetry {
    /// For the application `name`; `version` may be empty.
    pub fn new(name: &str, version: &str) -> Self {
        let (health, metrics) = (Health::default(), Metrics::new());
        let asked = health.clone();
        metrics.gauge("bodega_ready", "Whether new requests should come here.", move || asked.is_ready().into());
        Self { health, metrics, info: AppInfo::new(name, version), tracer: OnceLock::new() }
    }

    /// The counters of a component's revision.
    pub fn component(&self, component: &str, revision: &str) -> Arc<ComponentMetrics> {
        self.metrics.component(component, revision)
    }

    /// Where a component's instances write `stream`, which is `stdout` or `stderr`.
    pub fn guest_output(&self, component: &str, stream: &'static str) -> Arc<GuestOutput> {
        Arc::new(GuestOutput::new(component, stream))
    }

    /// Measures now and then how full the file systems of the state folder and the stores are; never ends.
    pub async fn watch_disk(self: Arc<Self>, state_dir: PathBuf, files: Vec<StoreFile>) {
        let watched = Arc::new((state_dir, files));
        loop {
            let (telemetry, watched) = (self.clone(), watched.clone());
            // One at a time: while a file system hangs, what was measured before is told.
            let measured =
                tokio::task::spawn_blocking(move || telemetry.metrics.measure_disk(&watched.0, &watched.1)).await;
            if let Err(error) = measured {
                tracing::warn!("disk space could not be measured: {error}");
            }
            tokio::time::sleep(disk::PERIOD).await;
        }
    }

    /// Records traces from now on.
    pub fn trace_with(&self, tracer: Tracer) {
        // The first one stays.
        let _ = self.tracer.set(tracer);
    }

    /// Who records traces, if anybody does.
    pub fn tracer(&self) -> Option<&Tracer> {
        self.tracer.get()
    }

    /// Who records the trace of a request, if it is recorded.
    pub fn tracer_of(&self, context: &RequestContext) -> Option<&Tracer> {
        self.tracer().filter(|_| context.trace().sampled)
    }

    /// The context of a request from outside, of which it is decided here whether its trace is recorded, if traces are.
    pub fn context_of(&self, headers: &http::HeaderMap) -> RequestContext {
        let mut context = RequestContext::of_request(headers);
        if let Some(tracer) = self.tracer() {
            context.set_sampled(tracer.samples(context.trace(), context.parent().is_some()));
        }
        context
    }

    /// The answer to a path of the public listener that no route can take.
    pub fn reserved(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        health::reserved(path, &self.health, &self.info)
    }
}
