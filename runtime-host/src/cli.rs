//! The command line: one file per command.
//!
//! `up` takes the arguments and the environment that `spin up` takes, so that the host can stand in for it.

mod admin;
mod advice;
mod application;
mod backup;
mod build;
mod check;
mod control;
mod pull;
mod purge;
mod push;
mod registry;
mod remote;
mod route;
mod simulate;
mod transfer;
mod up;
mod upgrade;
mod verify;
mod watch;

use std::env;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Parser, Subcommand};

use self::advice::advise;
use crate::admin::control::{ABORT_PATH, PAUSE_PATH, RESUME_PATH};
use crate::config_file::ConfigError;
use crate::gateway;
use crate::manifest::{self, Manifest};
use crate::oci;
use crate::runtime_config::RuntimeConfig;
use crate::state_dir::StateDir;

/// The runtime configuration that is read if it lies beside the manifest.
const RUNTIME_CONFIG: &str = "runtime-config.toml";

/// Runs a Spin application's components behind one HTTP listener.
#[derive(Debug, Parser)]
#[command(name = "bodega", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the application and serve it until SIGTERM.
    Up(Box<up::Up>),
    /// Have a new process of the host take over from the running one, with no request lost.
    Upgrade(upgrade::Upgrade),
    /// Run the build command of every component.
    Build(build::Build),
    /// Build components again when their sources change, and put them in force in the running host.
    Watch(watch::Watch),
    /// Read the manifest and all that it names, and report the first mistake.
    Check(check::Check),
    /// Push the application to an OCI registry, in the layout of `spin registry push`.
    Push(push::Push),
    /// Pull an application from an OCI registry into a folder.
    Pull(pull::Pull),
    /// Tell which component would answer a request, and what the gateway would do with it.
    Route(route::Route),
    /// Drop answers that the gateway of the running host has stored.
    Purge(purge::Purge),
    /// Put another revision of one component in force in the running host, with no request lost.
    Deploy(control::Deploy),
    /// Let a rollout go on to its next step.
    Promote(control::Promote),
    /// Keep a rollout where it is.
    Pause(control::Steer),
    /// Let a rollout go on that was paused.
    Resume(control::Steer),
    /// Take back a revision that is rolled out.
    Abort(control::Steer),
    /// Put a former revision of a component in force again.
    Rollback(control::Rollback),
    /// Tell which revisions run.
    Status(control::Status),
    /// List the revisions of a component.
    History(control::History),
    /// Copy all stores of a running or stopped application to a folder.
    Backup(backup::Backup),
    /// Put a backup into an unused state folder.
    Restore(backup::Restore),
    /// Send a product catalogue (JSON Lines, JSON or CSV) to the running application.
    Import(transfer::Import),
    /// Write the product catalogue of the running application to a file.
    Export(transfer::Export),
    /// Make accounts that run the shop.
    Admin(admin::Admin),
    /// Hold the books of all services of a running or stopped application against each other.
    Verify(Box<verify::Verify>),
    /// Roll out made-up revisions in simulation, and print how it ends as JSON.
    #[command(hide = true)]
    Simulate(simulate::Simulate),
}

/// The manifest, as most commands take it.
#[derive(Debug, Clone, clap::Args)]
struct ManifestArgs {
    /// The application's manifest, or the folder that has it as `spin.toml`. `up`, `check`, `route` and `verify` also take an artifact
    /// in a registry, `REGISTRY/REPOSITORY:TAG` or `REGISTRY/REPOSITORY@sha256:...`.
    #[arg(short = 'f', long = "from", visible_alias = "file", env = "BODEGA_FROM", default_value = "spin.toml")]
    from: PathBuf,
}

impl ManifestArgs {
    fn path(&self) -> PathBuf {
        if self.from.is_dir() { self.from.join("spin.toml") } else { self.from.clone() }
    }

    /// The artifact in a registry that is meant; what exists as a file or a folder is none.
    fn reference(&self) -> Option<&str> {
        self.from.to_str().filter(|from| !self.from.exists() && oci::is_probably_reference(from))
    }

    fn load(&self) -> anyhow::Result<Manifest> {
        let path = self.path();
        if !path.exists() {
            if let Some(reference) = self.reference() {
                bail!(
                    "{reference} is an artifact in a registry, which this command does not take; run `bodega pull {reference}` first"
                );
            }
            bail!(
                "there is no {}; run the command in an application's folder, or name its manifest with --from",
                path.display()
            );
        }
        Ok(manifest::load(&path)?)
    }
}

/// The runtime configuration that is named, or that lies beside the manifest.
fn runtime_config(manifest: &ManifestArgs, named: Option<&Path>) -> Result<RuntimeConfig, ConfigError> {
    let beside = manifest.path().with_file_name(RUNTIME_CONFIG);
    match named {
        Some(path) => RuntimeConfig::load(path),
        None if beside.is_file() => RuntimeConfig::load(&beside),
        None => Ok(RuntimeConfig::default()),
    }
}

/// The variable by which an image names a place where a gateway's configuration may be mounted over that of whatever runs in it.
const GATEWAY_MOUNT: &str = "BODEGA_GATEWAY_MOUNT";

/// The gateway's configuration that is named, else the mounted one, else the one beside the manifest.
fn gateway_file(manifest: &ManifestArgs, named: Option<&Path>) -> Option<PathBuf> {
    let mounted = env::var_os(GATEWAY_MOUNT).map(PathBuf::from);
    let beside = manifest.path().with_file_name(gateway::FILE_NAME);
    let found = mounted.into_iter().chain([beside]).find(|path| path.is_file());
    named.map(Path::to_owned).or(found)
}

/// The state folder, as most commands take it.
#[derive(Debug, Clone, clap::Args)]
struct StateDirArgs {
    /// Where stores, secrets and compiled code are kept.
    #[arg(long, env = "BODEGA_STATE_DIR", default_value = ".bodega")]
    state_dir: PathBuf,
}

impl StateDirArgs {
    /// The folder that the runtime configuration names, else the argument's; made where it is missing.
    fn open(&self, runtime: &RuntimeConfig) -> anyhow::Result<StateDir> {
        let path = runtime.state_dir.as_ref().unwrap_or(&self.state_dir);
        StateDir::open(path).map_err(|error| advise(error, "name another folder with --state-dir"))
    }
}

impl Cli {
    /// Runs the command that the arguments name.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Up(up) => up.run(),
            Command::Upgrade(upgrade) => upgrade.run(),
            Command::Build(build) => build.run(),
            Command::Watch(watch) => watch.run(),
            Command::Check(check) => check.run(),
            Command::Push(push) => push.run(),
            Command::Pull(pull) => pull.run(),
            Command::Route(route) => route.run(),
            Command::Purge(purge) => purge.run(),
            Command::Deploy(deploy) => deploy.run(),
            Command::Promote(promote) => promote.run(),
            Command::Pause(steer) => steer.run(PAUSE_PATH, &[]),
            Command::Resume(steer) => steer.run(RESUME_PATH, &[]),
            Command::Abort(steer) => steer.run(ABORT_PATH, &[]),
            Command::Rollback(rollback) => rollback.run(),
            Command::Status(status) => status.run(),
            Command::History(history) => history.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Import(import) => import.run(),
            Command::Export(export) => export.run(),
            Command::Admin(admin) => admin.run(),
            Command::Verify(verify) => verify.run(),
            Command::Simulate(simulate) => simulate.run(),
        }
    }
}

#[cfg(test)]
mod tests;
