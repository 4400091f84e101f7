//! `cargo xtask delivery`: checks what the shop is shipped with, which is the image, the workflows, the chart and what they share.

use anyhow::Result;

use crate::packages::root;
use crate::steps::{cargo, last_step};

/// What to check: all of it.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Builds the program that checks, and runs it. It is a target of its own, since it reads YAML, which no other subcommand needs.
pub(crate) fn run(_: &Options) -> Result<()> {
    let mut check = cargo();
    check.current_dir(root()).args(["run", "--quiet", "--package", "xtask"]);
    last_step("delivery", check.args(["--features", "delivery", "--bin", "delivery"]))
}
