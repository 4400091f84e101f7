//! `bodega push REF`: the application to an OCI registry, in the layout of `spin registry push`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::ArgAction;

use super::{ManifestArgs, RUNTIME_CONFIG, StateDirArgs, build, gateway_file, remote, runtime_config};
use crate::engine::compose;
use crate::gateway::Configuration;
use crate::manifest::Component;
use crate::oci::{self, ArtifactReference, Part, Registry, SigningKey};

/// Arguments of `bodega push`.
#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// Where to, `REGISTRY/REPOSITORY:TAG`.
    reference: ArtifactReference,
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Run the components' build commands first.
    #[arg(short = 'b', long)]
    build: bool,
    /// Make one component of each and its dependencies. With `false`, dependencies stay apart: a host that composes them can then be
    /// given another revision of one of them.
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true)]
    compose: bool,
    /// What the gateway does; by default the `gateway.toml` beside the manifest, if there is one.
    #[arg(long, env = "BODEGA_GATEWAY")]
    gateway: Option<PathBuf>,
    /// An annotation of the artifact, `NAME=VALUE`; may be given several times. Title, version, description and authors are those of
    /// the application. There is none with the time, so that the same application has the same digest.
    #[arg(long = "annotation", value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Sign the artifact with this key (PEM in PKCS #8, ECDSA over P-256), as `cosign sign --key` does.
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Ask the registry in plain HTTP; one on this machine is in any case.
    #[arg(short = 'k', long, env = "BODEGA_INSECURE_REGISTRY")]
    insecure: bool,
    #[command(flatten)]
    state_dir: StateDirArgs,
}

impl Push {
    pub(super) fn run(self) -> anyhow::Result<()> {
        if self.reference.digest().is_some() {
            bail!("{} is pinned to a digest, which the artifact has yet to get; name a tag", self.reference);
        }
        let annotations = self.annotations()?;
        let key = self.sign.as_deref().map(SigningKey::read).transpose()?;
        let manifest = self.manifest.load()?;
        if self.build {
            build::build(&manifest, &[], None)?;
        }
        manifest.check_sources()?;
        let gateway = gateway_file(&self.manifest, self.gateway.as_deref());
        if let Some(gateway) = &gateway {
            Configuration::load(gateway, &manifest, None, None)?;
        }
        let composed = &composed as oci::Compose<'_>;
        let locked = oci::lock(&manifest, self.compose.then_some(composed), gateway.as_deref(), &self.secret()?)?;
        for path in &locked.withheld {
            eprintln!("{} is left out, because it may hold secrets", path.display());
        }
        let registry = Registry::of(&self.reference, self.insecure)?;
        let pushed = oci::push(&registry, &self.reference, locked, annotations, key.as_ref());
        let pushed = remote::runtime()?.block_on(pushed)?;
        eprintln!("pushed {} with {} layers", self.reference, pushed.layers);
        println!("{}", pushed.reference);
        Ok(())
    }

    fn annotations(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty())?;
            Some((name.to_owned(), value.to_owned()))
        };
        let pairs = self
            .annotation
            .iter()
            .map(|text| pair(text).with_context(|| format!("--annotation {text}: expected NAME=VALUE")));
        pairs.collect()
    }

    /// What is not to be pushed, even where a component's `files` name it.
    fn secret(&self) -> anyhow::Result<Vec<PathBuf>> {
        let beside = self.manifest.path().with_file_name(RUNTIME_CONFIG);
        let configured = runtime_config(&self.manifest, None)?.state_dir;
        let state = [Some(self.state_dir.state_dir.clone()), configured];
        let usual = self.manifest.path().with_file_name(".bodega");
        let configured = std::env::var_os("RUNTIME_CONFIG_FILE").map(PathBuf::from);
        let named = [self.sign.clone(), configured];
        Ok(state.into_iter().chain(named).flatten().chain([beside, usual]).collect())
    }
}

/// What the host would make of them as well.
fn composed(_: &Component, own: &[u8], parts: &[Part<'_>]) -> anyhow::Result<Vec<u8>> {
    let dependencies = parts.iter().map(|part| compose::Dependency {
        name: &part.dependency.name.value,
        wasm: &part.wasm,
        export: part.dependency.export.as_deref(),
        inherit: &part.dependency.inherit,
    });
    Ok(compose::compose(own, &dependencies.collect::<Vec<_>>())?)
}
