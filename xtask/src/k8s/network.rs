//! NetworkPolicies allow exactly the calls that there are.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::application::Application;
use crate::calls::{self, Call, End};
use crate::cluster::{Cluster, Workload};
use crate::object::{Object, items, selects, text};
use crate::problem::Problems;

/// Stands for all ports in what is allowed. Nobody wants it.
const ANY_PORT: u64 = 0;

/// One of the two ways of a pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

/// What policies allow at one end, with the policy that does.
struct Allowed<'a> {
    policy: &'a Object,
    call: Call,
    way: Way,
}

pub(crate) fn check(cluster: &Cluster, application: &Application, problems: &mut Problems) {
    let known = problems.0.len();
    let wanted = calls::wanted(cluster, application, problems);
    if problems.0.len() > known {
        // Who is called is not known, so neither is what is too much.
        return;
    }
    let workloads = cluster.workloads();
    for policy in cluster.of_kind("NetworkPolicy") {
        let selector = policy.at("/spec/podSelector");
        if !is_for_all(policy) && !workloads.iter().any(|workload| selects(selector, &workload.labels())) {
            problems.add(policy, "selects no pods");
        }
    }
    for (way, kind) in [(Way::In, "Ingress"), (Way::Out, "Egress")] {
        // Also what is not known yet.
        if !cluster.of_kind("NetworkPolicy").any(|policy| is_for_all(policy) && bounds(policy, way)) {
            problems.add("the overlay", format!("no NetworkPolicy of the type {kind} is for all pods"));
        }
    }
    for workload in &workloads {
        for way in [Way::In, Way::Out] {
            if policies(cluster, *workload, way).next().is_none() {
                let what = match way {
                    Way::In => "no NetworkPolicy bounds who calls it",
                    Way::Out => "no NetworkPolicy bounds whom it calls",
                };
                problems.add(workload.object, what);
            }
        }
    }
    let allowed: Vec<_> = workloads.iter().flat_map(|workload| all_allowed(cluster, *workload, &workloads)).collect();
    for call in &wanted {
        missing(call, &allowed, problems);
    }
    for allowed in allowed.iter().filter(|allowed| !is_wanted(allowed, &wanted)) {
        let Call { from, to, port } = &allowed.call;
        let port = if *port == ANY_PORT { "any port".to_owned() } else { format!("port {port}") };
        problems.add(allowed.policy, format!("lets {from} call {to} at {port}, for which there is no reason"));
    }
}

/// Both ends have to allow a call, as far as they are workloads.
fn missing(call: &Call, allowed: &[Allowed], problems: &mut Problems) {
    for (way, end, verb) in [(Way::Out, &call.from, "out"), (Way::In, &call.to, "in")] {
        let End::Workload(name) = end else { continue };
        if !allowed.iter().any(|allowed| allowed.way == way && covers(&allowed.call, call)) {
            let Call { from, to, port } = call;
            problems.add(name, format!("no NetworkPolicy lets the call {verb} from {from} to {to} at port {port}"));
        }
    }
}

/// Whether what is allowed has the call in it. Whoever may be called from the outside may be called by everybody.
fn covers(allowed: &Call, call: &Call) -> bool {
    let from = allowed.from == call.from || allowed.from == End::Outside;
    from && allowed.to == call.to && [call.port, ANY_PORT].contains(&allowed.port)
}

fn is_wanted(allowed: &Allowed, wanted: &BTreeSet<Call>) -> bool {
    wanted.contains(&allowed.call)
}

/// The policies that bound one way of a workload's pods.
fn policies<'a>(cluster: &'a Cluster, workload: Workload<'a>, way: Way) -> impl Iterator<Item = &'a Object> {
    let labels = workload.labels();
    let is_one = move |policy: &&Object| bounds(policy, way) && selects(policy.at("/spec/podSelector"), &labels);
    cluster.of_kind("NetworkPolicy").filter(is_one)
}

fn is_for_all(policy: &Object) -> bool {
    policy.at("/spec/podSelector").as_object().is_some_and(serde_json::Map::is_empty)
}

fn bounds(policy: &Object, way: Way) -> bool {
    let kind = match way {
        Way::In => "Ingress",
        Way::Out => "Egress",
    };
    policy.items("/spec/policyTypes").iter().any(|listed| listed == kind)
}

fn all_allowed<'a>(cluster: &'a Cluster, workload: Workload<'a>, all: &[Workload<'a>]) -> Vec<Allowed<'a>> {
    let mut allowed = Vec::new();
    let own = End::Workload(workload.object.to_string());
    for (way, rules, peers) in [(Way::In, "/spec/ingress", "from"), (Way::Out, "/spec/egress", "to")] {
        for policy in policies(cluster, workload, way) {
            for rule in policy.items(rules) {
                for (other, at) in ends(rule.get(peers), all) {
                    let ports = match way {
                        Way::In => ports(rule, Some(workload)),
                        Way::Out => ports(rule, at),
                    };
                    for port in ports {
                        let (from, to) = match way {
                            Way::In => (other.clone(), own.clone()),
                            Way::Out => (own.clone(), other.clone()),
                        };
                        allowed.push(Allowed { policy, call: Call { from, to, port }, way });
                    }
                }
            }
        }
    }
    allowed
}

/// Whom the peers of a rule stand for. No peers stand for everybody.
fn ends<'a>(peers: Option<&Value>, all: &[Workload<'a>]) -> Vec<(End, Option<Workload<'a>>)> {
    let Some(peers) = peers.and_then(Value::as_array) else {
        return vec![(End::Outside, None)];
    };
    let mut ends = Vec::new();
    for peer in peers {
        let namespace = text(peer, "/namespaceSelector/matchLabels/kubernetes.io~1metadata.name");
        if !peer["ipBlock"].is_null() {
            ends.push((End::Outside, None));
        } else if !namespace.is_empty() {
            ends.push((End::Namespace(namespace.to_owned()), None));
        } else if !peer["namespaceSelector"].is_null() {
            ends.push((End::Namespace("any".to_owned()), None));
        } else {
            let selected = all.iter().filter(|workload| selects(&peer["podSelector"], &workload.labels()));
            ends.extend(selected.map(|workload| (End::Workload(workload.object.to_string()), Some(*workload))));
        }
    }
    ends
}

/// The ports of a rule at the pods that are called: by number, or by name where they are known.
fn ports(rule: &Value, called: Option<Workload>) -> Vec<u64> {
    let listed = items(rule, "/ports");
    if listed.is_empty() {
        return vec![ANY_PORT];
    }
    let number = |port: &Value| match &port["port"] {
        name @ Value::String(_) => called.and_then(|workload| workload.port(name)).unwrap_or(ANY_PORT),
        number => number.as_u64().unwrap_or(ANY_PORT),
    };
    listed.iter().map(number).collect()
}
