//! Artifacts in registries, as several commands take them.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{ManifestArgs, remote};
use crate::oci::{self, ArtifactReference, PublicKey, Registry};

/// What an artifact is told by where a file is expected.
const SCHEME: &str = "oci://";

/// How registries are asked, and whose artifacts are taken.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct RegistryArgs {
    /// Ask the registry in plain HTTP; one on this machine is in any case.
    #[arg(short = 'k', long, env = "BODEGA_INSECURE_REGISTRY")]
    pub(super) insecure: bool,
    /// Take only artifacts that one of these keys (PEM, such as `cosign.pub`) has signed; may be given several times.
    #[arg(long, value_name = "KEY.pub", env = "BODEGA_REQUIRE_SIGNATURE", value_delimiter = ',')]
    require_signature: Vec<PathBuf>,
}

impl RegistryArgs {
    /// The keys of which one has to have signed an artifact; none if that is not asked for.
    pub(super) fn keys(&self) -> anyhow::Result<Vec<PublicKey>> {
        let paths = self.require_signature.iter().filter(|path| !path.as_os_str().is_empty());
        Ok(paths.map(|path| PublicKey::read(path)).collect::<Result<_, _>>()?)
    }

    /// Puts an application into a folder that is not there yet; tells the artifact by its digest.
    pub(super) fn pull(&self, reference: &ArtifactReference, folder: &Path) -> anyhow::Result<ArtifactReference> {
        let keys = self.keys()?;
        let registry = Registry::of(reference, self.insecure)?;
        Ok(remote::runtime()?.block_on(oci::pull(&registry, reference, &keys, folder))?)
    }

    /// Has `manifest` be that of a temporary folder, if it names an artifact.
    pub(super) fn pull_aside(&self, manifest: &mut ManifestArgs) -> anyhow::Result<Option<TempDir>> {
        let Some(reference) = manifest.reference().map(str::parse).transpose()? else { return Ok(None) };
        let aside = tempfile::tempdir().context("a temporary folder cannot be made")?;
        let folder = aside.path().join("application");
        self.pull(&reference, &folder)?;
        manifest.from = folder;
        Ok(Some(aside))
    }

    /// The code of a component and where it is from: of a file, or of an artifact with `oci://`.
    pub(super) fn component(&self, component: &str, source: &Path) -> anyhow::Result<(Vec<u8>, String)> {
        let Some(reference) = source.to_str().filter(|source| source.starts_with(SCHEME)) else {
            let wasm = std::fs::read(source).with_context(|| format!("{} cannot be read", source.display()))?;
            return Ok((wasm, std::path::absolute(source)?.display().to_string()));
        };
        let reference: ArtifactReference = reference.parse()?;
        let keys = self.keys()?;
        let registry = Registry::of(&reference, self.insecure)?;
        let pulled = oci::pull_component(&registry, &reference, &keys, component);
        let package = remote::runtime()?.block_on(pulled)?;
        Ok((package.wasm, format!("{SCHEME}{}", package.reference)))
    }
}
