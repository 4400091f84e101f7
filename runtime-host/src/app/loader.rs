//! Makes a revision out of artifacts: composes a component with its dependencies, compiles, links, and grants what the manifest
//! grants.

mod declared;
mod given;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use wasmtime_wasi_http::handler::ProxyPre;

use self::declared::undeclared;
use super::configuration::{Configuration, Configurations, Configurer, Sources};
use super::counts::GrowthCounts;
use super::migration::Migration;
use super::revision::Revision;
use super::{Parts, migration};
use crate::engine::component::{Component, InstanceLimits};
use crate::engine::state::GuestState;
use crate::engine::{self, Engine, EngineError, compose};
use crate::manifest::{self, ComponentLimits, DependencySource, Manifest};
use crate::registry::{Digest, Registry};
use crate::stores::key_value::KeyValue;
use crate::stores::sql::Database;
use crate::telemetry::Telemetry;
use crate::telemetry::guest_output::GuestOutput;

/// Distinguishes what is composed from what another version of [`compose`] would make of the same parts.
const COMPOSITION: &str = "composition 1 of";

/// What is in force of each component, by the component's id.
#[derive(Clone, Default)]
pub(super) struct InForce {
    pub(super) artifacts: BTreeMap<String, Digest>,
    /// Of those that have requests of their own.
    pub(super) configurations: Configurations,
}

impl InForce {
    /// The same with another artifact and configuration of one component.
    pub(super) fn with(mut self, component: &str, digest: &Digest, configuration: &Arc<Configuration>) -> Self {
        self.set(component, digest, configuration);
        self
    }

    pub(super) fn set(&mut self, component: &str, digest: &Digest, configuration: &Arc<Configuration>) {
        self.artifacts.insert(component.to_owned(), digest.clone());
        self.configurations.insert(component.to_owned(), configuration.clone());
    }

    /// What the component is given; one that runs only as part of others is given nothing of its own.
    pub(super) fn configuration(&self, component: &str) -> Arc<Configuration> {
        self.configurations.get(component).cloned().unwrap_or_default()
    }
}

/// Artifacts that need not be read, by the component's id.
pub(super) type AtHand = BTreeMap<String, Arc<[u8]>>;

/// Makes revisions.
pub(super) struct Loader {
    pub(super) engine: Arc<Engine>,
    pub(super) manifest: Manifest,
    pub(super) registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    memory_bytes_max: Option<u64>,
    /// Of each component that is served.
    grants: BTreeMap<String, Grants>,
    pub(super) configurer: Configurer,
    sources: Arc<Sources>,
    /// What the manifest and its sources said when they were read last.
    now: Mutex<Configurations>,
    /// What revisions were given at the start, whose names in the metrics need not tell it.
    at_start: Mutex<BTreeMap<String, Digest>>,
    /// Of each of them that has one.
    migrations: BTreeMap<String, Migration>,
    /// Held locked by the process that is at one.
    migration_lock: PathBuf,
}

/// What the manifest grants every revision of a component from the start on.
#[derive(Clone)]
struct Grants {
    databases: HashMap<String, Database>,
    key_value_stores: HashMap<String, Arc<dyn KeyValue>>,
    stdout: Arc<GuestOutput>,
    stderr: Arc<GuestOutput>,
}

impl Grants {
    fn new(component: &manifest::Component, parts: &Parts) -> Self {
        let id = &component.id;
        let databases =
            component.sqlite_databases.iter().filter_map(|label| Some((label.value.clone(), parts.stores.sql(label)?)));
        let key_value_stores = component
            .key_value_stores
            .iter()
            .filter_map(|label| Some((label.value.clone(), parts.stores.key_value(label)?)));
        Self {
            databases: databases.collect(),
            key_value_stores: key_value_stores.collect(),
            stdout: parts.telemetry.guest_output(id, "stdout"),
            stderr: parts.telemetry.guest_output(id, "stderr"),
        }
    }
}

/// A component with its dependencies as one, neither read nor compiled yet.
pub(super) struct Composed<'a> {
    component: &'a manifest::Component,
    /// Of all that it is made of, and how.
    pub(super) digest: Digest,
    parts: Vec<Artifact>,
}

/// A wasm file that a revision is made of.
enum Artifact {
    Read(Arc<[u8]>),
    Kept(Digest),
}

impl Loader {
    /// For the components `served`, which have requests of their own.
    pub(super) fn new(parts: &Parts, engine: Arc<Engine>, served: &[manifest::Component]) -> anyhow::Result<Self> {
        let grants = served.iter().map(|component| (component.id.clone(), Grants::new(component, parts)));
        let configurer = Configurer::new(&parts.state, parts.seal_key.clone());
        let configurations = served.iter().map(|component| {
            let configuration = configurer.read(&parts.manifest, component, &parts.variables)?;
            Ok((component.id.clone(), Arc::new(configuration)))
        });
        let configurations = configurations.collect::<anyhow::Result<Configurations>>()?;
        let migrations = served.iter().filter_map(|component| {
            let migration = Migration::new(component.migration.as_ref()?, &component.id, &parts.variables);
            Some(migration.map(|migration| (component.id.clone(), migration)))
        });
        Ok(Self {
            migrations: migrations.collect::<anyhow::Result<_>>()?,
            migration_lock: parts.state.migration_lock(),
            engine,
            manifest: parts.manifest.clone(),
            registry: parts.registry.clone(),
            telemetry: parts.telemetry.clone(),
            memory_bytes_max: parts.memory_bytes_max,
            grants: grants.collect(),
            configurer,
            sources: parts.sources.clone(),
            now: Mutex::new(configurations),
            at_start: Mutex::default(),
        })
    }

    /// The components whose artifacts `component` consists of, itself among them.
    pub(super) fn parts_of<'a>(&self, component: &'a manifest::Component) -> impl Iterator<Item = &'a str> {
        let dependencies = component.dependencies.iter().filter_map(|dependency| match &dependency.source {
            DependencySource::Component(id) => Some(id.as_str()),
            DependencySource::Path(_) => None,
        });
        dependencies.chain([component.id.as_str()])
    }

    /// The component made one with its dependencies, of the artifacts `in_force`.
    pub(super) fn compose<'a>(
        &self,
        component: &'a manifest::Component,
        in_force: &InForce,
        at_hand: &AtHand,
    ) -> anyhow::Result<Composed<'a>> {
        let artifact = |id: &str| -> anyhow::Result<(Digest, Artifact)> {
            let digest =
                in_force.artifacts.get(id).with_context(|| format!("component `{id}` has no artifact"))?.clone();
            let artifact = at_hand.get(id).cloned().map_or_else(|| Artifact::Kept(digest.clone()), Artifact::Read);
            Ok((digest, artifact))
        };
        let (digest, own) = artifact(&component.id)?;
        if component.dependencies.is_empty() {
            return Ok(Composed { component, digest, parts: vec![own] });
        }
        let mut parts = vec![own];
        let mut made_of = format!("{COMPOSITION} {}", digest.as_str());
        for dependency in &component.dependencies {
            let (digest, part) = match &dependency.source {
                DependencySource::Component(id) => artifact(id)?,
                DependencySource::Path(path) => {
                    let wasm = std::fs::read(&**path).with_context(|| {
                        format!("dependency `{}`: {} cannot be read", dependency.name.value, path.display())
                    })?;
                    (Digest::of(&wasm), Artifact::Read(wasm.into()))
                }
            };
            let manifest::Dependency { name, export, inherit, .. } = dependency;
            // `Debug` quotes texts, so no two lists of dependencies look the same.
            made_of += &format!(" {:?} {export:?} {inherit:?} {}", name.value, digest.as_str());
            parts.push(part);
        }
        Ok(Composed { component, digest: Digest::of(made_of.as_bytes()), parts })
    }

    /// The wasm that it is.
    fn wasm(&self, component: &manifest::Component, parts: Vec<Artifact>) -> anyhow::Result<Arc<[u8]>> {
        let read = |part| match part {
            Artifact::Read(wasm) => Ok(wasm),
            Artifact::Kept(digest) => self.registry.artifacts().read(&digest).map(Arc::from),
        };
        let parts = parts.into_iter().map(read).collect::<Result<Vec<Arc<[u8]>>, _>>()?;
        let [own, others @ ..] = parts.as_slice() else {
            anyhow::bail!("component `{}` has no artifact", component.id)
        };
        if others.is_empty() {
            return Ok(own.clone());
        }
        let dependencies = component.dependencies.iter().zip(others).map(|(dependency, wasm)| compose::Dependency {
            name: &dependency.name.value,
            wasm,
            export: dependency.export.as_deref(),
            inherit: &dependency.inherit,
        });
        let composed = compose::compose(own, &dependencies.collect::<Vec<_>>())
            .with_context(|| format!("component `{}`", component.id))?;
        Ok(composed.into())
    }

    /// Compiles and links it, to be given this; blocks. `source` says where it came from.
    pub(super) fn load(
        &self,
        composed: Composed<'_>,
        configuration: &Arc<Configuration>,
        source: &str,
    ) -> anyhow::Result<Arc<Revision>> {
        let Composed { component, digest, parts } = composed;
        let id = &component.id;
        let pre = match self.engine.find(id, digest.as_str())? {
            Some(pre) => pre,
            None => self.engine.compile(id, source, digest.as_str(), &self.wasm(component, parts)?)?,
        };
        let grants =
            self.grants.get(id).with_context(|| format!("component `{id}` has no requests of its own"))?.clone();
        let mut limits = limits(&component.limits, self.memory_bytes_max, default_limits(&pre));
        if let ProxyPre::P2(_) = &pre {
            // It holds its instance until its handler returns, also while it waits for a reader.
            limits.concurrency_max = 1;
        }
        let growth = GrowthCounts::default();
        let name = self.name(id, &digest, &configuration.digest());
        let manifest_component = component;
        let component = Arc::new(Component {
            growth: Arc::new(growth.clone()),
            environment: configuration.environment.clone().into_iter().collect(),
            files: configuration.files(),
            allowed_hosts: configuration.allowed_hosts()?,
            variables: configuration.values(),
            databases: grants.databases,
            key_value_stores: grants.key_value_stores,
            limits,
            metrics: self.telemetry.component(id, &name),
            stdout: grants.stdout,
            stderr: grants.stderr,
            id: id.clone(),
        });
        let undeclared = undeclared(&engine::uses(&pre), manifest_component, configuration);
        for what in &undeclared {
            tracing::warn!(component = component.id, revision = name, "{what}");
        }
        let configuration = configuration.clone();
        Ok(Arc::new(Revision { undeclared, component, pre, growth, digest, configuration, name }))
    }

    /// Composes and loads the component `id`; blocks.
    pub(super) fn load_place(
        &self,
        id: &str,
        in_force: &InForce,
        at_hand: &AtHand,
        source: &str,
    ) -> anyhow::Result<Arc<Revision>> {
        let component = self.manifest.component(id).with_context(|| format!("there is no component `{id}`"))?;
        self.load(self.compose(component, in_force, at_hand)?, &in_force.configuration(id), source)
    }

    /// Of the components `served`, the places of those that `id` is or is a part of.
    pub(super) fn places_with(&self, served: &[String], id: &str) -> Vec<usize> {
        let has = |served: &String| {
            let component = self.manifest.component(served);
            component.is_some_and(|component| self.parts_of(component).any(|part| part == id))
        };
        (0..served.len()).filter(|place| has(&served[*place])).collect()
    }

    /// Has a revision migrate its stores, if its component does that and this artifact of it has not.
    pub(super) async fn migrate(&self, revision: &Revision, artifact: &Digest) -> anyhow::Result<()> {
        let component = &revision.component.id;
        let Some(migration) = self.migrations.get(component) else { return Ok(()) };
        let started = Instant::now();
        let asked = migration::once(&self.registry, &self.migration_lock, component, artifact, async {
            let asked = migration.ask(&self.engine, revision).await;
            asked.with_context(|| {
                format!("the migration of component `{component}`, POST {}, has failed", migration.path)
            })
        });
        if asked.await? {
            tracing::info!(component, %artifact, took = ?started.elapsed(), "a revision has migrated its stores");
        }
        Ok(())
    }

    /// Makes an instance and drops it.
    pub(super) async fn try_start(&self, revision: &Revision) -> Result<(), EngineError> {
        self.engine.try_start(&revision.pre, revision.component.clone()).await
    }
}

fn default_limits(pre: &ProxyPre<GuestState>) -> InstanceLimits {
    match pre {
        ProxyPre::P3(_) => InstanceLimits::default(),
        // A WASI 0.2 guest may rely on a fresh instance for every request, as Spin gives it.
        ProxyPre::P2(_) => InstanceLimits { reuse_max: 1, concurrency_max: 1, ..InstanceLimits::default() },
    }
}

/// Instances of a component that may be alive at once on all worker threads, and one that only shows that it starts.
pub(super) fn instances_max(component: &manifest::Component, workers: NonZeroUsize) -> usize {
    let set = component.limits.instances_max.and_then(|set| usize::try_from(set).ok());
    set.unwrap_or(InstanceLimits::default().instances_max).saturating_add(workers.get())
}

/// What is `set` for the component, else for all of them, else the default.
pub(super) fn limits(set: &ComponentLimits, memory_bytes_max: Option<u64>, default: InstanceLimits) -> InstanceLimits {
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
        priority: set.priority.unwrap_or(default.priority),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::component::Priority;

    #[test]
    fn limits_are_those_of_the_component_else_of_all_else_the_default() {
        let default = InstanceLimits::default();
        assert_eq!(limits(&ComponentLimits::default(), None, default), default);
        assert_eq!(limits(&ComponentLimits::default(), Some(1 << 20), default).memory_bytes_max, 1 << 20);

        let set = ComponentLimits {
            instances_max: Some(1),
            instance_reuse_max: Some(2),
            instance_concurrency_max: Some(3),
            idle_timeout_ms: Some(4),
            memory_bytes_max: Some(65_536),
            deadline_ms: Some(6),
            queue_length_max: Some(0),
            priority: Some(Priority::Low),
        };
        let all_set = InstanceLimits {
            instances_max: 1,
            reuse_max: 2,
            concurrency_max: 3,
            idle_timeout: Duration::from_millis(4),
            memory_bytes_max: 65_536,
            deadline: Duration::from_millis(6),
            queue_length_max: 0,
            priority: Priority::Low,
        };
        assert_eq!(limits(&set, Some(1 << 20), default), all_set);
    }
}
