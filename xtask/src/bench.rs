//! `cargo xtask bench`: builds what is measured for release, then runs the program that measures it.

use std::ffi::OsString;

use anyhow::Result;

use crate::packages::{WASM, components, root};
use crate::steps::{cargo, last_step, step};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// `--quick` for short rounds, `--only hello,start` for some sections; both print instead of writing BENCHMARK.md.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and measures. The measuring program is a target of its own, since it is built for release, and since what
/// it measures against would otherwise be built for every other subcommand as well.
pub(crate) fn run(options: &Options) -> Result<()> {
    let build = |arguments: &[&str]| {
        let mut command = cargo();
        command.current_dir(root()).args(["build", "--release"]).args(arguments);
        command
    };
    step("build host", &mut build(&["--package", "runtime-host"]))?;
    let mut guests = build(&["--target", WASM, "--package", "hello", "--package", "variant"]);
    step("build components", guests.args(components()?.iter().flat_map(|name| ["--package", name])))?;
    let mut measure = cargo();
    measure.current_dir(root()).args([
        "run",
        "--release",
        "--package",
        "xtask",
        "--features",
        "bench",
        "--bin",
        "bench",
    ]);
    last_step("benchmark", measure.arg("--").args(&options.arguments))
}
