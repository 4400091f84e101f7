//! What is written down in more than one place is the same in all of them.

use std::fs;

use anyhow::{Context as _, Result};

use crate::root;

/// All that differs.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut problems = toolchain(&read("rust-toolchain.toml")?, &read("Dockerfile")?);
    problems.extend(versions(&read("Cargo.toml")?, &read("spin.toml")?, &read("k8s/helm/bodega/Chart.yaml")?));
    problems.extend(edge(&read("k8s/base/edge/gateway.toml")?, &read("k8s/overlays/spinkube/edge/gateway.toml")?));
    if read("k8s/base/edge/spin.toml")? != read("k8s/overlays/spinkube/edge/spin.toml")? {
        problems.push("k8s/overlays/spinkube/edge/spin.toml differs from that of the base".to_owned());
    }
    Ok(problems)
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
    fn the_repository_agrees_with_itself() {
        assert_eq!(check().unwrap(), Vec::<String>::new());
    }
}
