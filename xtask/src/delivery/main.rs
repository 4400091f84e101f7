//! The checks of what the shop is shipped with: linters for Dockerfile, workflows and chart, the chart against the overlay that it
//! stands for, and whatever is written down in two places.
//!
//! `cargo xtask delivery` runs this program. A linter that is not installed is passed over, but not in CI.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

mod agreement;
mod chart;
mod linters;
mod pins;
mod tool;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// What is wrong, line by line.
type Check = fn() -> Result<Vec<String>>;

fn main() -> Result<ExitCode> {
    let checks: [(&str, Check); 8] = [
        ("Dockerfile", linters::dockerfile),
        ("scripts", linters::scripts),
        ("workflows", linters::workflows),
        ("security of workflows", linters::security_of_workflows),
        ("chart", linters::chart),
        ("chart and overlay", chart::check),
        ("what is in two places", agreement::check),
        ("what the pipeline pins", pins::check),
    ];
    let mut is_good = true;
    for (name, check) in checks {
        let problems = check()?;
        println!("   {name}: {}", if problems.is_empty() { "nothing found" } else { "not good" });
        for problem in &problems {
            println!("      {problem}");
        }
        is_good &= problems.is_empty();
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
