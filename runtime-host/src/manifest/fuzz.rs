//! Any text is a manifest that means one thing, or is refused with a place in it.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::fuzz::{check_refusal, fuzz};
use crate::router::Router;

const WORDS: [&str; 32] = [
    "[variables]",
    "[[trigger.http]]",
    "[component.a]",
    "[component.a.build]",
    "[component.a.tool.bodega]",
    "[application.trigger.http]",
    "spin_manifest_version = 2\n",
    "name = \"a\"\n",
    "route = \"/:a/...\"\n",
    "route = { private = true }\n",
    "component = \"a\"\n",
    "static_response = { body = \"\" }\n",
    "source = \"a.wasm\"\n",
    "source = { url = \"http://a\", digest = \"sha256:00\" }\n",
    "files = [\"*\"]\n",
    "files = [{ source = \"a\", destination = \"/\" }]\n",
    "allowed_outbound_hosts = [\"*://*:*\"]\n",
    "allowed_outbound_hosts = [\"http://{{ a }}\"]\n",
    "key_value_stores = [\"default\"]\n",
    "required = true\n",
    "secret = true\n",
    "default = \"{{ a }}\"\n",
    "dependencies_inherit_configuration = true\n",
    "schedule",
    "rollout",
    "\"5s\"",
    "true",
    "{{",
    "}}",
    "...",
    "*",
    ":",
];

#[test]
fn any_text_is_one_manifest_or_refused_with_a_place_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spin.toml");
    fuzz(
        "manifest",
        &WORDS,
        |text| text,
        |text| {
            std::fs::write(&path, text).unwrap();
            match load(&path) {
                Err(error) => check_refusal(text, &error),
                Ok(manifest) => check(&manifest, &load(&path)),
            }
        },
    );
}

fn check(manifest: &Manifest, again: &Result<Manifest, ConfigError>) -> Result<(), TestCaseError> {
    prop_assert_eq!(again.as_ref().ok(), Some(manifest));
    let routes = manifest.triggers.iter().filter_map(|trigger| trigger.route.as_ref());
    let routes: Vec<_> = routes.map(|route| (route.value.clone(), ())).collect();
    prop_assert!(Router::build(routes).is_ok(), "two routes are the same");
    for trigger in &manifest.triggers {
        if let TriggerTarget::Component(id) = &trigger.target {
            prop_assert!(manifest.component(&id.value).is_some(), "there is no {}", id.value);
        }
    }
    Ok(())
}
