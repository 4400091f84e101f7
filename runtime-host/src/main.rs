//! The `bodega` command.

use std::process::ExitCode;

use clap::Parser as _;
use runtime_host::cli::Cli;

/// A request makes many short-lived allocations; mimalloc serves them fastest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
