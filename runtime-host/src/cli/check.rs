//! `bodega check`: finds the first mistake in the manifest and in all that it names, without starting anything.

use std::path::PathBuf;

use super::{ManifestArgs, runtime_config};

/// Arguments of `bodega check`.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Where the stores are, by label.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let manifest = self.manifest.load()?;
        let config = runtime_config(&self.manifest, self.runtime_config_file.as_deref())?;
        manifest.check_stores(&config)?;
        manifest.check_sources()?;
        println!(
            "{} is sound: {} components, {} triggers",
            manifest.path.display(),
            manifest.components.len(),
            manifest.triggers.len()
        );
        Ok(())
    }
}
