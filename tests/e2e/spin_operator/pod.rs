//! The container that spin-operator makes of a SpinApp whose executor has a `spinImage`: `constructDeployment` and
//! `ConstructEnvForApp` of its internal/controller. It sets no command, security context, startup probe, preStop hook or grace period.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::app::App;
use tests::{image, programs};

/// The value of every key of the Secret `bodega-secrets`.
pub(super) const SECRET: &str = "6f1c0e5f8f9b4a53b1b9c7a9e0f1d2c36f1c0e5f8f9b4a53b1b9c7a9e0f1d2c3";
const OVERLAY: &str = "k8s/overlays/spinkube";
/// The operator's `DefaultHTTPPort`.
const PORT: u16 = 80;
/// Where the operator mounts the Secret with the runtime configuration.
const RUNTIME_CONFIG: &str = "/runtime-config.toml";

/// A SpinApp's container.
pub(super) struct Pod {
    name: String,
    spec: Value,
    executor: Value,
}

impl Pod {
    /// The one of the SpinApp of this name.
    pub(super) fn of(name: &str) -> Self {
        let [mut app] = documents(&overlay(&format!("{name}.yaml"))).try_into().expect("one document");
        let [every] = documents(&overlay("app.yaml")).try_into().expect("one document");
        merge(&mut app["spec"], &every["spec"]);
        let executors = documents(&overlay("executors.yaml"));
        let executor = executors.into_iter().find(|executor| executor["metadata"]["name"] == app["spec"]["executor"]);
        assert_eq!(app["metadata"]["name"], name);
        let executor = executor.expect("the executor that the app names")["spec"]["deploymentConfig"].take();
        Self { name: name.to_owned(), spec: app["spec"].take(), executor }
    }

    /// The command line.
    fn arguments(&self) -> Vec<String> {
        assert!(
            self.executor["spinImage"].as_str().is_some_and(|image| image.starts_with("ghcr.io/bodega-shop/bodega:"))
        );
        let image = self.spec["image"].as_str().expect("an image");
        let listen = format!("0.0.0.0:{PORT}");
        let mut arguments = ["up", "--listen", &listen, "-f", image, "--runtime-config-file", RUNTIME_CONFIG]
            .map(str::to_owned)
            .to_vec();
        for component in self.components() {
            arguments.extend(["--component-id".to_owned(), component]);
        }
        arguments
    }

    /// What the operator adds to the environment of the image.
    fn environment(&self) -> Vec<(String, String)> {
        let variables = self.spec["variables"].as_array().expect("variables");
        let variable = |variable: &Value| {
            let name = variable["name"].as_str().expect("a name").to_ascii_uppercase();
            value_of(variable).map(|value| (format!("SPIN_VARIABLE_{name}"), value))
        };
        let mut environment: Vec<_> = variables.iter().filter_map(variable).collect();
        environment.push(("SPIN_HTTP_LISTEN_ADDR".to_owned(), format!("0.0.0.0:{PORT}")));
        environment.push(("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), "http://collector.observability:4318".to_owned()));
        environment.push(("SPIN_COMPONENTS_TO_RETAIN".to_owned(), self.components().join(",")));
        environment
    }

    fn components(&self) -> Vec<String> {
        let list = self.spec["components"].as_array().expect("components");
        list.iter().map(|id| id.as_str().expect("an id").to_owned()).collect()
    }

    /// The paths of the probes.
    pub(super) fn probes(&self) -> Vec<String> {
        let liveness = self.spec["checks"]["liveness"]["httpGet"]["path"].as_str().expect("a path");
        vec![self.readiness(), liveness.to_owned()]
    }

    /// The path of the readiness probe.
    pub(super) fn readiness(&self) -> String {
        self.spec["checks"]["readiness"]["httpGet"]["path"].as_str().expect("a path").to_owned()
    }

    /// The host as the container's only process. Only what a test cannot have is another one: ports are free ones, the artifact is the
    /// manifest that it is made of, databases are files, and what is mounted is in the test's folder.
    pub(super) fn app(&self) -> App {
        let mut app = App::at(programs::repository().join("spin.toml"));
        let folder = app.folder().to_owned();
        app = app.file("runtime-config.toml", runtime_config(&folder));
        let mut mounts = vec![(RUNTIME_CONFIG.to_owned(), folder.join("runtime-config.toml"))];
        for mount in self.spec["volumeMounts"].as_array().expect("mounts") {
            let (place, content) =
                (folder.join("mounts").join(text(&mount["name"])), self.volume(text(&mount["name"])));
            fs::create_dir_all(&place).expect("the folder is writable");
            for (file, content) in content {
                fs::write(place.join(file), content).expect("the folder is writable");
            }
            mounts.push((text(&mount["mountPath"]).to_owned(), place));
        }
        let mounted = |value: &str| {
            let mount = mounts.iter().find_map(|(at, place)| Some((place, value.strip_prefix(at.as_str())?)));
            mount.map_or(value.to_owned(), |(place, rest)| format!("{}{rest}", place.display()))
        };

        let mut arguments = self.arguments().into_iter();
        assert_eq!(arguments.next().as_deref(), Some("up"));
        while let (Some(option), Some(value)) = (arguments.next(), arguments.next()) {
            // These two the harness has for every app.
            if option != "--listen" && option != "-f" {
                app = app.argument(option).argument(mounted(&value));
            }
        }
        for (name, value) in image::environment().into_iter().chain(self.environment()) {
            app = app.environment(&name, mounted(&value));
        }
        app
    }

    /// The files of a volume.
    fn volume(&self, name: &str) -> Vec<(String, String)> {
        let volumes = self.spec["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == name).expect("the volume that is mounted");
        if !volume["emptyDir"].is_null() {
            return Vec::new();
        }
        assert_eq!(volume["configMap"]["name"], "bodega-gateways", "of {}: {volume}", self.name);
        let items = volume["configMap"]["items"].as_array().expect("items");
        let item = |item: &Value| {
            let file = programs::repository().join("k8s/base/gateways").join(text(&item["key"]));
            (text(&item["path"]).to_owned(), fs::read_to_string(file).expect("a key of the ConfigMap"))
        };
        items.iter().map(item).collect()
    }
}

/// The requests that the manifest has our host send to the service by itself.
pub(super) fn sweeps(service: &str) -> Vec<String> {
    let manifest = fs::read_to_string(programs::repository().join("spin.toml")).expect("the manifest is readable");
    let table = manifest.split_once(&format!("[component.{service}.tool.bodega]")).expect("it has settings").1;
    let table = table.split_once(&format!("[component.{service}.build]")).expect("they end").0;
    let lines = table.lines().filter(|line| line.contains("every = "));
    let path = |line: &str| Some(line.split_once("path = \"")?.1.split_once('"')?.0.to_owned());
    let paths: Vec<String> = lines.filter_map(path).collect();
    assert!(!paths.is_empty(), "{service} has a schedule");
    paths
}

/// What the Secret `bodega-runtime-config` has, with files in place of servers.
fn runtime_config(folder: &Path) -> String {
    let databases = ["auth", "catalog", "orders", "payments", "shipping"].map(|label| {
        let path = folder.join(format!("{label}.db"));
        format!("[sqlite_database.{label}]\ntype = \"spin\"\npath = {path:?}\n")
    });
    let carts = format!("[key_value_store.cart]\ntype = \"spin\"\npath = {:?}\n", folder.join("cart.db"));
    format!("{}{carts}[[config_provider]]\ntype = \"env\"\n", databases.concat())
}

/// A variable's value: given, of a key of the ConfigMap, or of a key of the Secret.
fn value_of(variable: &Value) -> Option<String> {
    if let Some(value) = variable["value"].as_str() {
        return Some(value.to_owned());
    }
    let (map, secret) = (&variable["valueFrom"]["configMapKeyRef"], &variable["valueFrom"]["secretKeyRef"]);
    if let Some(key) = map["key"].as_str() {
        assert_eq!(map["name"], "bodega-variables");
        let file = fs::read_to_string(programs::repository().join("k8s/base/variables.env")).expect("it is readable");
        let value = file.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        return Some(value.unwrap_or_else(|| panic!("{key} is not in variables.env")).to_owned());
    }
    assert_eq!(secret["name"], "bodega-secrets", "{variable}");
    // What need not be there is not there.
    (secret["optional"] != true).then(|| SECRET.to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn overlay(file: &str) -> PathBuf {
    programs::repository().join(OVERLAY).join(file)
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Maps are merged, as kustomize does it with a patch; there are no lists on both sides.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}
