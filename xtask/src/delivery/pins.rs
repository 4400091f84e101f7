//! `k8s/pin`, by which the pipeline changes what an overlay runs, finds the images of the pipeline in every overlay that it changes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

use crate::root;

const WORKFLOWS: [&str; 2] = ["release", "promote"];
const OVERLAYS: [&str; 2] = ["staging", "production"];

/// What the script has to say.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for workflow in WORKFLOWS {
        let path = format!(".github/workflows/{workflow}.yml");
        let text = fs::read_to_string(root().join(&path)).with_context(|| format!("cannot read {path}"))?;
        let images = images(&text);
        ensure!(images.len() == 2, "{path} has two images in `env`, not {images:?}");
        for (overlay, image) in OVERLAYS.iter().flat_map(|overlay| images.iter().map(move |image| (overlay, image))) {
            let output = pin(root(), &[overlay, "--version", image])?;
            if !output.status.success() {
                problems.push(format!("{path}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
        }
    }
    Ok(problems)
}

/// The values of `IMAGE` and `APPLICATION` in a workflow's `env`.
fn images(workflow: &str) -> Vec<&str> {
    let value = |line| ["  IMAGE: ", "  APPLICATION: "].iter().find_map(|key| str::strip_prefix(line, *key));
    workflow.lines().filter_map(value).collect()
}

fn pin(root: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(root.join("k8s/pin")).args(arguments).output().context("cannot run k8s/pin")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "ghcr.io/bodega-shop/bodega";
    const APPLICATION: &str = "ghcr.io/bodega-shop/shop";

    const KUSTOMIZATION: &str = "# Staging.\nimages:\n  - {name: ghcr.io/bodega-shop/bodega, newTag: 0.1.0}\n  \
        - {name: ghcr.io/bodega-shop/shop, newTag: 0.1.0}\npatches: []\n";

    /// The script and one overlay in a folder of their own.
    fn copy() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("k8s/overlays/staging")).unwrap();
        fs::copy(root().join("k8s/pin"), folder.path().join("k8s/pin")).unwrap();
        fs::write(folder.path().join("k8s/overlays/staging/kustomization.yaml"), KUSTOMIZATION).unwrap();
        folder
    }

    fn said(folder: &Path, arguments: &[&str]) -> String {
        let output = pin(folder, arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn refused(folder: &Path, arguments: &[&str]) -> String {
        let before = fs::read(folder.join("k8s/overlays/staging/kustomization.yaml")).unwrap();
        let output = pin(folder, arguments).unwrap();
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(fs::read(folder.join("k8s/overlays/staging/kustomization.yaml")).unwrap(), before, "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    #[test]
    fn what_is_pinned_is_told_and_nothing_else_changes() {
        let folder = copy();
        let (one, other) = (format!("sha256:{}", "1a".repeat(32)), format!("sha256:{}", "2b".repeat(32)));
        let pins = [format!("{IMAGE}={one}"), format!("{APPLICATION}={other}")];
        let file = folder.path().join("k8s/overlays/staging/kustomization.yaml");
        let before = fs::read_to_string(&file).unwrap();
        for version in ["1.2.3", "1.2.4-rc.1"] {
            said(folder.path(), &["staging", version, &pins[0], &pins[1]]);
            assert_eq!(said(folder.path(), &["staging", "--version", APPLICATION]), version);
            assert_eq!(said(folder.path(), &["staging", "--digest", IMAGE]), one);
            assert_eq!(said(folder.path(), &["staging", "--digest", APPLICATION]), other);
        }
        let after = fs::read_to_string(&file).unwrap();
        let changed = before.lines().zip(after.lines()).filter(|(before, after)| before != after).count();
        assert_eq!((changed, after.lines().count()), (2, before.lines().count()));
    }

    #[test]
    fn what_cannot_be_pinned_is_refused() {
        let folder = copy();
        let digest = format!("sha256:{}", "1a".repeat(32));
        let pin = format!("{IMAGE}={digest}");
        assert!(refused(folder.path(), &["staging", "latest", &pin]).contains("`latest` is not a version"));
        assert!(refused(folder.path(), &["staging", "1.2.3", &format!("{IMAGE}=sha256:12")]).contains("not a digest"));
        assert!(refused(folder.path(), &["staging", "1.2.3", &format!("{IMAGE}s={digest}")]).contains("does not name"));
        assert!(refused(folder.path(), &["staging", "--digest", IMAGE]).contains("has not pinned"));
    }

    #[test]
    fn the_images_of_a_workflow_are_read() {
        let workflow =
            "env:\n  IMAGE: ghcr.io/a/b\n  APPLICATION: ghcr.io/a/c\njobs:\n  x:\n    env:\n      IMAGE: no\n";
        assert_eq!(images(workflow), ["ghcr.io/a/b", "ghcr.io/a/c"]);
    }
}
