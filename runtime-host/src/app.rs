//! The running application: what the manifest describes, loaded and ready to answer.
//!
//! `App` is shared by all worker threads; each thread has a `Worker` with its own instances.

mod audit;
mod cached;
mod chain;
mod change;
mod choice;
mod configuration;
mod counts;
mod deploy;
mod edge;
mod error;
mod files;
mod forward;
mod handover;
mod loader;
mod migration;
mod pools;
mod preview;
mod purging;
mod quiet;
mod renewal;
mod report;
mod restart;
mod revision;
mod rollouts;
pub mod schedule;
mod shadow;
mod shape;
mod shopper;
mod smoke;
mod spans;
mod status;
mod stores;
mod table;
mod tasks;
mod webhooks;
mod worker;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http::Response;
use http::uri::{Authority, Scheme};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::WasiBody;

pub use configuration::Sources;
use deploy::Deployments;
pub use deploy::{Deployed, Deployment, Rollback};
pub use error::DeployError;
pub use handover::HandOverError;
use loader::{AtHand, InForce, Loader, instances_max};
pub use preview::PREVIEW;
use restart::{Changed, Decided};
use revision::{Live, WorkerThread};
pub use rollouts::{RolloutStatus, Steer};
pub use status::{ComponentStatus, DrainingStatus};
pub use stores::{sqlite_settings, stores_config};
use table::{Split, Table};
use webhooks::Webhooks;
pub use worker::Worker;

use crate::engine::Engine;
use crate::engine::component::Priority;
use crate::engine::outbound_client::OutboundShared;
use crate::gateway::Gateway;
use crate::manifest::{self, Manifest, StaticResponse, TriggerTarget};
use crate::registry::{self, Digest, Registry, RegistryError};
use crate::rollout;
use crate::router::Router;
use crate::state_dir::StateDir;
use crate::stores::Stores;
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::HOST;
use crate::variables::Variables;

/// Revisions of every component that may answer at once: the one in force, and one that takes over.
const GENERATIONS_MAX: usize = 2;
/// Room for instances that finish what they have begun: a part of those of one generation.
const DRAINING_PART: usize = 2;

/// What answers a route.
enum Target {
    /// The component at this place in [`App::served`].
    Component(usize),
    /// Always the same response.
    Static(StaticResponse),
}

/// What the application's own URLs begin with.
#[derive(Clone)]
struct Origin {
    scheme: Scheme,
    authority: Authority,
}

/// The application.
pub struct App {
    router: Router<Target>,
    /// The ids of the components that have requests of their own.
    served: Vec<String>,
    /// Their revisions that answer.
    table: ArcSwap<Table>,
    loader: Loader,
    deployments: Deployments,
    /// What a tester has to show to be answered by a revision that is rolled out.
    preview_token: Arc<str>,
    /// Where testers meet what is rolled out.
    preview_hosts: Box<[String]>,
    /// Each sets itself when it starts.
    workers: Box<[OnceLock<WorkerThread>]>,
    schedules: Vec<schedule::Schedule>,
    outbound: Arc<OutboundShared>,
    webhooks: Webhooks,
    /// What is done with requests from outside.
    pub gateway: Gateway,
    /// Everything that the host reports about itself.
    pub telemetry: Arc<Telemetry>,
    /// Where the public listener answers, for requests of components to the application itself.
    origin: OnceLock<Origin>,
    /// Until it is in force.
    decided: Mutex<Option<Decided>>,
}

/// What an application is made from.
pub struct Parts {
    /// The manifest.
    pub manifest: Manifest,
    /// Its variables, resolved.
    pub variables: Variables,
    /// Reads both again when something is deployed.
    pub sources: Arc<Sources>,
    /// The file that says what the gateway does, if there is one.
    pub gateway: Option<PathBuf>,
    /// Its stores, open.
    pub stores: Stores,
    /// The state folder.
    pub state: StateDir,
    /// Which revisions of its components there are.
    pub registry: Arc<Registry>,
    /// The folder that keeps compiled code between starts.
    pub code_cache: PathBuf,
    /// Linear memory of an instance where the manifest does not say, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// How requests to hosts outside of the application are sent.
    pub outbound: OutboundShared,
    /// What a tester has to show to be answered by a revision that is rolled out.
    pub preview_token: String,
    /// By which the values of secret variables are told apart without being kept.
    pub seal_key: String,
    /// Where to report.
    pub telemetry: Arc<Telemetry>,
}

impl App {
    /// Compiles and links every component, in the revision that is in force. Nothing is served yet, and nothing written down: see
    /// [`App::take_up`].
    pub async fn load(parts: Parts) -> anyhow::Result<Arc<Self>> {
        let manifest = &parts.manifest;
        // A component that no trigger names runs only as part of another one.
        let served = |id: &str| manifest.triggers.iter().any(|trigger| trigger.runs(id));
        let wanted: Vec<_> = manifest.components.iter().filter(|component| served(&component.id)).cloned().collect();
        let instances: usize = wanted.iter().map(|component| instances_max(component, parts.workers)).sum();
        let room = instances.saturating_mul(GENERATIONS_MAX).saturating_add(instances / DRAINING_PART);
        let engine = Engine::new(&parts.code_cache, room)?;
        let loader = Loader::new(&parts, engine.clone(), &wanted)?;
        let found = find_artifacts(&loader, &wanted)?;
        loader.started_with(&found.in_force.configurations);
        let revisions = in_parallel(wanted.iter(), |component| {
            let source = component.source.display().to_string();
            let composed = loader.compose(component, &found.in_force, &found.at_hand)?;
            loader.load(composed, &found.in_force.configuration(&component.id), &source)
        })?;
        for revision in &revisions {
            loader.try_start(revision).await?;
            if let Some(artifact) = found.in_force.artifacts.get(&revision.component.id) {
                loader.migrate(revision, artifact).await?;
            }
        }
        engine.prune_code_cache();

        let served: Vec<String> = wanted.iter().map(|component| component.id.clone()).collect();
        let place: BTreeMap<&str, usize> = served.iter().enumerate().map(|(place, id)| (id.as_str(), place)).collect();
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
            for schedule in &component.schedules {
                schedules.push(schedule::Schedule::new(schedule, &component.id, &parts.variables)?);
            }
        }
        let preview_host =
            |component: &manifest::Component| component.rollout.preview_host.as_ref().map(|host| host.value.clone());
        let preview_hosts = wanted.iter().filter_map(preview_host).collect();
        let workers: Box<[_]> = (0..parts.workers.get()).map(|_| OnceLock::new()).collect();
        let live = revisions.into_iter().map(|revision| Split::whole(Live::new(&engine, revision, &workers)));
        let tls = parts.outbound.tls();
        let tls = Arc::new(move |host: &str| tls.of(HOST, host).clone());
        let gateway = Gateway::open(parts.gateway.as_deref(), manifest, &parts.variables, tls)?;
        let preview_token: Arc<str> = parts.preview_token.into();
        let table = Table::new(live);
        let outbound = Arc::new(parts.outbound);
        let webhooks = Webhooks::start(&loader.manifest, &parts.variables, &outbound, &parts.telemetry)?;
        for component in &manifest.components {
            let results = webhooks.has(&component.id).then_some(webhooks::RESULTS).into_iter().flatten();
            let changes = rollout::Change::ALL.map(rollout::Change::name);
            parts.telemetry.metrics.expect(&component.id, changes, [audit::DEPLOY, audit::ROLLBACK], results);
        }
        let mut decided = Decided::new(found.changed);
        let (in_force, token) = (&found.in_force, &preview_token);
        let table = restart::resume(&loader, &served, in_force, &workers, token, table, &mut decided).await?;
        let deployments = Deployments::new(found.in_force, found.bases);
        deployments.rollouts().extend(decided.entries.iter().cloned());
        let app = Arc::new(Self {
            router,
            table: ArcSwap::from_pointee(table),
            deployments,
            preview_token,
            preview_hosts,
            loader,
            served,
            workers,
            schedules,
            outbound,
            webhooks,
            gateway,
            telemetry: parts.telemetry,
            origin: OnceLock::new(),
            decided: Mutex::new(Some(decided)),
        });
        let cached = Arc::downgrade(&app);
        let cached = move || cached.upgrade().and_then(|app| Some(app.gateway.cache()?.bytes())).unwrap_or(0);
        let help = "Memory of the answers that the gateway has stored";
        app.telemetry.metrics.gauge("bodega_gateway_cache_bytes", help, cached);
        Ok(app)
    }

    /// Writes down what the start has decided. From here on this process alone decides about revisions.
    pub async fn take_up(self: &Arc<Self>) -> Result<(), RegistryError> {
        // It is taken up once.
        let Some(decided) = self.decided().take() else { return Ok(()) };
        let registry = self.loader.registry.clone();
        let recorded = tasks::blocking(move || decided.record(&registry).map(|()| decided));
        *self.decided() = Some(recorded.await?);
        Ok(())
    }

    /// Has rollouts go on, and tells webhooks what the start has decided: requests are answered by it from now on.
    pub fn serves(self: &Arc<Self>) {
        let Some(decided) = self.decided().take() else { return };
        decided.tell(&self.webhooks);
        for (component, entry) in decided.entries {
            self.watch(component, entry);
        }
    }

    fn decided(&self) -> MutexGuard<'_, Option<Decided>> {
        // It is taken or put there in one step.
        self.decided.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The place of the component `id`, if it has requests of its own. The case of `id` does not matter.
    fn place_of(&self, id: &str) -> Option<usize> {
        self.served.iter().position(|served| served.eq_ignore_ascii_case(id))
    }

    /// Has these revisions answer from now on. What is cached may be made by others, and is dropped; what was asked of them before
    /// is not stored after it.
    fn replace_table(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.forget_cached();
    }

    /// Drops all answers that the gateway has stored.
    pub fn forget_cached(&self) {
        self.gateway.cache().iter().for_each(|cache| cache.purge_all());
    }

    /// Whether some components run on threads of low priority.
    fn has_quiet_components(&self) -> bool {
        let is_quiet = |component: &manifest::Component| component.limits.priority == Some(Priority::Low);
        self.loader.manifest.components.iter().any(is_quiet)
    }

    /// A worker thread has started: every revision that answers gets its pool there.
    fn worker_starts(&self, index: usize, thread: WorkerThread) {
        let Some(worker) = self.workers.get(index) else { return };
        let thread = worker.get_or_init(|| thread);
        for live in self.table.load().live() {
            live.start(&self.loader.engine, index, thread);
        }
    }
}

/// What the manifest and the registry name together.
#[derive(Default)]
struct Found {
    /// The manifest's own artifacts.
    bases: BTreeMap<String, Digest>,
    in_force: InForce,
    /// Those of the manifest that are in force.
    at_hand: AtHand,
    /// Components of which something else is in force than was.
    changed: Vec<Changed>,
}

/// The artifact that the manifest names for a component.
struct OfManifest {
    id: String,
    source: String,
    digest: Digest,
    wasm: Vec<u8>,
    in_force: registry::InForce,
}

/// Reads the artifacts that `components` consist of, keeps a copy of each, and asks the registry which are in force.
fn find_artifacts(loader: &Loader, components: &[manifest::Component]) -> anyhow::Result<Found> {
    let ids: std::collections::BTreeSet<&str> =
        components.iter().flat_map(|component| loader.parts_of(component)).collect();
    let read = in_parallel(ids.into_iter(), |id| {
        // The manifest was checked: what a component depends on is there.
        let component = loader.manifest.component(id).with_context(|| format!("there is no component `{id}`"))?;
        let source = component.source.display().to_string();
        let wasm =
            std::fs::read(&*component.source).with_context(|| format!("component `{id}`: {source} cannot be read"))?;
        let digest = Digest::of(&wasm);
        // A build may replace the file while the host runs; a return to this revision needs it as it was.
        loader.registry.artifacts().keep(&digest, &wasm, false)?;
        let in_force = loader.registry.in_force(id, &digest, &loader.configuration_read(id).digest())?;
        Ok(OfManifest { id: id.to_owned(), source, digest, wasm, in_force })
    })?;
    let mut found = Found::default();
    for of_manifest in read {
        let id = of_manifest.id.clone();
        found.add(loader, of_manifest).with_context(|| format!("component `{id}`"))?;
    }
    Ok(found)
}

impl Found {
    /// Decides what is in force of a component.
    fn add(&mut self, loader: &Loader, of_manifest: OfManifest) -> anyhow::Result<()> {
        let OfManifest { id, source, digest: base, wasm, in_force } = of_manifest;
        let now = loader.configuration_read(&id);
        let (digest, configuration) = match &in_force {
            registry::InForce::Manifest | registry::InForce::ManifestChanged(_) => (base.clone(), now),
            registry::InForce::ConfigurationChanged(recorded) => (recorded.digest.clone(), now),
            registry::InForce::Deployed(recorded) => {
                let restored = loader.configurer.restore(&recorded.configuration, [], &now)?;
                restored.warn(&id, recorded.number);
                (recorded.digest.clone(), Arc::new(restored.configuration))
            }
        };
        match &in_force {
            registry::InForce::Manifest => {}
            registry::InForce::Deployed(recorded) => {
                tracing::info!(component = id, revision = recorded.number, %digest, "a deployed revision is in force");
            }
            registry::InForce::ManifestChanged(recorded) | registry::InForce::ConfigurationChanged(recorded) => {
                let why = match &in_force {
                    registry::InForce::ManifestChanged(_) => "the manifest's file changed",
                    _ => "the configuration changed",
                };
                let changed = Changed::new(&id, why, recorded, &base, source, &digest, &configuration);
                tracing::warn!(
                    component = id,
                    changed = changed.changes.join(", "),
                    "{why}, so it is in force instead of revision {}",
                    recorded.number
                );
                self.changed.push(changed);
            }
        }
        if digest == base {
            self.at_hand.insert(id.clone(), wasm.into());
        }
        self.in_force.artifacts.insert(id.clone(), digest);
        self.in_force.configurations.insert(id.clone(), configuration);
        self.bases.insert(id, base);
        Ok(())
    }
}

/// Does `work` for each item on a thread of its own.
fn in_parallel<I: Send, T: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        // A panic while loading is a bug; it ends the start as it would on this thread.
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests;
