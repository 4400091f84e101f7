//! The checks of the manifests in `k8s/`: renders every overlay, holds each resource against the schema of its kind, and all of them
//! against each other and against `spin.toml`.
//!
//! `cargo xtask k8s` runs this program. Of the modules, those named for what may be wrong are the checks.

use std::process::ExitCode;

use anyhow::Result;

use crate::application::Application;
use crate::schemas::Schemas;

mod application;
mod calls;
mod checks;
mod cluster;
mod host;
mod network;
mod object;
mod operator;
mod problem;
mod references;
mod render;
mod scaling;
mod schemas;
mod security;
mod services;
#[cfg(test)]
mod tests;

fn main() -> Result<ExitCode> {
    let application = Application::read(&render::root().join("spin.toml"))?;
    let schemas = Schemas::read()?;
    let mut is_good = true;
    for (name, path) in render::overlays()? {
        let objects = render::overlay(&path)?;
        let count = objects.len();
        let mut problems = problem::Problems::default();
        schemas.check(&objects, &mut problems)?;
        problems.0.extend(checks::check(objects, &application).0);
        println!("   {name}: {count} resources, {} problems", problems.0.len());
        for problem in &problems.0 {
            println!("      {problem}");
        }
        is_good &= problems.0.is_empty();
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
