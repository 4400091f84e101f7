//! What is pushed, field by field as Spin's loader reads it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::layers::{Layer, digest_of};
use super::push::Image;
use super::*;
use crate::manifest;

/// The shortest wasm component, with something in it that tells it from others.
pub(super) fn wasm(text: &str) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", text.as_bytes()].concat()
}

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
version = "0.1.0"
description = "A shop"
authors = ["Ann", "Bob"]
[application.tool.bodega]
deadline_ms = 5000
demo = [{ file = "data/demo.jsonl", post = "/import", content_type = "application/x-ndjson" }]
[application.tool.other]
ours = "not"
[variables]
url = { default = "http://cart.spin.internal", description = "Where" }
key = { required = true, secret = true }
[[trigger.http]]
route = "/api/..."
component = "api"
[[trigger.http]]
route = "/fixed"
static_response = { status_code = 201, body = "yes" }
[[trigger.http]]
id = "inner"
route = { private = true }
component = { source = "inner.wasm", tool = { bodega = { instances_max = 3 } } }
[component.api]
description = "The API"
source = "api.wasm"
files = [{ source = "site", destination = "/" }]
exclude_files = ["site/*.draft"]
environment = { MODE = "fast" }
variables = { url = "{{ url }}/x" }
allowed_outbound_hosts = ["http://calc.spin.internal", "{{ url }}"]
key_value_stores = ["default"]
sqlite_databases = ["orders"]
[component.api.dependencies]
"shop:calc/sums@1.0.0" = { component = "calc" }
"shop:text/upper@1.0.0" = { path = "text.wasm", export = "shop:text/shout@1.0.0", inherit_configuration = ["environment"] }
[component.api.tool.bodega]
schedule = [{ every = "5s", path = "/sweep", headers = { x-key = "{{ key }}" } }]
[component.api.build]
command = "make"
[component.calc]
source = "calc.wasm"
"#;

/// An application with files, some of which are nobody's business.
fn application() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("spin.toml", MANIFEST.as_bytes()),
        ("gateway.toml", b"[all]\nsecurity_headers = true\n"),
        ("api.wasm", &wasm("api")),
        ("inner.wasm", &wasm("inner")),
        ("calc.wasm", &wasm("calc")),
        ("text.wasm", &wasm("text")),
        ("data/demo.jsonl", &[b'd'; 200]),
        ("site/index.html", b"hi"),
        ("site/big.html", &[b'b'; 200]),
        ("site/deep/big.html", &[b'b'; 200]),
        ("site/page.draft", b"draft"),
        ("site/.env", b"SECRET=1"),
        ("site/state/token", b"secret"),
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn locked(folder: &Path, compose: Option<Compose<'_>>) -> Locked {
    let manifest = manifest::load(&folder.join("spin.toml")).unwrap();
    let gateway = folder.join("gateway.toml");
    lock(&manifest, compose, Some(&gateway), &[folder.join("site/state")]).unwrap()
}

fn content(data: &[u8]) -> Value {
    let mut content = json!({ "digest": digest_of(data) });
    if data.len() <= 128 {
        content["inline"] = STANDARD.encode(data).into();
    }
    content
}

fn code(data: &[u8]) -> Value {
    let mut code = content(data);
    code["content_type"] = "application/wasm".into();
    code
}

fn file(path: &str, data: &[u8]) -> Value {
    let mut file = content(data);
    file["path"] = path.into();
    file
}

#[test]
fn the_locked_application_has_what_spin_reads_and_our_settings_beside_it() {
    let folder = application();
    let locked = locked(folder.path(), None);
    let text = serde_json::to_value(&locked.app).unwrap();
    assert_eq!(text["spin_lock_version"], 1);
    assert_eq!(text["must_understand"], json!(["component_host_requirements"]));
    assert_eq!(
        text["metadata"],
        json!({
            "name": "shop", "version": "0.1.0", "description": "A shop", "authors": ["Ann", "Bob"],
            "trigger": { "type": "http" }, "triggers": {},
            "bodega": {
                "tool": {
                    "deadline_ms": 5000,
                    "demo": [{ "file": "demo/0/demo.jsonl", "post": "/import", "content_type": "application/x-ndjson" }],
                },
                "files": [
                    file("gateway.toml", b"[all]\nsecurity_headers = true\n"),
                    file("demo/0/demo.jsonl", &[b'd'; 200]),
                ],
            },
        })
    );
    assert_eq!(
        text["variables"],
        json!({
            "url": { "default": "http://cart.spin.internal", "description": "Where" },
            "key": { "secret": true },
        })
    );
    assert_eq!(
        text["triggers"],
        json!([
            { "id": "api-http-trigger", "trigger_type": "http",
              "trigger_config": { "component": "api", "route": "/api/..." } },
            { "id": "http-trigger1", "trigger_type": "http",
              "trigger_config": { "route": "/fixed", "static_response": { "status_code": 201, "body": "yes" } } },
            { "id": "inner", "trigger_type": "http",
              "trigger_config": { "component": "inner-component", "route": { "private": true } } },
        ])
    );
    assert_eq!(
        text["components"][0],
        json!({
            "id": "api",
            "metadata": {
                "description": "The API",
                "allowed_outbound_hosts": ["http://calc.spin.internal", "{{ url }}"],
                "key_value_stores": ["default"],
                "databases": ["orders"],
                "bodega": {
                    "tool": { "schedule": [{ "every": "5s", "path": "/sweep", "headers": { "x-key": "{{ key }}" } }] },
                    "dependencies": { "shop:calc/sums@1.0.0": "calc" },
                },
            },
            "source": code(&wasm("api")),
            "env": { "MODE": "fast" },
            "files": [
                file("big.html", &[b'b'; 200]), file("deep/big.html", &[b'b'; 200]), file("index.html", b"hi"),
            ],
            "config": { "url": "{{ url }}/x" },
            "dependencies": {
                "shop:calc/sums@1.0.0": { "source": code(&wasm("calc")), "export": null },
                "shop:text/upper@1.0.0": {
                    "source": code(&wasm("text")),
                    "export": "shop:text/shout@1.0.0",
                    "inherit": { "Some": ["environment"] },
                },
            },
            "host_requirements": { "local_service_chaining": "required" },
        })
    );
    assert_eq!(text["components"][2]["metadata"]["bodega"], json!({ "tool": { "instances_max": 3 } }));
    let withheld: Vec<_> = locked.withheld.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(withheld.len(), 2);
    assert!(withheld.contains(&".env") && withheld.contains(&"token"), "{withheld:?}");
}

#[test]
fn the_image_is_one_that_registries_and_spin_take() {
    let folder = application();
    let given = [("org.opencontainers.image.version".to_owned(), "2".to_owned()), ("by".to_owned(), "ci".to_owned())];
    let image = || Image::new(locked(folder.path(), None), given.clone().into()).unwrap();
    let Image { layers, config, manifest } = image();
    let again = image();
    assert_eq!((&config, &manifest), (&again.config, &again.manifest), "the same application has the same digest");
    let kinds: Vec<_> = layers.iter().map(|layer| layer.media_type).collect();
    // Equal files are there once, and small ones in the document only.
    assert_eq!(
        kinds,
        [
            media_type::WASM,
            media_type::WASM,
            media_type::WASM,
            media_type::DATA,
            media_type::WASM,
            media_type::DATA,
            media_type::APPLICATION
        ]
    );
    let document = layers.last().unwrap();
    let config_text: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config_text["architecture"], &config_text["os"]), (&json!("wasm"), &json!("Wasip1")));
    assert_eq!(config_text["config"], json!({ "Labels": { "com.fermyon.spin.lockedAppDigest": document.digest } }));
    assert_eq!(config_text.get("created"), None);
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(
        manifest,
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(&config),
                "size": config.len(),
            },
            "layers": layers.iter().map(|Layer { media_type, digest, data }| {
                json!({ "mediaType": media_type, "digest": digest, "size": data.len() })
            }).collect::<Vec<_>>(),
            "annotations": {
                "org.opencontainers.image.title": "shop",
                "org.opencontainers.image.description": "A shop",
                "org.opencontainers.image.version": "2",
                "org.opencontainers.image.authors": "Ann, Bob",
                "by": "ci",
            },
        })
    );
}

#[test]
fn a_component_is_made_one_with_its_dependencies() {
    let folder = application();
    let compose: Compose<'_> = &|component, own, parts| {
        let names: Vec<_> = parts.iter().map(|part| part.dependency.name.to_string()).collect();
        Ok([own, format!("+{}+{}", component.id, names.join("+")).as_bytes(), &parts[1].wasm].concat())
    };
    let locked = locked(folder.path(), Some(compose));
    let api = &locked.app.components[0];
    assert!(api.dependencies.is_empty());
    let whole = [wasm("api+api+shop:calc/sums@1.0.0+shop:text/upper@1.0.0"), wasm("text")].concat();
    assert_eq!(api.source.content.digest, Some(digest_of(&whole)));
    assert_eq!(serde_json::to_value(api).unwrap()["metadata"]["bodega"].get("dependencies"), None);
}

#[test]
fn so_many_files_that_they_would_be_too_many_layers_come_in_archives() {
    let folder = application();
    let big: Vec<u8> = (0..200).collect();
    for number in 0_u16..600 {
        let content = [&big[..], &number.to_be_bytes()].concat();
        fs::write(folder.path().join(format!("site/{number}.html")), content).unwrap();
    }
    let image = Image::new(locked(folder.path(), None), Default::default()).unwrap();
    let kinds: Vec<_> = image.layers.iter().map(|layer| layer.media_type).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == media_type::ARCHIVE).count(), 1);
    assert!(kinds.len() < 10, "{kinds:?}");
    let document: Value = serde_json::from_slice(&image.layers.last().unwrap().data).unwrap();
    assert_eq!(document["components"][0]["files"].as_array().unwrap().len(), 603);
}

#[test]
fn what_is_no_wasm_is_not_pushed() {
    let folder = application();
    fs::write(folder.path().join("calc.wasm"), "text").unwrap();
    let manifest = manifest::load(&folder.path().join("spin.toml")).unwrap();
    let refused = lock(&manifest, None, None, &[]).unwrap_err().to_string();
    assert!(refused.contains("calc.wasm") && refused.contains("no wasm"), "{refused}");
}
