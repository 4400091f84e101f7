//! What is more than one cargo command: one file for each subcommand of `cargo xtask`.

mod bench;
mod k8s;
#[cfg(test)]
mod links;
mod packages;
mod steps;
mod test;

use clap::Parser;

/// Tasks of the repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Builds everything, then checks format, lints, documentation and dependencies, then runs all tests.
    Test(test::Options),
    /// Measures the host beside others.
    Bench(bench::Options),
    /// Renders the manifests in k8s/ and checks them.
    K8s,
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Test(options) => test::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::K8s => k8s::run(),
    }
}
