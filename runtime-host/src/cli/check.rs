//! `bodega check`: finds the first mistake in the manifest, in all that it names and in what the gateway does, without starting anything.

use std::path::PathBuf;

use super::registry::RegistryArgs;
use super::{ManifestArgs, gateway_file, runtime_config};
use crate::gateway::Configuration;

/// Arguments of `bodega check`.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Where the stores are, by label.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
    /// What the gateway does; by default the `gateway.toml` beside the manifest, if there is one.
    #[arg(long, env = "BODEGA_GATEWAY")]
    gateway: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        // Removed at the end.
        let _pulled = self.registry.pull_aside(&mut self.manifest)?;
        let manifest = self.manifest.load()?;
        let config = runtime_config(&self.manifest, self.runtime_config_file.as_deref())?;
        manifest.check_stores(&config)?;
        manifest.check_sources()?;
        if let Some(path) = gateway_file(&self.manifest, self.gateway.as_deref()) {
            let configuration = Configuration::load(&path, &manifest, None, None)?;
            if let Some(doubt) = configuration.doubts(&path, &manifest).into_iter().next() {
                return Err(doubt.into());
            }
            println!("{} is sound: {} rules", path.display(), configuration.rules());
        }
        println!(
            "{} is sound: {} components, {} triggers",
            manifest.path.display(),
            manifest.components.len(),
            manifest.triggers.len()
        );
        Ok(())
    }
}
