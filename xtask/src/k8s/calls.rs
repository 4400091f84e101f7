//! Who has to call whom: as `spin.toml`, the values of variables, gateways, runtime configurations and jobs say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use url::Url;

use crate::application::Application;
use crate::cluster::{Cluster, Container};
use crate::host::{Host, upstreams};
use crate::object::{items, text};
use crate::problem::Problems;

/// Where DNS answers, as the manifests name it.
pub(crate) const DNS: &str = "kube-system";
/// Where Prometheus is.
pub(crate) const MONITORING: &str = "monitoring";

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The pods of a workload, by its name as in `Deployment/catalog`.
    Workload(String),
    /// Pods of another namespace.
    Namespace(String),
    /// Whatever is outside of the cluster.
    Outside,
}

/// One may connect to a port of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    pub(crate) from: End,
    pub(crate) to: End,
    pub(crate) port: u64,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Workload(name) => f.write_str(name),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::Outside => f.write_str("the outside"),
        }
    }
}

/// All calls that have to be possible. What cannot be one, such as a name that nobody has, is a problem.
pub(crate) fn wanted(cluster: &Cluster, application: &Application, problems: &mut Problems) -> BTreeSet<Call> {
    let mut calls = Calls { cluster, found: BTreeSet::new(), problems };
    let given = cluster.variables();
    for host in Host::all(cluster) {
        let components = host.components(cluster, application);
        for id in &components {
            let Some(component) = application.components.get(id) else { continue };
            for template in &component.allowed_outbound_hosts {
                let url = application.render(template, &given);
                calls.add(host.container, &format!("{template} of component {id}"), &url, &components);
            }
            for url in host.stores(cluster, id, application) {
                calls.add(host.container, &format!("a store of component {id}"), &url, &components);
            }
        }
        let gateway = host.gateway(cluster).unwrap_or_default();
        for (name, urls) in upstreams(&gateway) {
            urls.iter().for_each(|url| calls.add(host.container, &format!("the upstream {name}"), url, &components));
        }
        if let Some(registry) = host.registry() {
            calls.add(host.container, "the registry of the application", &format!("https://{registry}"), &components);
        }
        calls.scrape(&host);
    }
    for container in cluster.containers().into_iter().filter(|container| Host::of(*container).is_none()) {
        calls.of_job(container);
    }
    calls.entries();
    calls.dns();
    calls.found
}

struct Calls<'a> {
    cluster: &'a Cluster,
    found: BTreeSet<Call>,
    problems: &'a mut Problems,
}

impl Calls<'_> {
    /// A call to a URL. `what` says what it is for, and `local` names the components that are in the same process.
    fn add(&mut self, container: Container, what: &str, url: &str, local: &[String]) {
        let Ok(parsed) = Url::parse(url) else {
            return self.problems.add(container.place(), format!("{what} is {url:?}, which is no URL"));
        };
        let name = parsed.host_str().unwrap_or_default();
        let port =
            parsed.port_or_known_default().or(if parsed.scheme().starts_with("redis") { Some(6379) } else { None });
        let Some(port) = port else {
            return self.problems.add(container.place(), format!("{what} is {url:?}, which has no port"));
        };
        if name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()) {
            return;
        }
        if let Some(component) = name.strip_suffix(".spin.internal") {
            if !local.iter().any(|id| id == component) {
                self.problems.add(container.place(), format!("{what} is {url:?}, which is not in its process"));
            }
            return;
        }
        let from = End::Workload(container.workload.object.to_string());
        let Some(service) = service_name(name) else {
            self.found.insert(Call { from, to: End::Outside, port: port.into() });
            return;
        };
        self.service(container, what, service, port.into());
    }

    fn service(&mut self, container: Container, what: &str, service: &str, port: u64) {
        let Some(found) = self.cluster.find("Service", service) else {
            return self.problems.add(container.place(), format!("{what}: there is no Service {service:?}"));
        };
        let Some(listed) = found.items("/spec/ports").iter().find(|listed| listed["port"] == port) else {
            return self.problems.add(container.place(), format!("{what}: the Service {service:?} has no port {port}"));
        };
        let target = if listed["targetPort"].is_null() { &listed["port"] } else { &listed["targetPort"] };
        for workload in self.cluster.behind(found) {
            if let Some(port) = workload.port(target) {
                let from = End::Workload(container.workload.object.to_string());
                self.found.insert(Call { from, to: End::Workload(workload.object.to_string()), port });
            }
        }
    }

    /// Jobs say in their arguments and environment whom they ask.
    fn of_job(&mut self, container: Container) {
        let values = items(container.value, "/env").iter().map(|variable| text(variable, "/value"));
        let words: Vec<_> = container.words().into_iter().chain(values).flat_map(str::split_whitespace).collect();
        for url in words.into_iter().filter(|word| word.starts_with("http://") || word.starts_with("https://")) {
            self.add(container, "what it asks", url, &[]);
        }
    }

    /// Prometheus reads what a host tells of itself.
    fn scrape(&mut self, host: &Host) {
        let workload = host.container.workload;
        if let Some(port) = workload.port(&"admin".into()).filter(|_| workload.is_service()) {
            let to = End::Workload(workload.object.to_string());
            self.found.insert(Call { from: End::Namespace(MONITORING.to_owned()), to, port });
        }
    }

    /// Whoever is outside calls what an Ingress, a route or a port of nodes leads to.
    fn entries(&mut self) {
        let services: Vec<_> =
            self.cluster.of_kind("Service").filter(|service| is_entry(self.cluster, service.name())).collect();
        for service in services {
            for port in service.items("/spec/ports").iter().filter(|port| text(port, "/name").starts_with("http")) {
                for workload in self.cluster.behind(service) {
                    if let Some(port) = workload.port(&port["targetPort"]) {
                        let to = End::Workload(workload.object.to_string());
                        self.found.insert(Call { from: End::Outside, to, port });
                    }
                }
            }
        }
    }

    /// Everybody looks up names.
    fn dns(&mut self) {
        for workload in self.cluster.workloads() {
            let from = End::Workload(workload.object.to_string());
            self.found.insert(Call { from, to: End::Namespace(DNS.to_owned()), port: 53 });
        }
    }
}

/// Whether clients from outside get to a Service.
pub(crate) fn is_entry(cluster: &Cluster, service: &str) -> bool {
    let is_open = cluster
        .find("Service", service)
        .is_some_and(|service| matches!(service.text("/spec/type"), "NodePort" | "LoadBalancer"));
    let rules = |kind, pointer| cluster.of_kind(kind).flat_map(move |object| object.items(pointer));
    let of_ingress = rules("Ingress", "/spec/rules").flat_map(|rule| items(rule, "/http/paths"));
    let of_ingress = of_ingress.map(|path| text(path, "/backend/service/name"));
    let of_route = rules("HTTPRoute", "/spec/rules").flat_map(|rule| items(rule, "/backendRefs"));
    is_open || of_ingress.chain(of_route.map(|backend| text(backend, "/name"))).any(|name| name == service)
}

/// The Service that a host name of the cluster stands for.
pub(crate) fn service_name(host: &str) -> Option<&str> {
    let (name, rest) = host.split_once('.').unwrap_or((host, ""));
    let rest = rest.strip_suffix(".cluster.local").unwrap_or(rest);
    matches!(rest, "" | "bodega" | "bodega.svc").then_some(name).filter(|_| host.parse::<IpAddr>().is_err())
}

/// The Service of a URL, if that is one of the cluster.
pub(crate) fn service_of(url: &str) -> Option<String> {
    Some(service_name(Url::parse(url).ok()?.host_str()?)?.to_owned())
}
