//! Artifacts as `spin registry push` writes them, made by hand: this host runs them. And what this host writes has what Spin looks for.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tests::programs;
use tests::registry::{MANIFEST, Registry, digest_of};

const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
const DATA: &str = "application/vnd.wasm.content.layer.v1+data";
const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
const WIT: &str = "bodega:test-greeter/greet@1.0.0";

/// Whose artifact is being made.
struct Artifact<'r> {
    registry: &'r Registry,
    layers: Vec<Value>,
}

impl Artifact<'_> {
    async fn layer(&mut self, media_type: &str, data: &[u8]) -> Value {
        self.layers.push(self.registry.push_blob("shop", media_type, data).await);
        json!({ "digest": digest_of(data) })
    }

    /// A component's code.
    async fn code(&mut self, guest: &str) -> Value {
        let wasm = fs::read(programs::component(guest)).expect("a guest");
        let mut content = self.layer(WASM, &wasm).await;
        content["content_type"] = "application/wasm".into();
        content
    }

    /// Pushes the application as the last layer, with the configuration that Spin writes.
    async fn push(mut self, app: &Value) -> Host {
        let document = app.to_string();
        self.layer(APPLICATION, document.as_bytes()).await;
        let config = json!({
            "architecture": "wasm", "os": "Wasip1", "rootfs": { "type": "layers", "diff_ids": [] },
            "config": { "Labels": { "com.fermyon.spin.lockedAppDigest": digest_of(document.as_bytes()) } },
        });
        let config = config.to_string();
        let config =
            self.registry.push_blob("shop", "application/vnd.oci.image.config.v1+json", config.as_bytes()).await;
        let annotations = json!({
            "org.opencontainers.image.title": "shop",
            "org.opencontainers.image.created": "2026-08-01T10:00:00.123456789+00:00",
        });
        // Spin's manifest does not say its own media type.
        let manifest =
            json!({ "schemaVersion": 2, "config": config, "layers": self.layers, "annotations": annotations });
        self.run(&manifest).await
    }

    async fn run(&self, manifest: &Value) -> Host {
        self.registry.push_manifest("shop", "1", manifest).await;
        App::at(PathBuf::from(self.registry.reference("shop:1"))).start().await
    }
}

/// What Spin writes of an application in any case.
fn locked(triggers: &[(&str, &str)], components: &Value) -> Value {
    let triggers = triggers.iter().map(|(component, route)| {
        json!({
            "id": format!("trigger--{component}"),
            "trigger_type": "http",
            "trigger_config": { "component": component, "executor": null, "route": route },
        })
    });
    json!({
        "spin_lock_version": 0,
        "metadata": {
            "authors": ["Ann"], "description": "", "name": "shop", "version": "0.1.0",
            "trigger": { "type": "http" }, "triggers": {},
        },
        "variables": { "colour": { "default": "blue" } },
        "triggers": triggers.collect::<Vec<_>>(),
        "components": components,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_spin_with_files_inline_and_in_layers() {
    let Some(registry) = Registry::start().await else { return };
    let mut artifact = Artifact { registry: &registry, layers: Vec::new() };
    let long = "long ".repeat(100);
    let (source, mut large) = (artifact.code("interfaces").await, artifact.layer(DATA, long.as_bytes()).await);
    large["path"] = "deep/long.txt".into();
    let small = json!({ "inline": STANDARD.encode("words"), "digest": digest_of(b"words"), "path": "words.txt" });
    let empty = json!({ "inline": "", "digest": digest_of(b""), "path": "empty.txt" });
    let app = locked(
        &[("interfaces", "/interfaces/...")],
        &json!([{
            "id": "interfaces",
            "metadata": {
                "allowed_outbound_hosts": ["https://example.com"],
                "build": { "command": "cargo build", "watch": ["src/**/*.rs"] },
                "key_value_stores": ["default"],
                "databases": ["default"],
            },
            "source": source,
            "env": { "SHOP": "north" },
            "files": [large, small, empty],
            "config": { "paint": "{{ colour }}!" },
        }]),
    );
    let host = artifact.push(&app).await;
    for (path, content) in [("words.txt", "words"), ("deep/long.txt", &long), ("empty.txt", "")] {
        let file = host.json(&format!("/interfaces/files?path={path}")).await;
        assert_eq!(file["content"], content, "{file}");
    }
    assert_eq!(host.json("/interfaces/variables?name=paint").await, json!({ "value": "blue!" }));
    let stored = host.json("/interfaces/key-value?label=default").await;
    assert_eq!(stored["word"], "second", "{stored}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_spin_whose_files_are_in_an_archive() {
    let Some(registry) = Registry::start().await else { return };
    let mut artifact = Artifact { registry: &registry, layers: Vec::new() };
    let long = "long ".repeat(100);
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("deep")).expect("writable");
    fs::write(folder.path().join("deep/long.txt"), &long).expect("writable");
    fs::write(folder.path().join("words.txt"), "words").expect("writable");
    let archive = Command::new("tar").args(["-czf", "-", "-C"]).arg(folder.path()).arg(".").output().expect("tar");
    let source = artifact.code("interfaces").await;
    artifact.layer(ARCHIVE, &archive.stdout).await;
    let app = locked(
        &[("interfaces", "/interfaces/...")],
        &json!([{
            "id": "interfaces",
            "source": source,
            "files": [
                { "digest": digest_of(long.as_bytes()), "path": "deep/long.txt" },
                { "inline": STANDARD.encode("words"), "digest": digest_of(b"words"), "path": "words.txt" },
            ],
        }]),
    );
    let host = artifact.push(&app).await;
    for (path, content) in [("words.txt", "words"), ("deep/long.txt", &long)] {
        let file = host.json(&format!("/interfaces/files?path={path}")).await;
        assert_eq!(file["content"], content, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_of_spin_with_dependencies_in_layers_of_their_own() {
    let Some(registry) = Registry::start().await else { return };
    let mut artifact = Artifact { registry: &registry, layers: Vec::new() };
    let (source, dependency) = (artifact.code("greeting").await, artifact.code("greeter").await);
    let mut app = locked(
        &[("greeting", "/greeting/...")],
        &json!([{
            "id": "greeting",
            "metadata": { "allowed_outbound_hosts": ["http://greeting.spin.internal"] },
            "source": source,
            "dependencies": { WIT: { "source": dependency, "export": null } },
            "host_requirements": { "local_service_chaining": "required" },
        }]),
    );
    app["spin_lock_version"] = 1.into();
    app["must_understand"] = json!(["component_host_requirements"]);
    let host = artifact.push(&app).await;
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_artifact_has_the_application_as_its_configuration() {
    let Some(registry) = Registry::start().await else { return };
    let mut artifact = Artifact { registry: &registry, layers: Vec::new() };
    let source = artifact.code("hello").await;
    let mut app = locked(&[("hello", "/hello/...")], &json!([{ "id": "hello", "source": source }]));
    let metadata = app["metadata"].as_object_mut().expect("a map");
    metadata.remove("triggers");
    metadata.insert("trigger".to_owned(), json!({ "type": "http", "base": "/" }));
    let config = registry.push_blob("shop", APPLICATION, app.to_string().as_bytes()).await;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": artifact.layers });
    let host = artifact.run(&manifest).await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_we_push_has_all_that_spin_looks_for() {
    let Some(registry) = Registry::start().await else { return };
    let dependencies = format!("[component.greeting.dependencies]\n\"{WIT}\" = {{ component = \"greeter\" }}");
    let app = App::new()
        .file("words.txt", "words ".repeat(100))
        .guest("greeting", &format!("files = [\"words.txt\"]\n{dependencies}"))
        .append(&format!("[component.greeter]\nsource = {:?}", programs::component("greeter")));
    let pushed = app.command_on_it("push", &[&registry.reference("shop:1")]).await.expect("it runs");
    assert!(pushed.status.success(), "{pushed:?}");
    let (manifest, _) = registry.manifest("shop", "1").await;
    let layers = manifest["layers"].as_array().expect("layers");
    let document = layers.iter().find(|layer| layer["mediaType"] == APPLICATION).expect("the application");
    assert_eq!(layers.last(), Some(document));
    let digest = document["digest"].as_str().expect("a digest");
    let app: Value = serde_json::from_slice(&registry.blob("shop", digest).await).expect("JSON");
    assert_eq!(app["spin_lock_version"], 0);
    let config = registry.blob("shop", manifest["config"]["digest"].as_str().expect("a digest")).await;
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(config["config"]["Labels"]["com.fermyon.spin.lockedAppDigest"], digest);

    // Spin takes the code of each component out of its cache by the digest, which it has from a layer of this media type.
    let component = &app["components"][0];
    assert_eq!((&component["id"], component.get("dependencies")), (&json!("greeting"), None));
    let code = component["source"]["digest"].as_str().expect("a digest");
    assert!(layers.iter().any(|layer| layer["digest"] == code && layer["mediaType"] == WASM), "{manifest}");
    let wasm = registry.blob("shop", code).await;
    assert!(wasm.starts_with(b"\0asm\x0d\0\x01\0"), "a component");
    let file = &component["files"][0];
    assert_eq!(file["path"], "words.txt");
    assert!(layers.iter().any(|layer| layer["digest"] == file["digest"] && layer["mediaType"] == DATA), "{manifest}");

    // The component is whole: it answers without what it was made of.
    let whole = App::new().file("greeting.wasm", wasm);
    let source = whole.folder().join("greeting.wasm");
    let host = whole.component("greeting", "\"/greeting/...\"", &source, "").start().await;
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
}
