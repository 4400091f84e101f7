//! `bodega build`: runs each component's build command, as `spin build` does.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::ManifestArgs;
use crate::manifest::Manifest;

/// The target that components are compiled for.
const WASM_TARGET: &str = "wasm32-wasip2";

/// Arguments of `bodega build`.
#[derive(Debug, clap::Args)]
pub(super) struct Build {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Build only this component; may be given several times.
    #[arg(short = 'c', long = "component-id")]
    component_id: Vec<String>,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<()> {
        build(&self.manifest.load()?, &self.component_id)
    }
}

/// Builds the components with these ids; all of them when there are none.
pub(super) fn build(manifest: &Manifest, only: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = only.iter().find(|id| manifest.component(id).is_none()) {
        bail!("the application has no component `{unknown}`");
    }
    // Folders may have toolchains of their own.
    let mut folders_with_target = BTreeSet::new();
    for component in manifest.components.iter().filter(|component| only.is_empty() || only.contains(&component.id)) {
        let Some(build) = &component.build else { continue };
        for command in &build.commands {
            if command.contains(WASM_TARGET) && folders_with_target.insert(&build.workdir) {
                add_wasm_target(&build.workdir)?;
            }
            eprintln!("building {}: {command}", component.id);
            let built =
                run(command, &build.workdir).with_context(|| format!("component `{}` was not built", component.id));
            // A command may not say what it compiles for.
            match built {
                Err(error) if !has_wasm_target(&build.workdir) => return Err(error.context(format!(
                    "the Rust target {WASM_TARGET} is missing, which may be the reason; run `rustup target add {WASM_TARGET}`"
                ))),
                built => built?,
            }
        }
    }
    Ok(())
}

fn run(command: &str, workdir: &Path) -> anyhow::Result<()> {
    let status = Command::new("sh")
        .args(["-c", command])
        .current_dir(workdir)
        .status()
        .with_context(|| format!("`{command}` cannot be started in {}", workdir.display()))?;
    if !status.success() {
        bail!("`{command}` ended with {status}");
    }
    Ok(())
}

/// Whether the toolchain of the folder has the wasm target.
fn has_wasm_target(folder: &Path) -> bool {
    let mut rustc = Command::new("rustc");
    let libdir = rustc.current_dir(folder).args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    libdir.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    })
}

/// Installs the wasm target with rustup unless it is there.
fn add_wasm_target(folder: &Path) -> anyhow::Result<()> {
    if has_wasm_target(folder) {
        return Ok(());
    }
    eprintln!("installing the Rust target {WASM_TARGET}");
    let mut rustup = Command::new("rustup");
    let problem = match rustup.current_dir(folder).args(["target", "add", WASM_TARGET]).status() {
        Ok(status) if status.success() => return Ok(()),
        Ok(_) => format!("rustup could not install it; when it can, run `rustup target add {WASM_TARGET}`"),
        Err(_) => "there is no rustup to install it; get it from https://rustup.rs, or add the target with the tool \
                   that manages this toolchain"
            .to_owned(),
    };
    bail!("the Rust target {WASM_TARGET} is missing and {problem}")
}

#[cfg(test)]
mod tests;
