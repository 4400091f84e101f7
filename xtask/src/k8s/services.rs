//! Every component is deployed, given what it needs and no more, and reached by its routes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::application::{Application, Component};
use crate::calls::{is_entry, service_of};
use crate::cluster::{Cluster, Workload};
use crate::host::{Host, upstreams};
use crate::object::{at, items, keys, text};
use crate::operator;
use crate::problem::Problems;
use crate::scaling::least_replicas;
use crate::security::quantity;

/// What variables are called in the environment.
const PREFIX: &str = "SPIN_VARIABLE_";
/// Paths that services ask of each other, and nobody else.
const INTERNAL: &str = "/internal/...";
/// What a host takes to end besides its delay and its drain: it tells webhooks and writes its stores back.
const END_MS: u64 = 10_000;
/// The paths of the probes, as the host has them.
const PROBES: [(&str, &str); 3] =
    [("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")];

pub(crate) fn check(cluster: &Cluster, application: &Application, problems: &mut Problems) {
    let hosts = Host::all(cluster);
    variables(cluster, application, problems);
    for host in &hosts {
        secrets(cluster, host, application, problems);
        if host.container.workload.is_service() {
            listens(host, problems);
            ends(cluster, host, application, problems);
            files(cluster, host, problems);
        }
        if !operator::made(host.container.workload.object) {
            memory(cluster, host, application, problems);
            internal(cluster, host, application, problems);
        }
    }
    routes(cluster, &hosts, application, problems);
    ticks(cluster, application, problems);
}

/// Each component that has a route is run by somebody.
pub(crate) fn deployed(cluster: &Cluster, application: &Application, problems: &mut Problems) {
    let hosts = Host::all(cluster);
    for id in application.components.keys() {
        if !hosts.iter().any(|host| host.components(cluster, application).contains(id)) {
            problems.add(format!("component {id}"), "no workload runs it");
        }
    }
}

/// What is set are variables that there are, and no secrets.
fn variables(cluster: &Cluster, application: &Application, problems: &mut Problems) {
    let Some(object) = cluster.variables_object() else { return };
    for key in keys(&object.0, "/data") {
        match application.variable_of(key) {
            None => problems.add(object, format!("spin.toml has no variable {:?}", key.to_ascii_lowercase())),
            Some(name) if application.is_secret(&name) => {
                problems.add(object, format!("the variable {name:?} is a secret"));
            }
            Some(_) => {}
        }
    }
}

/// A host is given the secrets of its components, and those alone.
fn secrets(cluster: &Cluster, host: &Host, application: &Application, problems: &mut Problems) {
    let components = host.components(cluster, application);
    let components: Vec<&Component> = components.iter().filter_map(|id| application.components.get(id)).collect();
    let needed: BTreeSet<_> = components.iter().flat_map(|component| &component.secrets).cloned().collect();
    let place = host.container.place();
    let mut given = BTreeSet::new();
    for variable in items(host.container.value, "/env") {
        let Some(name) = text(variable, "/name").strip_prefix(PREFIX) else { continue };
        let Some(name) = application.variable_of(name) else {
            problems.add(&place, format!("spin.toml has no variable {:?}", name.to_ascii_lowercase()));
            continue;
        };
        if !application.is_secret(&name) {
            continue;
        }
        if text(variable, "/valueFrom/secretKeyRef/name").is_empty() {
            problems.add(&place, format!("the secret {name:?} is not from a Secret"));
        }
        if !needed.contains(&name) {
            problems.add(&place, format!("is given the secret {name:?}, which its components do not use"));
        }
        given.insert(name);
    }
    // One process makes its own, and has no network between its components.
    let is_alone =
        components.len() == application.components.len() && least_replicas(cluster, host.container.workload) < 2;
    for name in needed.difference(&given).filter(|_| !is_alone) {
        let why = match application.is_generated(name) {
            true => "so each pod would make one of its own",
            false => "which its components use",
        };
        problems.add(&place, format!("is not given the secret {name:?}, {why}"));
    }
}

/// Ports and probes are those of the host.
fn listens(host: &Host, problems: &mut Problems) {
    let (container, place) = (host.container, host.container.place());
    let is_operated = operator::made(container.workload.object);
    let http = if is_operated { "http-app" } else { "http" };
    for (name, option) in [(http, "listen"), ("admin", "admin-listen")] {
        let (port, listens) = (container.workload.port(&name.into()), host.port(option));
        if port.is_some() && port != listens {
            let listens = listens.map_or("nowhere that the manifest says".to_owned(), |port| format!("at {port}"));
            problems.add(&place, format!("the port {name:?} is {}, and the host listens {listens}", port.unwrap_or(0)));
        }
    }
    for (probe, path) in PROBES {
        let found = &container.value[probe];
        // The operator makes no startup probe.
        if is_operated && probe == "startupProbe" {
            continue;
        }
        let (found_path, port) = (text(found, "/httpGet/path"), at(found, "/httpGet/port"));
        if found_path != path {
            problems.add(&place, format!("{probe} asks {found_path:?}; the host answers {path:?}"));
        }
        let listened = host.port("listen");
        if container.workload.port(port).is_some_and(|port| Some(port) != listened) {
            problems.add(&place, format!("{probe} does not ask at the port of the application"));
        }
    }
}

/// Kubernetes waits for the end at least as long as the host takes for it, and the host as long as its components do.
fn ends(cluster: &Cluster, host: &Host, application: &Application, problems: &mut Problems) {
    let (workload, place) = (host.container.workload, host.container.place());
    let Some(drain) = host.milliseconds("drain-timeout-ms") else { return };
    let delay = host.milliseconds("readiness-delay-ms").unwrap_or(0);
    let grace_ms = workload.pod()["terminationGracePeriodSeconds"].as_u64().unwrap_or(30) * 1000;
    if grace_ms < delay + drain + END_MS {
        let what = format!("is killed after {grace_ms} ms, but may take {delay} + {drain} + {END_MS} ms to end");
        problems.add(&place, what);
    }
    let components = host.components(cluster, application);
    let deadlines = components.iter().filter_map(|id| Some((id, application.components.get(id)?.deadline_ms)));
    if cluster.autoscaler(workload).is_some() {
        for (id, deadline) in deadlines.filter(|(_, deadline)| *deadline > drain) {
            problems.add(&place, format!("drains for {drain} ms, but {id} may take {deadline} ms to answer"));
        }
    }
}

/// Files that its arguments name are mounted.
fn files(cluster: &Cluster, host: &Host, problems: &mut Problems) {
    for option in ["from", "gateway", "runtime-config-file"] {
        let Some(path) = host.option(option).filter(|path| path.starts_with('/')) else { continue };
        let Some((volume, key)) = host.container.volume_of(path) else {
            problems.add(host.container.place(), format!("--{option} {path}: no volume has this path"));
            continue;
        };
        for (kind, name) in [("ConfigMap", "/configMap/name"), ("Secret", "/secret/secretName")] {
            let name = text(volume, name);
            if !name.is_empty() && cluster.keys_of(kind, name).is_some_and(|keys| !keys.contains(key)) {
                problems
                    .add(host.container.place(), format!("--{option} {path}: the {kind} {name:?} has no key {key:?}"));
            }
        }
    }
}

/// The limit has room for what starting takes, and for all instances where `spin.toml` bounds them.
fn memory(cluster: &Cluster, host: &Host, application: &Application, problems: &mut Problems) {
    let amount =
        |of: &str| quantity(at(host.container.value, &format!("/resources/{of}/memory"))).map(|amount| amount / 1000);
    let (Some(request), Some(limit)) = (amount("requests"), amount("limits")) else { return };
    let components = host.components(cluster, application);
    let instances = components.iter().filter_map(|id| application.components.get(id)?.memory_bytes_max).sum::<u64>();
    if limit < request + instances {
        let what = format!(
            "its memory limit is {limit} bytes, less than its request and the {instances} bytes of its instances"
        );
        problems.add(host.container.place(), what);
    }
}

/// A host of some components opens their internal routes to the others, since no trigger does.
fn internal(cluster: &Cluster, host: &Host, application: &Application, problems: &mut Problems) {
    let components = host.components(cluster, application);
    let [id] = components.as_slice() else { return };
    let gateway = host.gateway(cluster).unwrap_or_default();
    let opens = |rule: &Value| text(rule, "/path") == INTERNAL && text(rule, "/to/component") == id;
    if !items(&gateway, "/rules").iter().any(opens) {
        problems.add(host.container.place(), format!("its gateway does not lead {INTERNAL} to {id}"));
    }
}

/// Each route of the application leads from the edge to its component.
fn routes(cluster: &Cluster, hosts: &[Host], application: &Application, problems: &mut Problems) {
    let is_entered = |workload: Workload| {
        let services = cluster.of_kind("Service").filter(|service| is_entry(cluster, service.name()));
        services
            .into_iter()
            .any(|service| cluster.behind(service).iter().any(|one| std::ptr::eq(one.object, workload.object)))
    };
    let entries: Vec<_> = hosts.iter().filter(|host| is_entered(host.container.workload)).collect();
    if entries.is_empty() {
        problems.add("the overlay", "no Ingress, HTTPRoute or Service leads into it");
    }
    for entry in entries {
        if entry.components(cluster, application).len() == application.components.len() {
            continue;
        }
        let place = entry.container.place();
        let gateway = entry.gateway(cluster).unwrap_or_default();
        let is_denied = |rule: &Value| text(rule, "/path") == INTERNAL && rule["deny"] == true;
        if !items(&gateway, "/rules").iter().any(is_denied) {
            problems.add(&place, format!("its gateway does not deny {INTERNAL}"));
        }
        let places = places_of_upstreams(cluster, &gateway, application);
        for (route, component) in &application.routes {
            let rules = items(&gateway, "/rules").iter().filter(|rule| text(rule, "/path") == route);
            let (partial, whole): (Vec<_>, Vec<_>) = rules.partition(|rule| !rule["methods"].is_null());
            if whole.is_empty() {
                problems.add(&place, format!("its gateway leads {route} nowhere"));
            }
            for rule in partial.into_iter().chain(whole) {
                let upstream = text(rule, "/to/upstream");
                if !places.get(upstream).is_some_and(|components| components.contains(component)) {
                    problems.add(
                        &place,
                        format!("its gateway leads {route} to {upstream:?}, which does not run {component}"),
                    );
                }
            }
        }
    }
}

/// The components that answer behind each upstream of a gateway.
fn places_of_upstreams(
    cluster: &Cluster,
    gateway: &Value,
    application: &Application,
) -> BTreeMap<String, BTreeSet<String>> {
    let components = |url: &String| {
        let service = service_of(url).and_then(|name| cluster.find("Service", &name));
        let workloads = service.map(|service| cluster.behind(service)).unwrap_or_default();
        let hosts = workloads.into_iter().flat_map(Workload::containers).filter_map(Host::of);
        hosts.flat_map(|host| host.components(cluster, application)).collect::<Vec<_>>()
    };
    upstreams(gateway).into_iter().map(|(name, urls)| (name, urls.iter().flat_map(components).collect())).collect()
}

/// Where CronJobs tick in place of the host, they do so for each schedule, and for nothing else.
fn ticks(cluster: &Cluster, application: &Application, problems: &mut Problems) {
    let is_tick =
        |object: &&crate::object::Object| text(&object.0, "/metadata/labels/app.kubernetes.io~1component") == "tick";
    let ticks: Vec<_> = cluster.of_kind("CronJob").filter(is_tick).collect();
    if ticks.is_empty() {
        return;
    }
    let url = |job| cluster.workload("CronJob", job).and_then(|tick| tick.containers().first()?.env("URL"));
    let asked: BTreeMap<_, _> = ticks.iter().filter_map(|tick| Some((url(tick.name())?.to_owned(), *tick))).collect();
    let due = |(id, component): (&String, &Component)| {
        component.schedules.iter().map(|path| format!("http://{id}{path}")).collect::<Vec<_>>()
    };
    let due: BTreeSet<_> = application.components.iter().flat_map(due).collect();
    for missing in due.iter().filter(|url| !asked.contains_key(*url)) {
        problems.add("the overlay", format!("no CronJob ticks {missing}"));
    }
    for (url, tick) in asked.iter().filter(|(url, _)| !due.contains(*url)) {
        problems.add(tick, format!("ticks {url}, which spin.toml does not have"));
    }
}
