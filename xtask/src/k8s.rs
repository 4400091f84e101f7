//! `cargo xtask k8s`: runs the program that checks the manifests.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::root;
use crate::steps::{cargo, last_step, step};

/// Builds and runs it. It is a target of its own, since what it reads schemas with would otherwise be built for every other
/// subcommand as well.
pub(crate) fn run() -> Result<()> {
    let mut command = cargo();
    command.current_dir(root()).args(["run", "--quiet", "--package", "xtask", "--features", "k8s", "--bin", "k8s"]);
    last_step("manifests", &mut command)
}

/// Runs it as it has been built with everything else.
pub(crate) fn check_built() -> Result<()> {
    let this = env::current_exe().context("this program has no path")?;
    step("manifests (cargo xtask k8s)", Command::new(this.with_file_name("k8s")).current_dir(root()))
}
