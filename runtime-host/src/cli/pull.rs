//! `bodega pull REF`: an application from an OCI registry, as a folder that `bodega up` and `spin up` take.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use super::registry::RegistryArgs;
use crate::oci::ArtifactReference;

/// Arguments of `bodega pull`.
#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// The artifact, `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@sha256:...`.
    reference: ArtifactReference,
    /// The folder to put it in, which must not be there yet; by default one named like the repository, here.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
}

impl Pull {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let folder = self.to.unwrap_or_else(|| self.reference.name().into());
        // An empty folder may be somebody's mount.
        let is_taken = std::fs::read_dir(&folder).map_or(folder.exists(), |mut entries| entries.next().is_some());
        if is_taken {
            bail!("{} is there already; name another folder with --to, or remove it", folder.display());
        }
        let folder = std::path::absolute(&folder).context("the working directory is not known")?;
        let pinned = self.registry.pull(&self.reference, &folder)?;
        println!("{pinned}");
        eprintln!("it is in {}; run it with `bodega up -f {0}`", folder.display());
        Ok(())
    }
}
