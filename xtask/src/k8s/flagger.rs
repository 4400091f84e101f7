//! What Flagger makes of a Canary, so that what refers to it can be checked: a Service, and a route where there is a Gateway. The pods
//! that it keeps in force, those of `NAME-primary`, are like those of the Deployment `NAME` in all but their name.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::object::{Object, at};
use crate::operator::MARK;

/// What Flagger makes of all Canaries among `objects`.
pub(crate) fn expand(objects: &[Object]) -> Vec<Object> {
    let canaries = objects.iter().filter(|object| object.kind() == "Canary");
    canaries.flat_map(|canary| [Some(service(canary)), route(canary)]).flatten().collect()
}

/// Whether it is the name of pods that Flagger keeps in force, which no overlay has.
pub(crate) fn is_primary(cluster: &Cluster, name: &str) -> bool {
    name.strip_suffix("-primary").is_some_and(|name| cluster.find("Canary", name).is_some())
}

fn metadata(canary: &Object) -> Value {
    json!({"name": canary.name(), "namespace": canary.text("/metadata/namespace"), "annotations": {MARK: ""}})
}

fn service(canary: &Object) -> Object {
    let service = canary.at("/spec/service");
    let mut ports = vec![json!({
        "name": service["portName"], "port": service["port"], "targetPort": service["targetPort"],
    })];
    if service["portDiscovery"] == true {
        ports.push(json!({"name": "admin", "port": 3001, "targetPort": "admin"}));
    }
    Object(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(canary),
        "spec": {"selector": {"app.kubernetes.io/name": canary.name()}, "ports": ports},
    }))
}

fn route(canary: &Object) -> Option<Object> {
    let (gateways, hosts) = (canary.at("/spec/service/gatewayRefs"), canary.at("/spec/service/hosts"));
    let backend = json!({"name": canary.name(), "port": at(&canary.0, "/spec/service/port")});
    gateways.is_array().then(|| {
        Object(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata(canary),
            "spec": {"parentRefs": gateways, "hostnames": hosts, "rules": [{"backendRefs": [backend]}]},
        }))
    })
}
