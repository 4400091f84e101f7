//! What Flagger makes of a Canary: a second Deployment with the pods that are in force, and the Services and the route to both.

use serde_json::{Value, json};

use crate::object::{Object, at, items, labels, text};

/// The label by which Flagger tells the pods in force from those of the new version.
const NAME_LABEL: &str = "app.kubernetes.io/name";
/// What the names of those in force end with.
const PRIMARY: &str = "-primary";

/// What Flagger makes of all Canaries among `objects`.
pub(crate) fn expand(objects: &[Object]) -> Vec<Object> {
    let canaries = objects.iter().filter(|object| object.kind() == "Canary");
    canaries.flat_map(|canary| of_canary(canary, objects)).collect()
}

fn of_canary(canary: &Object, objects: &[Object]) -> Vec<Object> {
    let name = canary.text("/spec/targetRef/name");
    let find = |kind: &str, name: &str| objects.iter().find(|object| object.kind() == kind && object.name() == name);
    let Some(target) = find("Deployment", name) else { return Vec::new() };
    let primary_name = format!("{name}{PRIMARY}");
    let mut primary = target.clone();
    primary.0["metadata"]["name"] = json!(primary_name);
    for at in ["/spec/selector/matchLabels", "/spec/template/metadata/labels"] {
        if let Some(labels) = primary.0.pointer_mut(at) {
            labels[NAME_LABEL] = json!(primary_name);
        }
    }
    for (key, value) in labels(&canary.0, "/spec/service/primary/labels") {
        primary.0["spec"]["template"]["metadata"]["labels"][key] = json!(value);
    }
    let mut made = vec![primary];
    if let Some(scaler) = find("HorizontalPodAutoscaler", canary.text("/spec/autoscalerRef/name")) {
        let mut scaler = scaler.clone();
        scaler.0["metadata"]["name"] = json!(primary_name);
        scaler.0["spec"]["scaleTargetRef"]["name"] = json!(primary_name);
        made.push(scaler);
    }
    let canary_name = format!("{name}-canary");
    made.push(service(canary, target, name, &primary_name));
    made.push(service(canary, target, &primary_name, &primary_name));
    made.push(service(canary, target, &canary_name, name));
    if canary.text("/spec/provider").starts_with("gatewayapi") {
        let port = canary.at("/spec/service/port");
        made.push(Object(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": name, "namespace": canary.at("/metadata/namespace")},
            "spec": {
                "parentRefs": canary.at("/spec/service/gatewayRefs"),
                "hostnames": canary.at("/spec/service/hosts"),
                "rules": [{"backendRefs": [{"name": primary_name, "port": port}, {"name": canary_name, "port": port}]}],
            },
        })));
    }
    made
}

/// A Service with the port of the Canary, and with those of the pods if it is to find them.
fn service(canary: &Object, target: &Object, name: &str, selected: &str) -> Object {
    let service = canary.at("/spec/service");
    let mut ports = vec![json!({
        "name": service["portName"], "port": service["port"], "targetPort": service["targetPort"],
    })];
    if service["portDiscovery"] == true {
        let containers = target.items("/spec/template/spec/containers").iter();
        let others = containers.flat_map(|container| items(container, "/ports"));
        let others = others.filter(|port| port["name"] != service["targetPort"]);
        ports.extend(
            others.map(|port| json!({"name": port["name"], "port": port["containerPort"], "targetPort": port["name"]})),
        );
    }
    Object(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": canary.at("/metadata/namespace")},
        "spec": {"selector": {NAME_LABEL: selected}, "ports": ports},
    }))
}

/// The names of the two Deployments of each Canary, of which either may have the requests.
pub(crate) fn pairs<'a>(canaries: impl Iterator<Item = &'a Object>) -> Vec<[String; 2]> {
    let names = canaries.map(|canary| canary.text("/spec/targetRef/name"));
    names.map(|name| [format!("Deployment/{name}"), format!("Deployment/{name}{PRIMARY}")]).collect()
}

/// The namespaces from which a Canary has its new version asked.
pub(crate) fn testers(canary: &Object) -> Vec<String> {
    let urls = canary.items("/spec/analysis/webhooks").iter().map(|webhook| text(webhook, "/url"));
    let hosts = urls.filter_map(|url| url::Url::parse(url).ok()?.host_str().map(str::to_owned));
    hosts.filter_map(|host| Some(host.split('.').nth(1)?.to_owned())).collect()
}

/// The port at which a Canary's pods are asked.
pub(crate) fn port(canary: &Object) -> &Value {
    at(&canary.0, "/spec/service/targetPort")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::parse;

    const SHOP: &str = "
kind: Deployment
metadata: {name: edge, namespace: bodega}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: edge}}
  template:
    metadata: {labels: {app.kubernetes.io/name: edge}}
    spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}, {name: admin, containerPort: 3001}]}]}
---
kind: Canary
metadata: {name: edge, namespace: bodega}
spec:
  provider: gatewayapi:v1
  targetRef: {kind: Deployment, name: edge}
  service: {port: 80, portName: http, targetPort: http, portDiscovery: true}
  analysis: {webhooks: [{url: 'http://flagger-loadtester.flagger/'}]}
";

    #[test]
    fn a_canary_has_pods_in_force_and_services_to_both() {
        let objects = parse(SHOP).unwrap();
        let made = expand(&objects);
        let names: Vec<_> = made.iter().map(ToString::to_string).collect();
        let expected = [
            "Deployment/edge-primary",
            "Service/edge",
            "Service/edge-primary",
            "Service/edge-canary",
            "HTTPRoute/edge",
        ];
        assert_eq!(names, expected);
        let selected = |object: &Object| labels(&object.0, "/spec/selector")[NAME_LABEL].clone();
        assert_eq!([&made[1], &made[2], &made[3]].map(selected), ["edge-primary", "edge-primary", "edge"]);
        assert_eq!(labels(&made[0].0, "/spec/template/metadata/labels")[NAME_LABEL], "edge-primary");
        assert_eq!(made[1].at("/spec/ports/1"), &json!({"name": "admin", "port": 3001, "targetPort": "admin"}));
        assert_eq!(testers(&objects[1]), ["flagger"]);
    }
}
