//! `cargo xtask test`: everything that has to be true before a change goes in.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::{WASM, components, guests, root};
use crate::steps::{cargo, last_step, step, succeeds};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only the tests whose name contains this; without it, the checks run as well.
    filter: Option<String>,
}

/// Builds once, then checks, then tests; ends with the closing lines of the test runner.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (components, guests) = (components()?, guests()?);
    let native = Selection::native(&guests);
    let wasm = Selection::wasm(components.iter().chain(&guests));

    add_target()?;
    if options.filter.is_none() {
        step("format", cargo().current_dir(root()).args(["fmt", "--all", "--check"]))?;
    }
    // Binaries and tests in one selection: cargo then builds every dependency once.
    step("build host and tests", native.command("build").args(["--bins", "--tests"]))?;
    step("build components", wasm.command("build").arg("--release"))?;
    if options.filter.is_none() {
        check(&native, &wasm)?;
    }
    test(&native, options.filter.as_deref())
}

fn check(native: &Selection, wasm: &Selection) -> Result<()> {
    step("lint", native.command("clippy").args(["--all-targets", "--", "-D", "warnings"]))?;
    step("lint components", wasm.command("clippy").args(["--release", "--", "-D", "warnings"]))?;
    let mut doc = native.command("doc");
    step("documentation", doc.arg("--no-deps").env("RUSTDOCFLAGS", "-D warnings"))?;
    crate::k8s::check_built()?;
    dependencies()
}

/// Licences, bans and sources always; advisories only if their database can be fetched.
fn dependencies() -> Result<()> {
    let deny = |arguments: &[&str]| {
        let mut command = cargo();
        command.current_dir(root()).arg("deny").args(arguments);
        command
    };
    if !succeeds(&mut deny(&["--version"])) {
        println!("== dependencies: skipped, since cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    step("dependencies", &mut deny(&["check", "licenses", "bans", "sources"]))?;
    if !succeeds(&mut deny(&["fetch", "db"])) {
        println!("== advisories: skipped, since their database cannot be reached");
        return Ok(());
    }
    step("advisories", &mut deny(&["check", "advisories"]))
}

fn test(native: &Selection, filter: Option<&str>) -> Result<()> {
    // nextest runs each test in a process of its own and shows only what failed; cargo's own runner does as well.
    let nextest = succeeds(cargo().args(["nextest", "--version"]));
    let mut command = if nextest {
        let mut command = cargo();
        command.current_dir(root()).args(["nextest", "run"]).args(&native.0);
        command
    } else {
        native.command("test")
    };
    command.args(["--no-fail-fast", "--bins", "--tests", "--lib"]).args(filter);
    last_step("test", &mut command)
}

fn add_target() -> Result<()> {
    if target_is_installed() {
        return Ok(());
    }
    let advice = format!("components need the target {WASM}; add it with the tool that manages your toolchain");
    step("WebAssembly target", Command::new("rustup").args(["target", "add", WASM])).context(advice)
}

/// Asks the compiler, since not every toolchain comes from rustup.
fn target_is_installed() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", WASM]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

/// The packages that a cargo command is about, as its arguments.
struct Selection(Vec<String>);

impl Selection {
    /// All but the guests, for this machine.
    fn native(guests: &[String]) -> Self {
        let exclusions = guests.iter().flat_map(|guest| ["--exclude".to_owned(), guest.clone()]);
        Self(
            ["--workspace", "--features", "xtask/bench,xtask/k8s"]
                .map(str::to_owned)
                .into_iter()
                .chain(exclusions)
                .collect(),
        )
    }

    /// These, for WebAssembly.
    fn wasm<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let names = names.flat_map(|name| ["--package".to_owned(), name.clone()]);
        Self(["--target".to_owned(), WASM.to_owned()].into_iter().chain(names).collect())
    }

    /// A cargo subcommand about these packages.
    fn command(&self, subcommand: &str) -> Command {
        let mut command = cargo();
        command.current_dir(root()).arg(subcommand).args(&self.0);
        command
    }
}
