//! An application as the host runs it: which one it is by the arguments, and what is loaded of it.

use std::fs::File;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;

use super::advice::about_stores;
use super::registry::RegistryArgs;
use super::{ManifestArgs, StateDirArgs, gateway_file, remote, runtime_config};
use crate::app::{App, Parts, Sources, stores_config};
use crate::engine::outbound_client::OutboundShared;
use crate::generated;
use crate::manifest::Manifest;
use crate::oci::Store;
use crate::registry::{REVISIONS_KEPT, Registry};
use crate::runtime_config::RuntimeConfig;
use crate::state_dir::StateDir;
use crate::stores::{Stores, StoresConfig};
use crate::telemetry::Telemetry;
use crate::variables::{Values, Variables, read_overrides};

/// Which application, with which settings.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ApplicationArgs {
    #[command(flatten)]
    pub(super) manifest: ManifestArgs,
    #[command(flatten)]
    pub(super) registry: RegistryArgs,
    #[command(flatten)]
    pub(super) state_dir: StateDirArgs,
    /// Where compiled code is kept between starts; by default in the state folder. Hosts of one user may share it.
    #[arg(long, env = "BODEGA_CODE_CACHE")]
    code_cache: Option<PathBuf>,
    /// Where the stores are, by label.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
    /// What the gateway does with requests from outside; by default the `gateway.toml` beside the manifest, if there is one.
    #[arg(long, env = "BODEGA_GATEWAY")]
    gateway: Option<PathBuf>,
    /// Run only this component; may be given several times.
    #[arg(short = 'c', long = "component-id", env = "SPIN_COMPONENTS_TO_RETAIN", value_delimiter = ',')]
    component_id: Vec<String>,
    /// A variable's value, `NAME=VALUE` or `@FILE`; may be given several times.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variable: Vec<String>,
    /// An environment variable for every component, `NAME=VALUE`; may be given several times.
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Linear memory of one instance, in bytes, where the manifest does not say.
    #[arg(long, env = "SPIN_MAX_INSTANCE_MEMORY")]
    max_instance_memory: Option<u64>,
}

/// What was read of an application: nothing is open, made or loaded yet.
pub(super) struct Described {
    pub(super) manifest: Manifest,
    pub(super) config: RuntimeConfig,
}

/// An application that can answer.
pub(super) struct Loaded {
    pub(super) app: Arc<App>,
    pub(super) stores: Stores,
    pub(super) telemetry: Arc<Telemetry>,
}

impl ApplicationArgs {
    /// Puts an application that is an artifact into the state folder, unless it is there, and takes it from there from now on.
    pub(super) fn fetch(&mut self) -> anyhow::Result<()> {
        let Some(reference) = self.manifest.reference().map(str::parse).transpose()? else { return Ok(()) };
        let state = self.state_dir.open(&runtime_config(&self.manifest, self.runtime_config_file.as_deref())?)?;
        let store = Store::new(state.artifacts());
        let keys = self.registry.keys()?;
        self.manifest.from = remote::runtime()?.block_on(store.get(&reference, self.registry.insecure, &keys))?;
        Ok(())
    }

    /// Reads the manifest and the runtime configuration.
    pub(super) fn read(&self) -> anyhow::Result<Described> {
        let mut manifest = self.manifest.load()?;
        manifest.retain(&self.components())?;
        let config = runtime_config(&self.manifest, self.runtime_config_file.as_deref())?;
        self.add_environment(&mut manifest)?;
        manifest.check_stores(&config)?;
        Ok(Described { manifest, config })
    }

    /// Where the stores are.
    pub(super) fn stores(&self, described: &Described, state: &StateDir) -> StoresConfig {
        stores_config(&described.manifest, &described.config, state)
    }

    /// Opens the stores and loads every component, in the revisions that the registry in the folder `registry` names. With
    /// the `lock` of a process that has the stores open, beside that one.
    pub(super) async fn load(
        &self,
        described: &Described,
        state: &StateDir,
        registry: &Path,
        workers: NonZeroUsize,
        lock: Option<File>,
    ) -> anyhow::Result<Loaded> {
        let Described { manifest, config } = described;
        let variables = self.variables(manifest, config, state, &Values::default())?;
        let telemetry = Arc::new(Telemetry::new(&manifest.application.name, &manifest.application.version));
        let stores_config = self.stores(described, state);
        let stores = match lock {
            None => Stores::open(&stores_config),
            Some(lock) => Stores::open_beside(&stores_config, lock),
        };
        let stores = stores.map_err(|error| about_stores(error, state))?;
        let app = App::load(Parts {
            manifest: manifest.clone(),
            gateway: gateway_file(&self.manifest, self.gateway.as_deref()),
            variables,
            sources: self.sources(state),
            stores: stores.clone(),
            state: state.clone(),
            registry: Arc::new(Registry::open(registry, REVISIONS_KEPT)?),
            code_cache: self.code_cache.clone().unwrap_or_else(|| state.code_cache()),
            memory_bytes_max: self.max_instance_memory,
            preview_token: generated::preview_token(state)?,
            seal_key: generated::seal_key(state)?,
            workers,
            outbound: OutboundShared::new(&config.outbound_http, &config.client_tls)?,
            telemetry: telemetry.clone(),
        })
        .await?;
        Ok(Loaded { app, stores, telemetry })
    }

    pub(super) fn add_environment(&self, manifest: &mut Manifest) -> anyhow::Result<()> {
        for pair in &self.env {
            let Some((name, value)) = pair.split_once('=') else {
                bail!("--env {pair}: expected NAME=VALUE");
            };
            for component in &mut manifest.components {
                component.environment.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(())
    }

    /// Reads manifest and variables again, as they are by then.
    fn sources(&self, state: &StateDir) -> Arc<Sources> {
        let (application, state) = (self.clone(), state.clone());
        Arc::new(move |overrides| {
            let Described { manifest, config } = application.read()?;
            let variables = application.variables(&manifest, &config, &state, overrides)?;
            Ok((manifest, variables))
        })
    }

    /// The values of variables; those of `overrides` before all others.
    fn variables(
        &self,
        manifest: &Manifest,
        config: &RuntimeConfig,
        state: &StateDir,
        overrides: &Values,
    ) -> anyhow::Result<Variables> {
        let generated = manifest.application.settings.generate.iter();
        let generated = generated.map(|(name, kind)| Ok((name.clone(), kind.value.value(name, state)?)));
        let generated = generated.collect::<anyhow::Result<Values>>()?;
        let given = read_overrides(&self.variable)?;
        let overrides = given.iter().chain(overrides.iter()).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let overrides = overrides.collect();
        Ok(Variables::resolve(manifest, overrides, &config.variables_providers, generated, &|name| {
            std::env::var(name).ok()
        })?)
    }

    /// The components to run; an empty environment variable names none.
    fn components(&self) -> Vec<String> {
        self.component_id.iter().filter(|id| !id.is_empty()).cloned().collect()
    }
}
