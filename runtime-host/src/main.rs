//! The `bodega` command.

use std::process::ExitCode;

use clap::Parser as _;
use runtime_host::cli::Cli;

/// A request makes many short-lived allocations; mimalloc serves them fastest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages would make a new host 12 MiB larger and no faster. Where they cannot be declined, that is all that happens.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
