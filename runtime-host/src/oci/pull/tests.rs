//! What comes back is what was pushed; and what is not as it should be is refused.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::folder::{FOLDER_FILES_MAX, check_size};
use super::super::layers::digest_of;
use super::super::locked::LockedApp;
use super::super::push::Image;
use super::super::tests::wasm;
use super::super::{Locked, lock};
use super::*;
use crate::manifest;

/// Puts a locked application into a folder, as if it had been pulled.
fn unpack(locked: &Locked) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let blobs = folder.path().join(BLOBS);
    fs::create_dir(&blobs).unwrap();
    for layer in locked.layers.clone().into_vec() {
        fs::write(blobs.join(hex_of(&layer.digest).unwrap()), &layer.data).unwrap();
        if layer.media_type == media_type::ARCHIVE {
            Inflation::default().unpack(&layer.data[..], &blobs).unwrap();
        }
    }
    let document = serde_json::to_vec(&locked.app).unwrap();
    let unlocked = unlock::unlock(&unlock::parse(&document).unwrap()).unwrap();
    place(&unlocked, folder.path(), &blobs).unwrap();
    folder
}

fn lock_in(folder: &Path) -> Locked {
    let manifest = manifest::load(&folder.join("spin.toml")).unwrap();
    let gateway = Some(folder.join("gateway.toml")).filter(|path| path.exists());
    lock(&manifest, None, gateway.as_deref(), &[]).unwrap()
}

/// Components have no order.
fn sorted(locked: &Locked) -> LockedApp {
    let mut app = locked.app.clone();
    app.components.sort_by(|one, other| one.id.cmp(&other.id));
    app
}

/// Locks an application, unpacks it, and locks it again.
fn assert_comes_back(folder: &Path) -> TempDir {
    let locked = lock_in(folder);
    let unpacked = unpack(&locked);
    let again = lock_in(unpacked.path());
    assert_eq!(sorted(&again), sorted(&locked));
    let digests = |locked: Locked| {
        let mut digests: Vec<_> = locked.layers.into_vec().into_iter().map(|layer| layer.digest).collect();
        digests.sort();
        digests
    };
    assert_eq!(digests(again), digests(locked));
    unpacked
}

#[test]
fn our_own_application_comes_back_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in ["spin.toml", "gateway.toml", "components/catalog/demo.jsonl"] {
        let copy = folder.path().join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(repository.join(file), copy).unwrap();
    }
    let original = manifest::load(&folder.path().join("spin.toml")).unwrap();
    for component in &original.components {
        fs::create_dir_all(component.source.parent().unwrap()).unwrap();
        fs::write(&component.source.value, wasm(&component.id)).unwrap();
    }
    let unpacked = assert_comes_back(folder.path());
    let back = manifest::load(&unpacked.path().join("spin.toml")).unwrap();
    back.check_sources().unwrap();
    for component in &original.components {
        let other = back.component(&component.id).unwrap();
        assert_eq!(other.limits, component.limits);
        assert_eq!(other.schedules.len(), component.schedules.len());
        assert_eq!(other.migration.is_some(), component.migration.is_some());
        assert_eq!(fs::read(&other.source.value).unwrap(), wasm(&component.id));
        let from = |component: &manifest::Component| {
            component.dependencies.iter().map(|dependency| format!("{:?}", dependency.inherit)).collect::<Vec<_>>()
        };
        assert_eq!(from(other), from(component));
    }
    assert_eq!(back.application.settings.generate.len(), original.application.settings.generate.len());
    let demo = &back.application.settings.demo[0];
    assert_eq!(
        fs::read(unpacked.path().join(&demo.file)).unwrap(),
        fs::read(folder.path().join("components/catalog/demo.jsonl")).unwrap()
    );
    assert_eq!(
        fs::read_to_string(unpacked.path().join("gateway.toml")).unwrap(),
        fs::read_to_string(folder.path().join("gateway.toml")).unwrap()
    );
}

prop_compose! {
    /// Lines of a `[component.x]` and its files.
    fn component()(
        description in "[ -~]{0,20}",
        environment in proptest::collection::btree_map("[A-Z]{1,5}", "\\PC{0,12}", 0..3),
        variables in proptest::collection::btree_map("[a-z]{1,5}", "(a|b|\\{\\{ known \\}\\}|\"|\\\\){0,4}", 0..3),
        hosts in proptest::collection::vec(prop_oneof![
            Just("https://example.com"), Just("http://self"), Just("http://zero.spin.internal"), Just("{{ known }}"), Just("*://*:*"),
        ], 0..3),
        stores in proptest::collection::btree_set("[a-z]{1,6}", 0..3),
        deadline in proptest::option::of(1_u32..100_000),
        needs in proptest::option::of((any::<bool>(), prop_oneof![Just(""), Just(", inherit_configuration = true"),
            Just(", inherit_configuration = [\"files\", \"variables\"]"), Just(", export = \"a:b/d@1.0.0\"")])),
        files in proptest::collection::btree_map("[a-z]{1,3}(/[a-z]{4,6}){0,2}\\.txt", proptest::collection::vec(any::<u8>(), 0..300), 0..4),
    ) -> (toml::Table, Option<String>, std::collections::BTreeMap<String, Vec<u8>>) {
        let mut table = toml::Table::new();
        table.insert("description".into(), description.into());
        table.insert("environment".into(), toml::Value::try_from(environment).unwrap());
        table.insert("variables".into(), toml::Value::try_from(variables).unwrap());
        table.insert("allowed_outbound_hosts".into(), hosts.into());
        table.insert("key_value_stores".into(), toml::Value::try_from(stores).unwrap());
        if let Some(deadline) = deadline {
            let tool: toml::Table = format!("bodega = {{ deadline_ms = {deadline}, priority = \"low\" }}").parse().unwrap();
            table.insert("tool".into(), tool.into());
        }
        if !files.is_empty() {
            let mount: toml::Table = "files = [{ source = \"FILES\", destination = \"/data\" }]".parse().unwrap();
            table.extend(mount);
        }
        let needs = needs.map(|(by_path, more)| {
            let source = if by_path { "path = \"zero.wasm\"" } else { "component = \"zero\"" };
            format!("\"a:b/c@1.0.0\" = {{ {source}{more} }}")
        });
        (table, needs, files)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_application_comes_back_as_it_is(
        components in proptest::collection::vec(component(), 1..4),
        secret in any::<bool>(),
        authors in proptest::collection::vec("[ -~]{1,10}", 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!(
            "spin_manifest_version = 2\n[application]\nname = \"x\"\nauthors = {authors:?}\n\
             [variables]\nknown = {{ default = \"a\", secret = {secret} }}\n[component.zero]\nsource = \"zero.wasm\"\n"
        );
        fs::write(folder.path().join("zero.wasm"), wasm("zero")).unwrap();
        for (index, (table, needs, files)) in components.into_iter().enumerate() {
            let id = format!("c{index}");
            let mut table = table;
            table.insert("source".into(), format!("{id}.wasm").into());
            fs::write(folder.path().join(format!("{id}.wasm")), wasm(&id)).unwrap();
            if let Some(needs) = needs {
                table.insert("dependencies".into(), needs.parse::<toml::Table>().unwrap().into());
            }
            for (path, content) in files {
                let path = folder.path().join(format!("files-{index}")).join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            let component = toml::Table::from_iter([(id.clone(), toml::Value::Table(table))]);
            let whole = toml::Table::from_iter([("component".to_owned(), toml::Value::Table(component))]);
            text += &toml::to_string(&whole).unwrap().replace("FILES", &format!("files-{index}"));
            text += &format!("[[trigger.http]]\nroute = \"/{id}/...\"\ncomponent = \"{id}\"\n");
        }
        fs::write(folder.path().join("spin.toml"), text).unwrap();
        assert_comes_back(folder.path());
    }
}

/// A document with one component, as Spin writes it; `change` plants a mistake.
fn document(change: impl FnOnce(&mut Value)) -> Result<unlock::Unlocked, OciError> {
    let content = |text: &str| json!({ "inline": STANDARD.encode(text), "digest": digest_of(text.as_bytes()) });
    let mut file = content("hi");
    file["path"] = "a.txt".into();
    let mut source = content("\0asm");
    source["content_type"] = "application/wasm".into();
    let mut app = json!({
        "spin_lock_version": 0,
        "metadata": { "name": "shop", "trigger": { "type": "http", "base": "/" } },
        "triggers": [{ "id": "t", "trigger_type": "http", "trigger_config": { "component": "a", "route": "/...", "executor": null } }],
        "components": [{ "id": "a", "source": source, "files": [file] }],
    });
    change(&mut app);
    unlock::unlock(&unlock::parse(app.to_string().as_bytes())?)
}

#[test]
fn an_older_document_is_read_without_what_is_no_more() {
    let unlocked = document(|_| ()).unwrap();
    let text = unlocked.manifest.to_string();
    assert!(!text.contains("base") && !text.contains("executor"), "{text}");
    let paths: Vec<_> = unlocked.placements.iter().map(|placement| placement.path.clone()).collect();
    assert_eq!(paths, [PathBuf::from("wasm/a.wasm"), "files/a/a.txt".into()]);
}

#[test]
fn what_leads_elsewhere_or_needs_more_is_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 14] = [
        ("leads elsewhere", |app| app["components"][0]["files"][0]["path"] = "../../x".into()),
        ("leads elsewhere", |app| app["components"][0]["files"][0]["path"] = "/etc/passwd".into()),
        ("no name of a component", |app| app["components"][0]["id"] = "../x".into()),
        ("no name of a component", |app| app["components"][0]["id"] = "".into()),
        ("not that of the digest", |app| app["components"][0]["files"][0]["inline"] = "aG8=".into()),
        ("cannot be used", |app| app["components"][0]["source"]["digest"] = "sha256:../../x".into()),
        // What is sent goes with a staff token.
        ("none of its files", |app| {
            app["metadata"]["bodega"]["tool"]["demo"] = json!([{ "file": "/etc/passwd", "post": "/import" }]);
        }),
        ("none of its files", |app| {
            app["metadata"]["bodega"]["tool"]["demo"] = json!([{ "file": "demo/0/missing", "post": "/import" }]);
        }),
        ("does not belong there", |app| {
            let mut file = app["components"][0]["files"][0].clone();
            file["path"] = "runtime-config.toml".into();
            app["metadata"]["bodega"] = json!({ "files": [file] });
        }),
        ("middleware", |app| app["components"][0]["trigger_dependencies"] = json!({ "middleware": [{}] })),
        ("understands `time_travel`", |app| app["must_understand"] = json!(["time_travel"])),
        ("needs a host with `gpu`", |app| app["components"][0]["host_requirements"] = json!({ "gpu": "required" })),
        ("expected 0 or 1", |app| app["spin_lock_version"] = 2.into()),
        ("two components `a`", |app| {
            let twin = app["components"][0].clone();
            app["components"].as_array_mut().unwrap().push(twin);
        }),
    ];
    for (words, change) in cases {
        let refused = document(change).unwrap_err().to_string();
        assert!(refused.contains(words), "{words}: {refused}");
    }
    document(|app| app["components"][0]["host_requirements"] = json!({ "gpu": "optional" })).unwrap();
}

#[test]
fn a_manifest_is_refused_before_its_layers_are_asked_for() {
    let reference: ArtifactReference = "ghcr.io/x/shop:1".parse().unwrap();
    let layer = |size: i64| json!({ "mediaType": "a/b", "digest": digest_of(b"x"), "size": size });
    let refusal =
        |manifest: Value| parse_manifest(manifest.to_string().as_bytes(), &reference).unwrap_err().to_string();
    let with = |layers: Vec<Value>| refusal(json!({ "schemaVersion": 2, "config": layer(2), "layers": layers }));
    assert!(with(vec![layer(1); LAYERS_MAX + 1]).contains("1001 layers"));
    assert!(with(vec![layer(LAYER_BYTES_MAX as i64 + 1)]).contains("too large"));
    assert!(with(vec![layer(LAYER_BYTES_MAX as i64); 5]).contains("the artifact with"));
    assert!(with(vec![layer(-1)]).contains("size -1"));
    let other_digest = json!({ "mediaType": "a/b", "digest": "sha256:..", "size": 1 });
    assert!(with(vec![other_digest]).contains("expected `sha256:`"));
    assert!(refusal(json!({ "schemaVersion": 2, "manifests": [] })).contains("index of images"));
    assert!(parse_manifest(b"<html>", &reference).unwrap_err().to_string().contains("no Spin application"));
}

#[test]
fn an_image_of_ours_is_within_the_bounds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.wasm"), wasm("a")).unwrap();
    let text = "spin_manifest_version = 2\n[application]\nname = \"x\"\n[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\
                [component.a]\nsource = \"a.wasm\"\n";
    fs::write(folder.path().join("spin.toml"), text).unwrap();
    let image = Image::new(lock_in(folder.path()), Default::default()).unwrap();
    let reference: ArtifactReference = "ghcr.io/x/shop:1".parse().unwrap();
    assert_eq!(parse_manifest(&image.manifest, &reference).unwrap().layers.len(), 2);
}

#[test]
fn one_layer_in_very_many_places_is_too_large_and_one_in_none_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let digest = digest_of(b"many");
    let blob = fs::File::create(folder.path().join(hex_of(&digest).unwrap())).unwrap();
    // Without a byte on the disk.
    blob.set_len(1 << 30).unwrap();
    let check = |digest: &str, count: usize| {
        let place = |number: usize| unlock::Placement {
            path: number.to_string().into(),
            content: Content::Blob(digest.to_owned()),
        };
        let unlocked = unlock::Unlocked { manifest: toml::Table::new(), placements: (0..count).map(place).collect() };
        check_size(&unlocked, folder.path())
    };
    check(&digest, 4).unwrap();
    assert!(check(&digest, 5).unwrap_err().to_string().contains("too large"));
    assert!(check(&digest, FOLDER_FILES_MAX + 1).unwrap_err().to_string().contains("files"));
    assert!(check(&digest_of(b"none"), 1).unwrap_err().to_string().contains("no layer with the digest"));
}
