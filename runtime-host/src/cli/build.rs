//! `bodega build`: runs each component's build command, as `spin build` does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::ManifestArgs;
use crate::manifest::{self, Manifest};

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
        build(&manifest::load(&self.manifest.path())?, &self.component_id)
    }
}

/// Builds the components with these ids; all of them when there are none.
pub(super) fn build(manifest: &Manifest, only: &[String]) -> anyhow::Result<()> {
    if let Some(unknown) = only.iter().find(|id| manifest.component(id).is_none()) {
        bail!("the application has no component `{unknown}`");
    }
    let mut target_is_there = false;
    for component in manifest.components.iter().filter(|component| only.is_empty() || only.contains(&component.id)) {
        let Some(build) = &component.build else { continue };
        for command in &build.commands {
            if !target_is_there && command.contains(WASM_TARGET) {
                add_wasm_target()?;
                target_is_there = true;
            }
            eprintln!("building {}: {command}", component.id);
            run(command, &build.workdir).with_context(|| format!("component `{}` was not built", component.id))?;
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

/// Installs the wasm target with rustup unless this toolchain has it.
fn add_wasm_target() -> anyhow::Result<()> {
    let libdir = Command::new("rustc").args(["--print", "target-libdir", "--target", WASM_TARGET]).output();
    if libdir.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    }) {
        return Ok(());
    }
    eprintln!("installing the Rust target {WASM_TARGET}");
    let status = Command::new("rustup").args(["target", "add", WASM_TARGET]).status();
    if status.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    bail!(
        "the Rust target {WASM_TARGET} is missing and rustup could not install it; install it by hand with `rustup target add {WASM_TARGET}`"
    );
}

#[cfg(test)]
mod tests;
