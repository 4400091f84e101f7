//! What a pod may do: the restricted profile of the Pod Security Standards, a read-only root, no token, bounded resources, and
//! images whose version is named.

use serde_json::Value;

use crate::cluster::{Cluster, Container, Workload};
use crate::object::{at, items, keys, text};
use crate::operator;
use crate::problem::Problems;

/// The annotation that names the application.
pub(crate) const APPLICATION_ANNOTATION: &str = "bodega.dev/application";
/// Kinds of volumes that the restricted profile allows.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub(crate) fn check(cluster: &Cluster, problems: &mut Problems) {
    for namespace in cluster.of_kind("Namespace") {
        let level =
            namespace.at("/metadata/labels/pod-security.kubernetes.io~1enforce").as_str().unwrap_or("privileged");
        // The pods of SpinApps have no security context.
        let is_mixed = cluster.of_kind("SpinApp").next().is_some();
        match (level, is_mixed) {
            ("restricted", true) => {
                problems.add(namespace, "enforces `restricted`, which refuses the pods of SpinApps")
            }
            ("restricted", false) | ("baseline", true) => {}
            _ => problems.add(namespace, format!("enforces the Pod Security level {level:?}")),
        }
    }
    for workload in cluster.workloads() {
        let application = at(workload.template, "/metadata/annotations")[APPLICATION_ANNOTATION].as_str();
        if let Some(reference) = application {
            version(workload.object, reference, problems);
        }
        if !operator::made(workload.object) {
            pod(workload, problems);
        }
        for container in workload.containers() {
            version(container.place(), container.image(), problems);
            resources(container, problems);
            if !operator::made(workload.object) {
                self::container(container, problems);
            }
        }
    }
    for app in cluster.of_kind("SpinApp") {
        version(app, app.text("/spec/image"), problems);
    }
    for account in cluster.of_kind("ServiceAccount") {
        if account.at("/automountServiceAccountToken") != &Value::Bool(false) {
            problems.add(account, "does not say `automountServiceAccountToken: false`");
        }
    }
}

fn pod(workload: Workload, problems: &mut Problems) {
    let (object, pod) = (workload.object, workload.pod());
    if pod["automountServiceAccountToken"] != false {
        problems.add(object, "does not say `automountServiceAccountToken: false`");
    }
    if pod["enableServiceLinks"] != false {
        problems.add(object, "does not say `enableServiceLinks: false`, so Services become environment variables");
    }
    if matches!(text(pod, "/serviceAccountName"), "" | "default") {
        problems.add(object, "has no ServiceAccount of its own");
    }
    for shared in ["hostNetwork", "hostPID", "hostIPC"].into_iter().filter(|shared| pod[*shared] == true) {
        problems.add(object, format!("has `{shared}`"));
    }
    for volume in items(pod, "/volumes") {
        for kind in keys(volume, "").filter(|kind| *kind != "name" && !VOLUMES.contains(kind)) {
            problems.add(object, format!("the volume {} is of the kind {kind}", volume["name"]));
        }
    }
}

fn container(container: Container, problems: &mut Problems) {
    let place = container.place();
    let (pod, own) = (at(container.workload.pod(), "/securityContext"), &container.value["securityContext"]);
    let either = |key: &str| if own[key].is_null() { &pod[key] } else { &own[key] };
    if either("runAsNonRoot") != true || [pod, own].iter().any(|context| context["runAsUser"] == 0) {
        problems.add(&place, "may run as root");
    }
    if !matches!(text(either("seccompProfile"), "/type"), "RuntimeDefault" | "Localhost") {
        problems.add(&place, "has no seccomp profile");
    }
    if own["allowPrivilegeEscalation"] != false || own["privileged"] == true {
        problems.add(&place, "may get more privileges");
    }
    let dropped = items(own, "/capabilities/drop").iter().any(|capability| capability == "ALL");
    if !dropped || !items(own, "/capabilities/add").is_empty() {
        problems.add(&place, "has capabilities");
    }
    if own["readOnlyRootFilesystem"] != true {
        problems.add(&place, "may write to its root file system");
    }
}

fn resources(container: Container, problems: &mut Problems) {
    for resource in ["cpu", "memory"] {
        let amount = |of: &str| at(container.value, &format!("/resources/{of}/{resource}"));
        match (quantity(amount("requests")), quantity(amount("limits"))) {
            (None, _) => problems.add(container.place(), format!("has no request for {resource}")),
            (_, None) => problems.add(container.place(), format!("has no limit for {resource}")),
            (Some(request), Some(limit)) if request > limit => {
                problems.add(container.place(), format!("requests more {resource} than its limit"));
            }
            _ => {}
        }
    }
}

/// An amount of Kubernetes in thousandths: of cores, or of bytes.
pub(crate) fn quantity(amount: &Value) -> Option<u64> {
    const UNITS: [(&str, u64); 7] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("", 1),
    ];
    let text = match amount {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    if let Some(thousandths) = text.strip_suffix('m') {
        return thousandths.parse().ok();
    }
    let (number, unit) = UNITS.iter().find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    let number: f64 = number.parse().ok()?;
    // Amounts are far below what a float has exactly.
    Some((number * 1000.0) as u64 * unit)
}

/// An image says which one it is: by a tag that is not `latest`, or by a digest.
fn version(place: impl ToString, image: &str, problems: &mut Problems) {
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_pinned = name.contains('@');
    match name.split_once(':') {
        _ if is_pinned => {}
        Some((_, "latest")) => problems.add(place, format!("the image {image:?} has the tag `latest`")),
        Some((_, tag)) if !tag.is_empty() => {}
        _ => problems.add(place, format!("the image {image:?} has no tag")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn amounts_are_read_as_in_kubernetes() {
        let amounts = [json!("250m"), json!(2), json!("1.5"), json!("64Mi"), json!("1G"), json!("x"), Value::Null];
        let read = amounts.map(|amount| quantity(&amount));
        assert_eq!(
            read,
            [Some(250), Some(2000), Some(1500), Some(64 * 1024 * 1024 * 1000), Some(1_000_000_000_000), None, None]
        );
    }

    #[test]
    fn images_name_their_version() {
        let found = |image| {
            let mut problems = Problems::default();
            version("x", image, &mut problems);
            problems.0.len()
        };
        for image in ["a:1", "r.io:5000/a:1.2", "a@sha256:00", "a:latest@sha256:00"] {
            assert_eq!(found(image), 0, "{image}");
        }
        for image in ["a", "a:latest", "r.io:5000/a", "r.io/a:"] {
            assert_eq!(found(image), 1, "{image}");
        }
    }
}
