//! `cargo xtask delivery`: runs the program that checks what the shop is shipped with.

use std::env;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::root;
use crate::steps::{cargo, last_step, step};

/// Builds and runs it. It is a target of its own, since it reads YAML, which no other subcommand needs.
pub(crate) fn run() -> Result<()> {
    let mut command = cargo();
    command.current_dir(root()).args(["run", "--quiet", "--package", "xtask", "--features", "delivery"]);
    last_step("delivery", command.args(["--bin", "delivery"]))
}

/// Runs it as it has been built with everything else.
pub(crate) fn check_built() -> Result<()> {
    let this = env::current_exe().context("this program has no path")?;
    step("delivery (cargo xtask delivery)", Command::new(this.with_file_name("delivery")).current_dir(root()))
}
