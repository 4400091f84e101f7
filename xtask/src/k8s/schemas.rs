//! Each resource is what its kind may be: as Kubernetes has it, as its definition has it, or as is written here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::object::{Object, parse, text};
use crate::problem::Problems;
use crate::render::{output_if_installed, root};

/// The Kubernetes whose schemas hold.
const KUBERNETES: &str = "1.34";
/// Where the definitions of other kinds are, where they are there; from the root of the repository.
const DEFINITIONS: &str = "../shared/data/crds";
const VALIDATE_ADVICE: &str = "kubernetes-validate is needed; the PyPI package of that name has it";

/// Kinds without a schema at hand, and the fields that we rely on.
const BY_HAND: [(&str, &[&str]); 6] = [
    // Gateway API is installed with its definitions by whoever runs the Gateway.
    ("gateway.networking.k8s.io/v1/HTTPRoute", &["/spec/parentRefs/0/name", "/spec/rules/0/backendRefs/0/name"]),
    // External Secrets Operator.
    (
        "external-secrets.io/v1/ExternalSecret",
        &["/spec/secretStoreRef/name", "/spec/target/name", "/spec/data/0/secretKey"],
    ),
    // Prometheus Operator.
    ("monitoring.coreos.com/v1/PodMonitor", &["/spec/selector", "/spec/podMetricsEndpoints/0/port"]),
    ("monitoring.coreos.com/v1/PrometheusRule", &["/spec/groups/0/name", "/spec/groups/0/rules/0/expr"]),
    // Argo CD.
    ("argoproj.io/v1alpha1/Application", &["/spec/project", "/spec/destination/server", "/spec/syncPolicy/automated"]),
    ("argoproj.io/v1alpha1/ApplicationSet", &["/spec/generators/0", "/spec/template/spec/project"]),
];

/// The schemas that are at hand.
pub(crate) struct Schemas {
    /// By `group/version/kind`.
    definitions: BTreeMap<String, Value>,
}

impl Schemas {
    /// Reads the definitions, if there are any.
    pub(crate) fn read() -> Result<Self> {
        let folder = root().join(DEFINITIONS);
        if !folder.is_dir() {
            println!("   definitions of SpinKube's and Flagger's kinds: skipped, since {DEFINITIONS} is not there");
            return Ok(Self { definitions: BTreeMap::new() });
        }
        let mut definitions = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                self::definitions(&path, &mut definitions).with_context(|| path.display().to_string())?;
            }
        }
        Ok(Self { definitions })
    }

    /// Finds what is wrong with resources, each for itself.
    pub(crate) fn check(&self, objects: &[Object], problems: &mut Problems) -> Result<()> {
        let (native, custom): (Vec<_>, Vec<_>) = objects.iter().partition(|object| is_native(object));
        validate(&native, problems)?;
        for object in custom {
            self.custom(object, problems);
        }
        Ok(())
    }

    fn custom(&self, object: &Object, problems: &mut Problems) {
        let kind = format!("{}/{}", object.text("/apiVersion"), object.kind());
        if let Some(schema) = self.definitions.get(&kind) {
            match jsonschema::validator_for(schema) {
                Ok(validator) => {
                    for error in validator.iter_errors(&object.0) {
                        problems.add(object, format!("{}: {error}", error.instance_path()));
                    }
                }
                Err(error) => problems.add(object, format!("the definition of its kind is no schema: {error}")),
            }
        } else if let Some((_, fields)) = BY_HAND.iter().find(|(known, _)| *known == kind) {
            for field in fields.iter().filter(|field| object.at(field).is_null()) {
                problems.add(object, format!("has no {field}"));
            }
        } else if !self.definitions.is_empty() || !is_defined_elsewhere(object) {
            problems.add(object, format!("there is no schema for {kind}"));
        }
    }
}

/// Kinds whose definitions are only where [`DEFINITIONS`] is.
fn is_defined_elsewhere(object: &Object) -> bool {
    matches!(object.group(), "core.spinkube.dev" | "flagger.app" | "argoproj.io")
}

/// Whether every Kubernetes has the kind.
fn is_native(object: &Object) -> bool {
    let group = object.group();
    !group.contains('.') || (group.ends_with(".k8s.io") && group != "gateway.networking.k8s.io")
}

/// Has `kubernetes-validate` look at resources of Kubernetes' own kinds. It knows no unknown field in its strict schemas.
fn validate(objects: &[&Object], problems: &mut Problems) -> Result<()> {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    for object in objects {
        writeln!(file, "---\n{}", object.0)?;
    }
    file.flush()?;
    let mut command = Command::new("kubernetes-validate");
    command.args(["--kubernetes-version", KUBERNETES, "--strict", "--quiet"]).arg(file.path());
    let Some(output) = output_if_installed(&mut command)? else {
        ensure!(std::env::var_os("CI").is_none(), VALIDATE_ADVICE);
        println!("   schemas of Kubernetes: skipped; {VALIDATE_ADVICE}");
        return Ok(());
    };
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let path = file.path().display().to_string();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        problems.add("schemas", line.replace(&path, "").trim());
    }
    ensure!(output.status.success() || !printed.is_empty(), "kubernetes-validate failed ({})", output.status);
    Ok(())
}

/// The schemas of a file of CustomResourceDefinitions.
fn definitions(path: &Path, definitions: &mut BTreeMap<String, Value>) -> Result<()> {
    for definition in parse(&fs::read_to_string(path)?)? {
        let (group, kind) = (definition.text("/spec/group"), definition.text("/spec/names/kind"));
        for version in definition.items("/spec/versions") {
            let mut schema = version["schema"]["openAPIV3Schema"].clone();
            close(&mut schema);
            // Its metadata are checked by the server and not by the definition.
            schema["properties"]["metadata"] = json!({"type": "object"});
            definitions.insert(format!("{group}/{}/{kind}", text(version, "/name")), schema);
        }
    }
    Ok(())
}

/// Kubernetes drops what a definition does not list; here it is a mistake.
fn close(schema: &mut Value) {
    if schema["x-kubernetes-int-or-string"] == true {
        // It has no type, so anything would do.
        *schema = json!({"type": ["integer", "string"]});
        return;
    }
    let is_open = schema["x-kubernetes-preserve-unknown-fields"] == true || !schema["additionalProperties"].is_null();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(close);
        if !is_open {
            schema["additionalProperties"] = Value::Bool(false);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner).filter(|inner| inner.is_object()) {
            close(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(schemas: &Schemas, yaml: &str) -> Vec<String> {
        let mut problems = Problems::default();
        parse(yaml).unwrap().iter().for_each(|object| schemas.custom(object, &mut problems));
        problems.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn definitions_know_their_fields_and_no_others() {
        let mut schema = json!({"properties": {
            "spec": {"type": "object", "required": ["image"], "properties": {
                "image": {"type": "string"},
                "limits": {"type": "object", "additionalProperties": {"x-kubernetes-int-or-string": true}},
                "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {}},
            }},
            "apiVersion": {}, "kind": {}, "metadata": {},
        }});
        close(&mut schema);
        let schemas = Schemas { definitions: BTreeMap::from([("x.dev/v1/App".to_owned(), schema)]) };
        let app = |spec: &str| {
            found(&schemas, &format!("{{apiVersion: x.dev/v1, kind: App, metadata: {{name: a}}, spec: {spec}}}"))
        };
        assert_eq!(app("{image: a, limits: {cpu: 1, memory: 1Gi}, anything: {goes: 1}}"), Vec::<String>::new());
        assert_eq!(
            app("{image: a, imgae: b}"),
            ["App/a: /spec: Additional properties are not allowed ('imgae' was unexpected)"]
        );
        assert_eq!(app("{image: a, limits: {cpu: []}}").len(), 1);
        assert_eq!(app("{}"), ["App/a: /spec: \"image\" is a required property"]);
    }

    #[test]
    fn kinds_without_a_schema_have_the_fields_that_we_rely_on() {
        let schemas = Schemas { definitions: BTreeMap::from([("x.dev/v1/App".to_owned(), json!({}))]) };
        let route = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: a}, spec: {parentRefs: [{name: g}]}}";
        assert_eq!(found(&schemas, route), ["HTTPRoute/a: has no /spec/rules/0/backendRefs/0/name"]);
        let unknown = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRouet, metadata: {name: a}}";
        assert_eq!(
            found(&schemas, unknown),
            ["HTTPRouet/a: there is no schema for gateway.networking.k8s.io/v1/HTTPRouet"]
        );
    }

    #[test]
    fn resources_of_kubernetes_are_what_their_kind_may_be() {
        if std::env::var_os("CI").is_none() && Command::new("kubernetes-validate").arg("--version").output().is_err() {
            return eprintln!("skipped: {VALIDATE_ADVICE}");
        }
        let objects = parse(
            "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {prots: []}}\n---\n\
             {apiVersion: apps/v1, kind: Deploymnt, metadata: {name: b}}\n",
        );
        let mut problems = Problems::default();
        validate(&objects.unwrap().iter().collect::<Vec<_>>(), &mut problems).unwrap();
        let found: Vec<_> = problems.0.iter().map(|problem| &problem.what).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("service/a") && found[0].contains("'prots' was unexpected"), "{found:?}");
        assert!(found[1].contains("kind Deploymnt"), "{found:?}");
    }
}
