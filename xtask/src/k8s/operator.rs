//! What spin-operator makes of a SpinApp: a Deployment and a Service, so that what refers to them can be checked.

use serde_json::{Value, json};

use crate::object::{Object, at, items, labels, text};

/// Marks what is made here.
const MARK: &str = "made-by-spin-operator";
/// The label by which the operator knows the pods of a SpinApp.
const NAME_LABEL: &str = "core.spinkube.dev/app-name";
/// Where pods of SpinApps listen.
const PORT: u64 = 80;

/// Whether the operator makes it, and not the overlay.
pub(crate) fn made(object: &Object) -> bool {
    !object.at("/metadata/annotations")[MARK].is_null()
}

/// What the operator makes of all SpinApps among `objects`.
pub(crate) fn expand(objects: &[Object]) -> Vec<Object> {
    let apps = objects.iter().filter(|object| object.kind() == "SpinApp");
    apps.flat_map(|app| {
        let executor = objects
            .iter()
            .find(|object| object.kind() == "SpinAppExecutor" && object.name() == app.text("/spec/executor"));
        [deployment(app, executor), service(app)]
    })
    .collect()
}

fn deployment(app: &Object, executor: Option<&Object>) -> Object {
    let name = app.name();
    let mut pod_labels = labels(&app.0, "/spec/podLabels");
    let ready =
        [(NAME_LABEL.to_owned(), name.to_owned()), (format!("core.spinkube.dev/app.{name}.status"), "ready".into())];
    pod_labels.extend(ready.clone());
    let selector: crate::object::Labels = ready.into_iter().collect();
    let components = app.items("/spec/components");
    let image = executor.map(|executor| executor.text("/spec/deploymentConfig/spinImage")).unwrap_or_default();
    // With a runtime class, the shim runs the application's own artifact.
    let (image, mut args) = match image {
        "" => (app.text("/spec/image"), vec![]),
        image => {
            let listen = format!("0.0.0.0:{PORT}");
            let args = [
                "up",
                "--listen",
                &listen,
                "-f",
                app.text("/spec/image"),
                "--runtime-config-file",
                "/runtime-config.toml",
            ];
            (image, args.map(Value::from).to_vec())
        }
    };
    if !args.is_empty() {
        args.extend(components.iter().flat_map(|component| [json!("--component-id"), component.clone()]));
    }
    let names: Vec<_> = components.iter().filter_map(Value::as_str).collect();
    let mut env: Vec<_> = app.items("/spec/variables").iter().map(variable).collect();
    env.push(json!({"name": "SPIN_COMPONENTS_TO_RETAIN", "value": names.join(",")}));
    let mut mounts = app.items("/spec/volumeMounts").to_vec();
    let mut volumes = app.items("/spec/volumes").to_vec();
    let secret = app.text("/spec/runtimeConfig/loadFromSecret");
    if !secret.is_empty() {
        volumes.push(json!({"name": "spin-runtime-config", "secret": {
            "secretName": secret, "items": [{"key": "runtime-config.toml", "path": "runtime-config.toml"}],
        }}));
        mounts.push(json!({
            "name": "spin-runtime-config", "mountPath": "/runtime-config.toml", "subPath": "runtime-config.toml",
        }));
    }
    let replicas =
        if app.at("/spec/enableAutoscaling") == true { Value::Null } else { app.at("/spec/replicas").clone() };
    Object(json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": app.text("/metadata/namespace"), "annotations": {MARK: ""}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": pod_labels, "annotations": app.at("/spec/podAnnotations")},
                "spec": {
                    "serviceAccountName": app.at("/spec/serviceAccountName"),
                    "imagePullSecrets": app.at("/spec/imagePullSecrets"),
                    "volumes": volumes,
                    "containers": [{
                        "name": name, "image": image, "args": args, "env": env, "volumeMounts": mounts,
                        "ports": [{"name": "http-app", "containerPort": PORT}],
                        "resources": app.at("/spec/resources"),
                        "readinessProbe": probe(app, "readiness"), "livenessProbe": probe(app, "liveness"),
                    }],
                },
            },
        },
    }))
}

fn service(app: &Object) -> Object {
    Object(json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": app.name(), "namespace": app.text("/metadata/namespace"), "annotations": {MARK: ""}},
        "spec": {
            "selector": {NAME_LABEL: app.name()},
            "ports": [{"name": "http-app", "port": PORT, "targetPort": "http-app"}],
        },
    }))
}

fn variable(variable: &Value) -> Value {
    let name = format!("SPIN_VARIABLE_{}", text(variable, "/name").to_ascii_uppercase());
    json!({"name": name, "value": variable["value"], "valueFrom": variable["valueFrom"]})
}

fn probe(app: &Object, kind: &str) -> Value {
    let path = text(at(&app.0, "/spec/checks"), &format!("/{kind}/httpGet/path")).to_owned();
    match path.is_empty() {
        true => Value::Null,
        false => json!({"httpGet": {"path": path, "port": PORT}}),
    }
}

/// Whether an executor is there, and one SpinApp's components are of the application.
pub(crate) fn check(cluster: &crate::cluster::Cluster, problems: &mut crate::problem::Problems) {
    for app in cluster.of_kind("SpinApp") {
        let executor = app.text("/spec/executor");
        if cluster.find("SpinAppExecutor", executor).is_none() {
            problems.add(app, format!("there is no SpinAppExecutor {executor:?}"));
        }
        let secret = app.text("/spec/runtimeConfig/loadFromSecret");
        if !secret.is_empty() && !items(&app.0, "/spec/runtimeConfig/sqliteDatabases").is_empty() {
            problems.add(app, "has stores of its own beside `loadFromSecret`, which are not looked at then");
        }
    }
}
