//! Whatever a resource names has to be there.

use serde_json::Value;

use crate::cluster::{Cluster, Container, Workload};
use crate::object::{Object, at, items, text};
use crate::problem::Problems;

/// PriorityClasses that every cluster has.
const PRIORITIES: [&str; 2] = ["system-cluster-critical", "system-node-critical"];
/// Kinds that are in no namespace.
const CLUSTER_WIDE: [&str; 5] = ["Namespace", "PriorityClass", "PersistentVolume", "ClusterRole", "ClusterRoleBinding"];

pub(crate) fn check(cluster: &Cluster, problems: &mut Problems) {
    names(cluster, problems);
    for workload in cluster.workloads() {
        pod(cluster, workload, problems);
        for container in workload.containers() {
            self::container(cluster, container, problems);
        }
    }
    for service in cluster.of_kind("Service") {
        self::service(cluster, service, problems);
    }
    for ingress in cluster.of_kind("Ingress") {
        let rules = ingress.items("/spec/rules").iter().flat_map(|rule| items(rule, "/http/paths"));
        let backends = rules.map(|path| &path["backend"]).chain(ingress.0.pointer("/spec/defaultBackend"));
        for backend in backends {
            let port = [at(backend, "/service/port/name"), at(backend, "/service/port/number")];
            let port = port.into_iter().find(|port| !port.is_null()).unwrap_or(&Value::Null);
            self::backend(cluster, ingress, text(backend, "/service/name"), port, problems);
        }
    }
    for route in cluster.of_kind("HTTPRoute") {
        for backend in route.items("/spec/rules").iter().flat_map(|rule| items(rule, "/backendRefs")) {
            self::backend(cluster, route, text(backend, "/name"), &backend["port"], problems);
        }
    }
    for binding in cluster.of_kind("RoleBinding") {
        rights(cluster, binding, problems);
    }
}

/// Every resource has one namespace of the overlay, and a name of its own.
fn names(cluster: &Cluster, problems: &mut Problems) {
    for (index, object) in cluster.objects.iter().enumerate() {
        let namespace = object.text("/metadata/namespace");
        if !CLUSTER_WIDE.contains(&object.kind()) && cluster.find("Namespace", namespace).is_none() {
            problems.add(object, format!("there is no Namespace {namespace:?}"));
        }
        let is_twin = |other: &Object| other.to_string() == object.to_string() && other.group() == object.group();
        if cluster.objects[..index].iter().any(is_twin) {
            problems.add(object, "is there twice");
        }
    }
}

fn pod(cluster: &Cluster, workload: Workload, problems: &mut Problems) {
    let (object, pod) = (workload.object, workload.pod());
    let account = text(pod, "/serviceAccountName");
    if !account.is_empty() && cluster.find("ServiceAccount", account).is_none() {
        problems.add(object, format!("there is no ServiceAccount {account:?}"));
    }
    let priority = text(pod, "/priorityClassName");
    if !priority.is_empty() && !PRIORITIES.contains(&priority) && cluster.find("PriorityClass", priority).is_none() {
        problems.add(object, format!("there is no PriorityClass {priority:?}"));
    }
    for secret in items(pod, "/imagePullSecrets") {
        keys(cluster, object, "Secret", &secret["name"], &[], problems);
    }
    for volume in items(pod, "/volumes") {
        for source in std::iter::once(volume).chain(items(volume, "/projected/sources")) {
            self::source(cluster, object, source, problems);
        }
        let name = text(volume, "/name");
        let is_mounted = |container: &Container| {
            items(container.value, "/volumeMounts").iter().any(|mount| text(mount, "/name") == name)
        };
        if !workload.containers().iter().any(is_mounted) {
            problems.add(object, format!("no container mounts the volume {name:?}"));
        }
    }
}

/// What a volume is made of.
fn source(cluster: &Cluster, object: &Object, source: &Value, problems: &mut Problems) {
    let claim = text(source, "/persistentVolumeClaim/claimName");
    if !claim.is_empty() && !is_claim(cluster, claim) {
        problems.add(object, format!("there is no PersistentVolumeClaim {claim:?}"));
    }
    for (kind, at) in [("ConfigMap", "configMap"), ("Secret", "secret")] {
        let from = &source[at];
        let name = if from["name"].is_null() { &from["secretName"] } else { &from["name"] };
        if !name.is_null() && from["optional"] != true {
            let wanted: Vec<_> = items(from, "/items").iter().map(|item| &item["key"]).collect();
            keys(cluster, object, kind, name, &wanted, problems);
        }
    }
}

/// Whether there is such a claim, or a StatefulSet makes it.
fn is_claim(cluster: &Cluster, name: &str) -> bool {
    let makes = |set: &Object| {
        let replicas = set.at("/spec/replicas").as_u64().unwrap_or(1);
        let templates = set.items("/spec/volumeClaimTemplates").iter();
        templates
            .flat_map(|template| {
                let prefix = format!("{}-{}", text(template, "/metadata/name"), set.name());
                (0..replicas).map(move |index| format!("{prefix}-{index}"))
            })
            .any(|claim| claim == name)
    };
    cluster.find("PersistentVolumeClaim", name).is_some() || cluster.of_kind("StatefulSet").any(makes)
}

fn container(cluster: &Cluster, container: Container, problems: &mut Problems) {
    let place = container.place();
    for source in items(container.value, "/envFrom") {
        for (kind, at) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            if !source[at]["name"].is_null() && source[at]["optional"] != true {
                keys(cluster, &place, kind, &source[at]["name"], &[], problems);
            }
        }
    }
    for variable in items(container.value, "/env") {
        for (kind, at) in [("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")] {
            let from = &variable["valueFrom"][at];
            if !from.is_null() && from["optional"] != true {
                keys(cluster, &place, kind, &from["name"], &[&from["key"]], problems);
            }
        }
        let field = text(variable, "/valueFrom/fieldRef/fieldPath");
        if field.starts_with("metadata.annotations") && container.env(text(variable, "/name")).is_none() {
            problems.add(&place, format!("the pod has no {field}"));
        }
    }
    let set = container.workload.object;
    for mount in items(container.value, "/volumeMounts") {
        let name = text(mount, "/name");
        let volumes = items(container.workload.pod(), "/volumes").iter().map(|volume| text(volume, "/name"));
        let claims = set.items("/spec/volumeClaimTemplates").iter().map(|claim| text(claim, "/metadata/name"));
        if !volumes.chain(claims).any(|volume| volume == name) {
            problems.add(&place, format!("there is no volume {name:?}"));
        }
    }
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        for action in ["httpGet", "tcpSocket", "grpc"] {
            let port = &container.value[probe][action]["port"];
            if !port.is_null() && container.workload.port(port).is_none() {
                problems.add(&place, format!("{probe}: the pod has no port {port}"));
            }
        }
    }
}

/// A ConfigMap or Secret with these keys has to be there.
fn keys(cluster: &Cluster, place: impl ToString, kind: &str, name: &Value, wanted: &[&Value], problems: &mut Problems) {
    let name = name.as_str().unwrap_or_default();
    let Some(keys) = cluster.keys_of(kind, name) else {
        return problems.add(place, format!("there is no {kind} {name:?}"));
    };
    for key in wanted.iter().filter_map(|key| key.as_str()).filter(|key| !keys.contains(key)) {
        problems.add(place.to_string(), format!("the {kind} {name:?} has no key {key:?}"));
    }
}

fn service(cluster: &Cluster, service: &Object, problems: &mut Problems) {
    let workloads = cluster.behind(service);
    match workloads.as_slice() {
        [] => return problems.add(service, "selects no pods"),
        [_] => {}
        several => {
            let names: Vec<_> = several.iter().map(|workload| workload.object.to_string()).collect();
            problems.add(service, format!("selects the pods of several workloads: {}", names.join(", ")));
        }
    }
    for port in service.items("/spec/ports") {
        let target = if port["targetPort"].is_null() { &port["port"] } else { &port["targetPort"] };
        for workload in &workloads {
            match workload.port(target) {
                None => problems.add(service, format!("the pods of {} have no port {target}", workload.object)),
                // A headless Service translates nothing.
                Some(number) if service.text("/spec/clusterIP") == "None" && port["port"] != number => {
                    problems.add(service, format!("is headless, so its port is {number} like that of the pods"));
                }
                Some(_) => {}
            }
        }
    }
}

fn backend(cluster: &Cluster, object: &Object, name: &str, port: &Value, problems: &mut Problems) {
    let Some(service) = cluster.find("Service", name) else {
        return problems.add(object, format!("there is no Service {name:?}"));
    };
    let ports = service.items("/spec/ports");
    if !ports.iter().any(|found| &found["port"] == port || (port.is_string() && &found["name"] == port)) {
        problems.add(object, format!("the Service {name:?} has no port {port}"));
    }
}

fn rights(cluster: &Cluster, binding: &Object, problems: &mut Problems) {
    let (kind, name) = (binding.text("/roleRef/kind"), binding.text("/roleRef/name"));
    if kind == "Role" && cluster.find(kind, name).is_none() {
        problems.add(binding, format!("there is no Role {name:?}"));
    }
    for subject in binding.items("/subjects") {
        let name = text(subject, "/name");
        if text(subject, "/kind") == "ServiceAccount" && cluster.find("ServiceAccount", name).is_none() {
            problems.add(binding, format!("there is no ServiceAccount {name:?}"));
        }
    }
}
