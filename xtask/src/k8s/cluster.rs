//! All that an overlay puts into the cluster, and the pods of its workloads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::object::{Labels, Object, at, items, keys, labels, text};

/// The ConfigMap with the values of variables.
pub(crate) const VARIABLES: &str = "bodega-variables";
/// What kustomize puts behind the name of a generated ConfigMap: a hyphen and so many characters.
const HASH_CHARS: usize = 10;

/// The resources of an overlay.
pub(crate) struct Cluster {
    pub(crate) objects: Vec<Object>,
}

/// What makes pods.
#[derive(Clone, Copy)]
pub(crate) struct Workload<'a> {
    pub(crate) object: &'a Object,
    /// Its template of pods.
    pub(crate) template: &'a Value,
}

/// A container of a workload's pods.
#[derive(Clone, Copy)]
pub(crate) struct Container<'a> {
    pub(crate) workload: Workload<'a>,
    pub(crate) value: &'a Value,
}

impl Cluster {
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.objects.iter().find(|object| object.kind() == kind && object.name() == name)
    }

    /// All workloads, whoever starts them.
    pub(crate) fn workloads(&self) -> Vec<Workload<'_>> {
        let template = |object: &Object| match object.kind() {
            "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => Some("/spec/template"),
            "CronJob" => Some("/spec/jobTemplate/spec/template"),
            _ => None,
        };
        let workload = |object| Some(Workload { object, template: object.0.pointer(template(object)?)? });
        self.objects.iter().filter_map(workload).collect()
    }

    pub(crate) fn workload(&self, kind: &str, name: &str) -> Option<Workload<'_>> {
        self.workloads().into_iter().find(|workload| workload.object.kind() == kind && workload.object.name() == name)
    }

    pub(crate) fn containers(&self) -> Vec<Container<'_>> {
        self.workloads().into_iter().flat_map(Workload::containers).collect()
    }

    /// The workloads whose pods a Service sends to.
    pub(crate) fn behind(&self, service: &Object) -> Vec<Workload<'_>> {
        let wanted = labels(&service.0, "/spec/selector");
        let is_one = |workload: &Workload| {
            let found = workload.labels();
            !wanted.is_empty() && wanted.iter().all(|(key, value)| found.get(key) == Some(value))
        };
        self.workloads().into_iter().filter(is_one).collect()
    }

    /// The autoscaler of a workload.
    pub(crate) fn autoscaler(&self, workload: Workload) -> Option<&Object> {
        let (kind, name) = (workload.object.kind(), workload.object.name());
        self.of_kind("HorizontalPodAutoscaler").find(|scaler| {
            scaler.text("/spec/scaleTargetRef/kind") == kind && scaler.text("/spec/scaleTargetRef/name") == name
        })
    }

    /// The keys of a ConfigMap, or of a Secret whoever makes it; nothing if there is none.
    pub(crate) fn keys_of(&self, kind: &str, name: &str) -> Option<BTreeSet<&str>> {
        if let Some(object) = self.find(kind, name) {
            return Some(["/data", "/stringData", "/binaryData"].iter().flat_map(|at| keys(&object.0, at)).collect());
        }
        let is_target = |external: &&Object| {
            let target = external.text("/spec/target/name");
            let target = if target.is_empty() { external.name() } else { target };
            kind == "Secret" && target == name
        };
        let external = self.of_kind("ExternalSecret").find(is_target)?;
        // With a template, the Secret has what that says and no more.
        let templated: BTreeSet<_> = keys(&external.0, "/spec/target/template/data").collect();
        match templated.is_empty() {
            false => Some(templated),
            true => Some(external.items("/spec/data").iter().map(|entry| text(entry, "/secretKey")).collect()),
        }
    }

    /// What a key of a ConfigMap or Secret holds, as far as it is known before there is a vault.
    pub(crate) fn content(&self, kind: &str, name: &str, key: &str) -> Option<&str> {
        if let Some(object) = self.find(kind, name) {
            return ["data", "stringData"].iter().find_map(|at| object.0[at][key].as_str());
        }
        let external = self.of_kind("ExternalSecret").find(|external| external.text("/spec/target/name") == name)?;
        external.0["spec"]["target"]["template"]["data"][key].as_str()
    }

    /// The values of variables that all services are given.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let Some(object) = self.variables_object() else { return BTreeMap::new() };
        labels(&object.0, "/data").into_iter().map(|(key, value)| (key.to_ascii_lowercase(), value)).collect()
    }

    /// The ConfigMap that has them.
    pub(crate) fn variables_object(&self) -> Option<&Object> {
        self.of_kind("ConfigMap").find(|object| {
            let rest = object.name().strip_prefix(VARIABLES);
            rest.is_some_and(|rest| rest.is_empty() || rest.len() == HASH_CHARS + 1)
        })
    }
}

impl<'a> Workload<'a> {
    pub(crate) fn labels(self) -> Labels {
        labels(self.template, "/metadata/labels")
    }

    /// The PodSpec.
    pub(crate) fn pod(self) -> &'a Value {
        at(self.template, "/spec")
    }

    pub(crate) fn containers(self) -> Vec<Container<'a>> {
        let containers = ["/initContainers", "/containers"].into_iter().flat_map(|kind| items(self.pod(), kind));
        containers.map(|value| Container { workload: self, value }).collect()
    }

    /// Whether it runs all the time, and not to an end.
    pub(crate) fn is_service(self) -> bool {
        !matches!(self.object.kind(), "Job" | "CronJob")
    }

    /// The port of a pod by its number or name; nothing if no container has it.
    pub(crate) fn port(self, port: &Value) -> Option<u64> {
        let ports: Vec<_> =
            self.containers().into_iter().flat_map(|container| items(container.value, "/ports")).collect();
        let found = ports.into_iter().find(|found| match port {
            Value::String(name) => text(found, "/name") == name,
            number => &found["containerPort"] == number,
        });
        found?["containerPort"].as_u64()
    }
}

impl<'a> Container<'a> {
    pub(crate) fn name(self) -> &'a str {
        text(self.value, "/name")
    }

    /// How problems name it.
    pub(crate) fn place(self) -> String {
        format!("{} container {}", self.workload.object, self.name())
    }

    pub(crate) fn image(self) -> &'a str {
        text(self.value, "/image")
    }

    /// Command and arguments.
    pub(crate) fn words(self) -> Vec<&'a str> {
        ["/command", "/args"].into_iter().flat_map(|at| items(self.value, at)).filter_map(Value::as_str).collect()
    }

    pub(crate) fn variable(self, name: &str) -> Option<&'a Value> {
        items(self.value, "/env").iter().find(|variable| text(variable, "/name") == name)
    }

    /// The value of an environment variable, if it is written in the manifest.
    pub(crate) fn env(self, name: &str) -> Option<&'a str> {
        let variable = self.variable(name)?;
        if let Some(value) = variable["value"].as_str() {
            return Some(value);
        }
        let annotation = text(variable, "/valueFrom/fieldRef/fieldPath");
        let annotation = annotation.strip_prefix("metadata.annotations['")?.strip_suffix("']")?;
        self.workload.template["metadata"]["annotations"][annotation].as_str()
    }

    /// Where a path of the container comes from: the volume, and the rest of the path.
    pub(crate) fn volume_of<'p>(self, path: &'p str) -> Option<(&'a Value, &'p str)> {
        let mount = items(self.value, "/volumeMounts").iter().find_map(|mount| {
            let rest = path.strip_prefix(text(mount, "/mountPath"))?;
            let is_file = rest.is_empty() && !text(mount, "/subPath").is_empty();
            (is_file || rest.starts_with('/')).then(|| (text(mount, "/name"), rest.trim_start_matches('/')))
        });
        let (name, rest) = mount?;
        let volume = items(self.workload.pod(), "/volumes").iter().find(|volume| text(volume, "/name") == name)?;
        Some((volume, rest))
    }
}
