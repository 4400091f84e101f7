//! The running application: what the manifest describes, loaded and ready to answer.
//!
//! `App` is shared by all worker threads; each thread has a `Worker` with its own instances.

mod files;
mod pools;
pub mod schedule;
mod stores;
mod worker;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use http::Response;
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyPre;

use pools::Pools;
pub use stores::stores_config;
pub use worker::Worker;

use crate::engine::admission::Admission;
use crate::engine::component::{Component, InstanceLimits};
use crate::engine::outbound_client::OutboundShared;
use crate::engine::pool::InstancePool;
use crate::engine::state::GuestState;
use crate::engine::{Engine, compose};
use crate::manifest::{self, ComponentLimits, Manifest, StaticResponse, TriggerTarget};
use crate::router::Router;
use crate::state_dir::StateDir;
use crate::stores::Stores;
use crate::telemetry::Telemetry;
use crate::variables::Variables;

/// Hex digits of the digest by which a revision is known.
const REVISION_DIGITS: usize = 12;

/// What answers a route.
enum Target {
    /// The component at this place in [`App::components`].
    Component(usize),
    /// Always the same response.
    Static(StaticResponse),
}

/// A component that is compiled and linked.
struct Loaded {
    component: Arc<Component>,
    pre: ProxyPre<GuestState>,
    admission: Arc<Admission>,
    pools: Pools<InstancePool>,
}

/// What the application's own URLs begin with.
#[derive(Clone)]
struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// The application.
pub struct App {
    engine: Arc<Engine>,
    router: Router<Target>,
    components: Vec<Loaded>,
    schedules: Vec<schedule::Schedule>,
    outbound: Arc<OutboundShared>,
    /// Everything that the host reports about itself.
    pub telemetry: Arc<Telemetry>,
    /// Where the public listener answers, for requests of components to the application itself.
    origin: OnceLock<Origin>,
}

/// What an application is made from.
pub struct Parts<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Its variables, resolved.
    pub variables: &'a Variables,
    /// Its stores, open.
    pub stores: &'a Stores,
    /// The state folder.
    pub state: &'a StateDir,
    /// The folder that keeps compiled code between starts.
    pub code_cache: &'a Path,
    /// Linear memory of an instance where the manifest does not say, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// How requests to hosts outside of the application are sent.
    pub outbound: OutboundShared,
    /// Where to report.
    pub telemetry: Arc<Telemetry>,
}

impl App {
    /// Compiles and links every component. Nothing is served yet.
    pub async fn load(parts: Parts<'_>) -> anyhow::Result<Arc<Self>> {
        let manifest = parts.manifest;
        // A component that no trigger names runs only as part of another one.
        let served = |id: &str| manifest.triggers.iter().any(|trigger| trigger.runs(id));
        let wanted: Vec<_> = manifest.components.iter().filter(|component| served(&component.id)).collect();
        let instances = wanted.iter().map(|component| instances_max(component, parts.workers)).sum();
        let engine = Engine::new(parts.code_cache, instances)?;
        let components = std::thread::scope(|scope| {
            let loading: Vec<_> =
                wanted.iter().map(|component| scope.spawn(|| load_component(&engine, component, &parts))).collect();
            // A panic while loading is a bug; it ends the start as it would on this thread.
            loading
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<anyhow::Result<Vec<_>>>()
        })?;

        for loaded in &components {
            engine.try_start(&loaded.pre, loaded.component.clone()).await?;
        }
        engine.prune_code_cache();

        let place: BTreeMap<&str, usize> =
            components.iter().enumerate().map(|(place, loaded)| (loaded.component.id.as_str(), place)).collect();
        let routes = manifest.triggers.iter().filter_map(|trigger| {
            let target = match &trigger.target {
                TriggerTarget::Component(id) => Target::Component(*place.get(id.as_str())?),
                TriggerTarget::Static(response) => Target::Static(response.clone()),
            };
            Some((trigger.route.as_ref()?.value.clone(), target))
        });
        let router = Router::build(routes)?;
        let mut schedules = Vec::new();
        for component in &wanted {
            let loaded = &components[place[component.id.as_str()]].component;
            for schedule in &component.schedules {
                schedules.push(schedule::Schedule::new(schedule, loaded, parts.variables)?);
            }
        }
        Ok(Arc::new(Self {
            engine,
            router,
            components,
            schedules,
            outbound: Arc::new(parts.outbound),
            telemetry: parts.telemetry,
            origin: OnceLock::new(),
        }))
    }

    /// Says where the public listener answers.
    pub fn listens_on(&self, scheme: Scheme, authority: Authority) {
        // Said once, at start.
        let _ = self.origin.set(Origin { scheme, authority });
    }

    /// The answer to a path that no route can take.
    fn reserved(&self, path: &str) -> Option<Response<WasiBody>> {
        Some(self.telemetry.reserved(path)?.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
    }
}

fn load_component(
    engine: &Engine,
    manifest_component: &manifest::Component,
    parts: &Parts<'_>,
) -> anyhow::Result<Loaded> {
    let id = &manifest_component.id;
    let source = manifest_component.source.display().to_string();
    let wasm = std::fs::read(&*manifest_component.source)
        .with_context(|| format!("component `{id}`: {source} cannot be read"))?;
    let wasm = with_dependencies(wasm, manifest_component, parts.manifest)?;
    let revision = &hex::encode(Sha256::digest(&wasm))[..REVISION_DIGITS];
    let pre = engine.load(id, &source, &wasm)?;

    let databases = manifest_component
        .sqlite_databases
        .iter()
        .filter_map(|label| Some((label.value.clone(), parts.stores.sqlite(label)?)));
    let key_value_stores = manifest_component
        .key_value_stores
        .iter()
        .filter_map(|label| Some((label.value.clone(), parts.stores.key_value(label)?)));
    let component = Arc::new(Component {
        environment: manifest_component.environment.clone().into_iter().collect(),
        files: files::lay_out(&parts.manifest.files_of(manifest_component)?, parts.state.guest_files().join(id))?,
        allowed_hosts: parts.manifest.allowed_hosts(manifest_component, parts.variables)?,
        variables: parts.variables.of_component(id).cloned().unwrap_or_default(),
        databases: databases.collect(),
        key_value_stores: key_value_stores.collect(),
        limits: limits(&manifest_component.limits, parts.memory_bytes_max, default_limits(&pre)),
        metrics: parts.telemetry.component(id, revision),
        stdout: parts.telemetry.guest_output(id, "stdout"),
        stderr: parts.telemetry.guest_output(id, "stderr"),
        id: id.clone(),
    });
    let admission = Arc::new(Admission::new(id, component.limits.queue_length_max));
    component.metrics.watch_queue({
        let admission = Arc::downgrade(&admission);
        move || admission.upgrade().map_or(0, |admission| admission.queue_length())
    });
    let pools = Pools::new(component.limits.instances_max, parts.workers);
    Ok(Loaded { component, pre, admission, pools })
}

fn default_limits(pre: &ProxyPre<GuestState>) -> InstanceLimits {
    match pre {
        ProxyPre::P3(_) => InstanceLimits::default(),
        // A WASI 0.2 guest may rely on a fresh instance for every request, as Spin gives it.
        ProxyPre::P2(_) => InstanceLimits { reuse_max: 1, concurrency_max: 1, ..InstanceLimits::default() },
    }
}

/// Instances of a component that may be alive at once on all worker threads, and one that only shows that it starts.
fn instances_max(component: &manifest::Component, workers: NonZeroUsize) -> usize {
    let set = component.limits.instances_max.and_then(|set| usize::try_from(set).ok());
    set.unwrap_or(InstanceLimits::default().instances_max).saturating_add(workers.get())
}

/// What is `set` for the component, else for all of them, else the default.
fn limits(set: &ComponentLimits, memory_bytes_max: Option<u64>, default: InstanceLimits) -> InstanceLimits {
    let size =
        |set: Option<u64>, default: usize| set.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX));
    InstanceLimits {
        reuse_max: size(set.instance_reuse_max, default.reuse_max),
        concurrency_max: size(set.instance_concurrency_max, default.concurrency_max),
        instances_max: size(set.instances_max, default.instances_max),
        idle_timeout: set.idle_timeout_ms.map_or(default.idle_timeout, Duration::from_millis),
        memory_bytes_max: size(set.memory_bytes_max.or(memory_bytes_max), default.memory_bytes_max),
        deadline: set.deadline_ms.map_or(default.deadline, Duration::from_millis),
        queue_length_max: size(set.queue_length_max, default.queue_length_max),
    }
}

/// The component with its dependencies, as one.
fn with_dependencies(wasm: Vec<u8>, component: &manifest::Component, manifest: &Manifest) -> anyhow::Result<Vec<u8>> {
    if component.dependencies.is_empty() {
        return Ok(wasm);
    }
    let read = |dependency: &manifest::Dependency| {
        let path = manifest
            .dependency_source(dependency)
            .with_context(|| format!("dependency `{}` has no source", dependency.name.value))?;
        std::fs::read(path)
            .with_context(|| format!("dependency `{}`: {} cannot be read", dependency.name.value, path.display()))
    };
    let code = component.dependencies.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let dependencies = component.dependencies.iter().zip(&code).map(|(dependency, wasm)| compose::Dependency {
        name: &dependency.name.value,
        wasm,
        export: dependency.export.as_deref(),
        inherit: &dependency.inherit,
    });
    compose::compose(&wasm, &dependencies.collect::<Vec<_>>()).with_context(|| format!("component `{}`", component.id))
}

#[cfg(test)]
mod tests;
