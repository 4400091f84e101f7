//! Containers of an overlay's Deployments as processes. Only what a test cannot have is another one: addresses, the artifact, which is
//! the manifest that it is made of, and the stores, which are files.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::app::App;
use tests::host::Host;
use tests::programs;

const SERVICES: [&str; 6] = ["auth", "cart", "catalog", "orders", "payments", "shipping"];
const EDGE: &str = "edge";
/// Settings that the harness has for every app, or for which there are files here.
const SETTINGS: [&str; 5] =
    ["BODEGA_FROM", "BODEGA_STATE_DIR", "SPIN_HTTP_LISTEN_ADDR", "BODEGA_ADMIN_LISTEN", "RUNTIME_CONFIG_FILE"];

/// What an overlay renders to.
pub(super) struct Overlay(Vec<Value>);

/// The running services.
pub(super) struct Pods(Vec<(&'static str, Host)>);

impl Overlay {
    /// Renders an overlay, with the Secrets that are made for it. Nothing without `kubectl`, which must be there in CI.
    pub(super) fn render(name: &str) -> Option<Self> {
        let k8s = programs::repository().join("k8s");
        let rendered = Command::new("kubectl").arg("kustomize").arg(k8s.join("overlays").join(name)).output();
        let Ok(rendered) = rendered else {
            assert!(env::var_os("CI").is_none(), "kubectl is needed");
            eprintln!("skipped: kubectl is not installed");
            return None;
        };
        assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
        let secrets = Command::new(k8s.join("make-secrets")).output().expect("the script runs");
        let parse = |bytes: &[u8]| -> Vec<Value> {
            let text = std::str::from_utf8(bytes).expect("text");
            serde_saphyr::from_multiple(text).expect("YAML")
        };
        Some(Self([parse(&rendered.stdout), parse(&secrets.stdout)].concat()))
    }

    fn find(&self, kind: &str, name: &str) -> &Value {
        let mut all = self.0.iter();
        let found = all.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    fn pod(&self, name: &str) -> &Value {
        &self.find("Deployment", name)["spec"]["template"]["spec"]
    }

    fn container(&self, name: &str) -> &Value {
        &self.pod(name)["containers"][0]
    }

    /// The paths of the probes of a Deployment.
    pub(super) fn probes(&self, name: &str) -> [String; 3] {
        let path = |probe: &str| text(&self.container(name)[probe]["httpGet"]["path"]).to_owned();
        ["startupProbe", "readinessProbe", "livenessProbe"].map(path)
    }

    /// The memory that a Deployment's container requests, and its limit.
    pub(super) fn memory_bytes(&self, name: &str) -> (u64, u64) {
        let bytes = |kind: &str| {
            let amount = text(&self.container(name)["resources"][kind]["memory"]);
            amount.strip_suffix("Mi").expect("MiB").parse::<u64>().expect("a number") << 20
        };
        (bytes("requests"), bytes("limits"))
    }

    /// The environment of a container.
    fn environment(&self, name: &str) -> Vec<(String, String)> {
        let container = self.container(name);
        let mut environment = Vec::new();
        for source in container["envFrom"].as_array().into_iter().flatten() {
            let map = &self.find("ConfigMap", text(&source["configMapRef"]["name"]))["data"];
            let pairs = map.as_object().expect("texts by name").iter();
            environment.extend(
                pairs.map(|(key, value)| (format!("{}{key}", text(&source["prefix"])), text(value).to_owned())),
            );
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            let from = &variable["valueFrom"]["secretKeyRef"];
            let value = match &variable["value"] {
                Value::String(value) => value.clone(),
                // What need not be there is not there.
                _ if from["optional"] == true || from.is_null() => continue,
                _ => text(&self.find("Secret", text(&from["name"]))["stringData"][text(&from["key"])]).to_owned(),
            };
            environment.push((text(&variable["name"]).to_owned(), value));
        }
        environment.retain(|(name, _)| !SETTINGS.contains(&name.as_str()));
        environment
    }

    /// The content of a file that a ConfigMap gives to a container.
    fn file(&self, name: &str, path: &str) -> &str {
        let path = Path::new(path);
        let (folder, file) = (path.parent().expect("a folder"), path.file_name().expect("a file").to_string_lossy());
        let mounts = self.container(name)["volumeMounts"].as_array().expect("mounts");
        let mount = mounts.iter().find(|mount| Path::new(text(&mount["mountPath"])) == folder).expect("a mount");
        let volumes = self.pod(name)["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("the volume");
        text(&self.find("ConfigMap", text(&volume["configMap"]["name"]))["data"][&*file])
    }

    /// A host as the container of a Deployment, with others where `addresses` says.
    fn app(&self, name: &str, addresses: &BTreeMap<&str, String>, jwks: &str) -> App {
        let places = |text: &str| {
            let mut text = text.to_owned();
            for (service, address) in addresses {
                text = text.replace(&format!("http://{service}-pods:8080"), &format!("http://{address}"));
                text = text.replace(&format!("http://{service}/"), &format!("http://{address}/"));
                if text == format!("http://{service}") {
                    text = format!("http://{address}");
                }
            }
            text
        };
        let arguments = self.container(name)["args"].as_array().expect("arguments").iter().map(text);
        let arguments: Vec<_> = arguments.map(|word| word.split_once('=').unwrap_or((word, ""))).collect();
        assert_eq!(arguments[0], ("up", ""));
        let from = arguments.iter().find(|(option, _)| *option == "--from").map(|(_, path)| self.file(name, path));
        let mut app = match from {
            Some(manifest) => App::from_manifest(manifest),
            None => App::at(programs::repository().join("spin.toml")),
        };
        for (option, value) in arguments.into_iter().skip(1).filter(|(option, _)| *option != "--from") {
            app = match option {
                "--gateway" => {
                    let folder = app.folder().join("mounted.toml");
                    app.file("mounted.toml", places(self.file(name, value)))
                        .argument(option)
                        .argument(folder.to_str().expect("UTF-8"))
                }
                _ => app.argument(option).argument(value),
            };
        }
        for (variable, value) in self.environment(name) {
            app = app.environment(&variable, places(&value));
        }
        if name != EDGE {
            let stores = stores(app.folder());
            app = app.runtime_config(&stores).environment("SPIN_VARIABLE_JWKS", jwks);
        }
        app.listen(&addresses[name])
    }
}

impl Pods {
    /// Starts all services, which trust the keys of the test as well, and the edge.
    pub(super) async fn start(overlay: &Overlay, jwks: &str) -> (Self, Host) {
        // Each test has addresses of its own on the loopback interface, so that the ports can be those of the pods.
        let [high, low] = [std::process::id() / 250 % 250, std::process::id() % 250];
        let names = SERVICES.into_iter().chain([EDGE]);
        let addresses =
            names.enumerate().map(|(number, name)| (name, format!("127.{}.{low}.{}:8080", high + 1, number + 1)));
        let addresses: BTreeMap<_, _> = addresses.collect();
        let mut services = Vec::new();
        for name in SERVICES {
            services.push((name, overlay.app(name, &addresses, jwks).start().await));
        }
        (Self(services), overlay.app(EDGE, &addresses, jwks).start().await)
    }

    /// All of them by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Host)> {
        self.0.iter().map(|(name, host)| (*name, host))
    }
}

/// The stores of one service as files.
fn stores(folder: &Path) -> String {
    let store = |kind: &str, label: &str| {
        format!("[{kind}.{label}]\ntype = \"spin\"\npath = {:?}\n", folder.join(format!("{label}.db")))
    };
    let databases = ["auth", "catalog", "orders", "payments", "shipping"].map(|label| store("sqlite_database", label));
    databases.concat() + &store("key_value_store", "cart")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text, and not {value}"))
}
