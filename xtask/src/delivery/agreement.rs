//! What is written down in more than one place is the same in all of them.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::root;

/// All that differs.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut problems = toolchain(&read("rust-toolchain.toml")?, &read("Dockerfile")?);
    problems.extend(versions(&read("Cargo.toml")?, &read("spin.toml")?, &read("k8s/helm/bodega/Chart.yaml")?));
    problems.extend(edge(&read("k8s/base/edge/gateway.toml")?, &read("k8s/overlays/spinkube/edge/gateway.toml")?));
    if read("k8s/base/edge/spin.toml")? != read("k8s/overlays/spinkube/edge/spin.toml")? {
        problems.push("k8s/overlays/spinkube/edge/spin.toml differs from that of the base".to_owned());
    }
    for (file, path) in argocd_paths()? {
        if !root().join(&path).join("kustomization.yaml").exists() {
            problems.push(format!("{file} has Argo CD look into {path}, which is no overlay"));
        }
    }
    Ok(problems)
}

/// The folders that Argo CD is to apply, with the files that say so.
fn argocd_paths() -> Result<Vec<(String, String)>> {
    let folder = root().join("k8s/argocd");
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let file = format!("k8s/argocd/{}", entry?.file_name().to_string_lossy());
        let found = paths_in(&read(&file)?);
        paths.extend(found.into_iter().map(|path| (file.clone(), path)));
    }
    ensure!(!paths.is_empty(), "nothing in k8s/argocd names an overlay");
    Ok(paths)
}

fn paths_in(yaml: &str) -> Vec<String> {
    let values = yaml.lines().filter_map(|line| line.split_once("path: ")).map(|(_, value)| value);
    let values = values.map(|value| value.trim_end_matches('}').trim());
    values.filter(|value| !value.contains("{{")).map(str::to_owned).collect()
}

/// The image is built with the toolchain of the tests.
fn toolchain(toolchain: &str, dockerfile: &str) -> Vec<String> {
    let channel = value_of(toolchain, "channel = ").unwrap_or_default();
    let image = format!("FROM rust:{channel}-");
    if dockerfile.lines().any(|line| line.starts_with(&image)) {
        return Vec::new();
    }
    vec![format!("rust-toolchain.toml has {channel}, and the Dockerfile has no line that begins with `{image}`")]
}

/// A release has one version.
fn versions(workspace: &str, application: &str, chart: &str) -> Vec<String> {
    let of = |text: &str, key: &str| value_of(text, key).unwrap_or_default().to_owned();
    let expected = of(workspace, "version = ");
    let others = [
        ("spin.toml", of(application, "version = ")),
        ("the chart's version", of(chart, "version: ")),
        ("the chart's appVersion", of(chart, "appVersion: ")),
    ];
    let different = others.into_iter().filter(|(_, version)| *version != expected);
    different.map(|(place, version)| format!("Cargo.toml has {expected}, and {place} has {version}")).collect()
}

/// The edge does the same on SpinKube, where pods answer on port 80.
fn edge(base: &str, spinkube: &str) -> Vec<String> {
    let body = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    let expected = body(&base.replace("-pods:8080\"", "-pods\""));
    if expected == body(spinkube) {
        return Vec::new();
    }
    let advice = "take over what is new in the base, with `-pods` in place of `-pods:8080`";
    vec![format!("k8s/overlays/spinkube/edge/gateway.toml differs from that of the base: {advice}")]
}

/// The value of the first line that begins with `key`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().trim_matches('"'))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_toolchain_is_found() {
        let file = "[toolchain]\nchannel = \"1.95.0\"\n";
        assert_eq!(toolchain(file, "# syntax\nFROM rust:1.95.0-bookworm AS build\n"), Vec::<String>::new());
        assert_eq!(toolchain(file, "FROM rust:1.94.0-bookworm AS build\n").len(), 1);
    }

    #[test]
    fn another_version_is_found() {
        let (workspace, chart) = ("[workspace.package]\nversion = \"1.2.3\"\n", "version: 1.2.3\nappVersion: 1.2.3\n");
        assert_eq!(versions(workspace, "version = \"1.2.3\"", chart), Vec::<String>::new());
        assert_eq!(
            versions(workspace, "version = \"1.2.4\"", chart),
            ["Cargo.toml has 1.2.3, and spin.toml has 1.2.4"]
        );
        assert_eq!(versions(workspace, "version = \"1.2.3\"", "version: 1.2.3\n").len(), 1);
    }

    #[test]
    fn a_rule_that_only_one_edge_has_is_found() {
        let base = "# The base.\n[upstreams.cart]\ndns = \"http://cart-pods:8080\"\n";
        assert_eq!(edge(base, "# SpinKube.\n[upstreams.cart]\ndns = \"http://cart-pods\"\n"), Vec::<String>::new());
        assert_eq!(
            edge(base, "# SpinKube.\n[upstreams.cart]\ndns = \"http://cart-pods\"\ntimeout = \"1s\"\n").len(),
            1
        );
        assert_eq!(edge(base, "# SpinKube.\n[upstreams.cart]\ndns = \"http://cart-pods:8080\"\n").len(), 1);
    }

    #[test]
    fn the_folders_of_argo_cd_are_read() {
        let yaml = "    path: k8s/overlays/staging\n  - {cluster: a, path: k8s/overlays/production}\n    path: \"{{ .path }}\"\n";
        assert_eq!(paths_in(yaml), ["k8s/overlays/staging", "k8s/overlays/production"]);
    }

    #[test]
    fn the_repository_agrees_with_itself() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
