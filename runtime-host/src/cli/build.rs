//! `bodega build`: runs each component's build command, as `spin build` does.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};

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
        build(&self.manifest.load()?, &self.component_id, None)
    }
}

/// The command that runs now, for who may have to end it with all that it has started.
#[derive(Default)]
pub(super) struct Running(Mutex<Now>);

#[derive(Default)]
enum Now {
    #[default]
    Nothing,
    Command(Pid),
    /// Nothing is to run any more.
    Stopped,
}

impl Running {
    /// Ends the command that runs, and has none begin any more.
    pub(super) fn stop(&self) {
        if let Now::Command(group) = std::mem::replace(&mut *self.lock(), Now::Stopped) {
            // It may have ended by itself just now.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    fn spawn(&self, command: &mut Command) -> std::io::Result<Child> {
        let mut now = self.lock();
        if matches!(*now, Now::Stopped) {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        // A group of its own is ended as a whole; it must not read from a terminal that is another group's.
        let child = command.process_group(0).stdin(Stdio::null()).spawn()?;
        *now = Now::Command(Pid::from_child(&child));
        Ok(child)
    }

    fn ended(&self) {
        let mut now = self.lock();
        if matches!(*now, Now::Command(_)) {
            *now = Now::Nothing;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Every change of it is made in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Builds the components with these ids; all of them when there are none.
pub(super) fn build(manifest: &Manifest, only: &[String], running: Option<&Running>) -> anyhow::Result<()> {
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
            let built = run(command, &build.workdir, running)
                .with_context(|| format!("component `{}` was not built", component.id));
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

fn run(command: &str, workdir: &Path, running: Option<&Running>) -> anyhow::Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(workdir);
    let status = match running {
        None => shell.status(),
        Some(running) => running.spawn(&mut shell).and_then(|mut child| {
            let status = child.wait();
            running.ended();
            status
        }),
    };
    let status = status.with_context(|| format!("`{command}` cannot be started in {}", workdir.display()))?;
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
