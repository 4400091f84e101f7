//! How many pods there are, when they are replaced, and whether what is said about them fits together.

use serde_json::Value;

use crate::cluster::{Cluster, Workload};
use crate::object::{Object, at, items, selects, text};
use crate::problem::Problems;

pub(crate) fn check(cluster: &Cluster, problems: &mut Problems) {
    for workload in cluster.workloads() {
        selector(cluster, workload, problems);
    }
    for scaler in cluster.of_kind("HorizontalPodAutoscaler") {
        autoscaler(cluster, scaler, problems);
    }
    for budget in cluster.of_kind("PodDisruptionBudget") {
        self::budget(cluster, budget, problems);
    }
    for workload in cluster.workloads().into_iter().filter(|workload| workload.is_service()) {
        replicas(cluster, workload, problems);
    }
}

/// A workload selects its own pods, and no others.
fn selector(cluster: &Cluster, workload: Workload, problems: &mut Problems) {
    let selector = workload.object.at("/spec/selector");
    if selector.is_null() {
        return;
    }
    if !selects(selector, &workload.labels()) {
        problems.add(workload.object, "the selector does not match the labels of its own pods");
    }
    for other in cluster.workloads() {
        if !std::ptr::eq(other.object, workload.object) && selects(selector, &other.labels()) {
            problems.add(workload.object, format!("the selector matches the pods of {} as well", other.object));
        }
    }
    for spread in items(workload.pod(), "/topologySpreadConstraints") {
        if !selects(&spread["labelSelector"], &workload.labels()) {
            let key = text(spread, "/topologyKey");
            problems.add(workload.object, format!("the spread over {key} counts other pods than its own"));
        }
    }
}

fn autoscaler(cluster: &Cluster, scaler: &Object, problems: &mut Problems) {
    let (kind, name) = (scaler.text("/spec/scaleTargetRef/kind"), scaler.text("/spec/scaleTargetRef/name"));
    let Some(target) = cluster.workload(kind, name) else {
        return problems.add(scaler, format!("its target {kind}/{name} is not there"));
    };
    let others = cluster.of_kind("HorizontalPodAutoscaler").filter(|other| !std::ptr::eq(*other, scaler));
    for other in others.filter(|other| other.at("/spec/scaleTargetRef") == scaler.at("/spec/scaleTargetRef")) {
        problems.add(scaler, format!("{other} scales the same workload"));
    }
    if !target.object.at("/spec/replicas").is_null() {
        problems.add(target.object, format!("has `replicas`, which {scaler} decides about"));
    }
    let (min, max) = (scaler.at("/spec/minReplicas").as_u64().unwrap_or(1), scaler.at("/spec/maxReplicas").as_u64());
    if max.is_none_or(|max| max < min) {
        problems.add(scaler, format!("minReplicas {min} is above maxReplicas"));
    }
    if scaler.items("/spec/metrics").is_empty() {
        problems.add(scaler, "has no metrics");
    }
    for metric in scaler.items("/spec/metrics") {
        let resource = match text(metric, "/type") {
            "Resource" => text(metric, "/resource/name"),
            "ContainerResource" => text(metric, "/containerResource/name"),
            _ => continue,
        };
        for container in target.containers() {
            if at(container.value, &format!("/resources/requests/{resource}")).is_null() {
                let what = format!("has no request for {resource}, by which {scaler} scales");
                problems.add(container.place(), what);
            }
        }
    }
}

fn budget(cluster: &Cluster, budget: &Object, problems: &mut Problems) {
    let selector = budget.at("/spec/selector");
    let services = cluster.workloads().into_iter().filter(|workload| selects(selector, &workload.labels()));
    let workload = match services.collect::<Vec<_>>().as_slice() {
        [one] => *one,
        [] => return problems.add(budget, "selects no pods"),
        _ => return problems.add(budget, "selects the pods of several workloads"),
    };
    let replicas = least_replicas(cluster, workload);
    let (available, unavailable) = (budget.at("/spec/minAvailable"), budget.at("/spec/maxUnavailable"));
    let has_room = match (count(available, replicas), count(unavailable, replicas)) {
        (Some(available), _) => available < replicas,
        (_, Some(unavailable)) => unavailable > 0,
        _ => true,
    };
    if !has_room {
        let what = format!("lets no pod of {} be evicted while it has {replicas}", workload.object);
        problems.add(budget, what);
    }
}

/// A count of a budget, which may be a percentage and is rounded up then.
fn count(value: &Value, replicas: u64) -> Option<u64> {
    match value {
        Value::String(text) => {
            let percent: u64 = text.strip_suffix('%')?.parse().ok()?;
            Some((replicas * percent).div_ceil(100))
        }
        number => number.as_u64(),
    }
}

/// How many pods a workload has at least.
pub(crate) fn least_replicas(cluster: &Cluster, workload: Workload) -> u64 {
    let (scaler, pointer) = match cluster.autoscaler(workload) {
        Some(scaler) => (scaler, "/spec/minReplicas"),
        None => (workload.object, "/spec/replicas"),
    };
    scaler.at(pointer).as_u64().unwrap_or(1)
}

/// What has several replicas loses none when it is replaced, and one at a time when nodes are.
fn replicas(cluster: &Cluster, workload: Workload, problems: &mut Problems) {
    let object = workload.object;
    if least_replicas(cluster, workload) < 2 {
        return;
    }
    let has_budget =
        cluster.of_kind("PodDisruptionBudget").any(|budget| selects(budget.at("/spec/selector"), &workload.labels()));
    if !has_budget {
        problems.add(object, "no PodDisruptionBudget keeps its pods from being evicted all at once");
    }
    // What an operator makes has the strategy that Kubernetes has by itself.
    let is_ours = object.kind() == "Deployment" && !crate::operator::made(object);
    let rolling = object.at("/spec/strategy/rollingUpdate");
    if is_ours && (rolling["maxUnavailable"] != 0 || rolling["maxSurge"].as_u64() == Some(0)) {
        problems.add(object, "a rollout may take a pod away before its successor is ready");
    }
    let zones = items(workload.pod(), "/topologySpreadConstraints").iter();
    if is_ours && !zones.into_iter().any(|spread| text(spread, "/topologyKey") == "topology.kubernetes.io/zone") {
        problems.add(object, "its pods are not spread over zones");
    }
}
