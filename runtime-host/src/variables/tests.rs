//! Where values come from, in which order, and what errors give away.

use std::collections::HashMap;

use super::*;
use crate::manifest;

/// A manifest with these variables and one component that sees them.
fn manifest_with(folder: &tempfile::TempDir, variables: &str, component: &str) -> Manifest {
    let path = folder.path().join("spin.toml");
    let text = format!(
        "spin_manifest_version = 2\n[application]\nname = 'shop'\n[variables]\n{variables}\n\
         [[trigger.http]]\nroute = '/'\ncomponent = 'cart'\n[component.cart]\nsource = 'cart.wasm'\n{component}"
    );
    std::fs::write(&path, text).unwrap();
    manifest::load(&path).unwrap()
}

fn values(pairs: &[(&str, &str)]) -> Values {
    pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

fn environment(pairs: &[(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> + use<> {
    let pairs: HashMap<_, _> = pairs.iter().copied().collect();
    move |name| pairs.get(name).map(|value| value.to_string())
}

fn env_provider(prefix: &str, dotenv_path: Option<std::path::PathBuf>) -> VariableProvider {
    VariableProvider::Environment { prefix: prefix.into(), dotenv_path }
}

#[test]
fn the_first_source_that_has_a_value_gives_it() {
    let folder = tempfile::tempdir().unwrap();
    let dotenv = folder.path().join("more.env");
    std::fs::write(&dotenv, "# a comment\nSHOP_C=dotenv\nSHOP_D='dotenv'\n").unwrap();
    let names = ["a", "b", "c", "d", "e", "f"];
    let declared: String = names.iter().map(|name| format!("{name} = {{ default = 'default' }}\n")).collect();
    let manifest = manifest_with(&folder, &declared, "variables.all = '{{a}} {{b}} {{c}} {{d}} {{e}} {{f}}'");

    let providers =
        [VariableProvider::Static(values(&[("a", "static"), ("b", "static")])), env_provider("SHOP", Some(dotenv))];
    let environment = environment(&[
        ("SHOP_B", "shop"),
        ("SHOP_C", "shop"),
        ("SPIN_VARIABLE_A", "spin"),
        ("SPIN_VARIABLE_C", "spin"),
        ("SPIN_VARIABLE_E", "spin"),
    ]);
    let variables = Variables::resolve(
        &manifest,
        values(&[("a", "argument")]),
        &providers,
        values(&[("generated", "not asked")]),
        &environment,
    )
    .unwrap();
    let all = variables.of_component("cart").unwrap().get("all");
    assert_eq!(all, Some("argument static shop dotenv spin default"));
}

#[test]
fn every_missing_value_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest_with(&folder, "api_key = { required = true }\nz = { required = true, secret = true }", "");
    let resolve = |overrides| {
        Variables::resolve(&manifest, overrides, &[], Values::default(), &|_| None).unwrap_err().to_string()
    };
    assert_eq!(
        resolve(values(&[])),
        "no value for the required variable `api_key` (set SPIN_VARIABLE_API_KEY or pass --variable api_key=VALUE), \
         the required variable `z` (set SPIN_VARIABLE_Z or pass --variable z=VALUE)"
    );
    assert_eq!(
        resolve(values(&[("api_kye", "s3cret")])),
        "--variable api_kye: the application has no such variable; did you mean `api_key`?"
    );
}

#[test]
fn components_see_their_own_variables_only() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest_with(&folder, "host = { default = 'example.com' }", "variables.url = 'http://{{ host }}'");
    let variables = Variables::resolve(&manifest, Values::default(), &[], Values::default(), &|_| None).unwrap();
    let seen: Vec<_> = variables.of_component("cart").unwrap().iter().collect();
    assert_eq!(seen, [("url", "http://example.com")]);
    assert_eq!(variables.of_component("other"), None);
}

#[test]
fn allowed_hosts_take_the_values_and_their_errors_hide_them() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest_with(
        &folder,
        "host = { required = true, secret = true }",
        "allowed_outbound_hosts = ['https://{{ host }}']",
    );
    let allowed = |host: &str| {
        let variables =
            Variables::resolve(&manifest, values(&[("host", host)]), &[], Values::default(), &|_| None).unwrap();
        manifest.allowed_hosts(&manifest.components[0], |template| variables.render(template))
    };
    assert_eq!(allowed("example.com").unwrap(), ["https://example.com"]);
    let error = allowed("s3cret/path").unwrap_err().to_string();
    let expected = ":11:27: the allowed host \"https://{{ host }}\" has a path; hosts are allowed as a whole";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn arguments_give_values_directly_or_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let json = file("a.json", r#"{ "a": "json", "b": "json" }"#);
    let toml = file("a.toml", "b = 'toml'\nc = 'toml'");
    let text = file("pem", "line\n");
    let arguments = [format!("@{json}"), format!("@{toml}"), "c=x=y".into(), format!("d=@{text}"), "e=".into()];
    let read = read_overrides(&arguments).unwrap();
    let expected = [("a", "json"), ("b", "toml"), ("c", "x=y"), ("d", "line\n"), ("e", "")];
    assert_eq!(read, values(&expected));

    let bad_json = file("bad.json", r#"{ "a": "s3cret", "b": 5 }"#);
    let bad_toml = file("bad.toml", "a = 's3cret'\nb = 5");
    for (argument, expected) in [
        ("a=@no/such".into(), "no/such: cannot be read".into()),
        (format!("@{bad_json}"), format!("{bad_json}: is not a JSON object of strings")),
        (format!("@{bad_toml}"), format!("{bad_toml}: is not a TOML file of strings")),
    ] as [(String, String); 3]
    {
        assert_eq!(read_overrides(&[argument]).unwrap_err().to_string(), expected);
    }
    for secret in ["s3cret", "@s3cret", "@s3cret.yaml", "S3cret==", "=s3cret"] {
        assert_eq!(
            read_overrides(&["a=1", secret]).unwrap_err().to_string(),
            "--variable number 2: expected NAME=VALUE, NAME=@FILE, @FILE.json or @FILE.toml, \
             where NAME is made of lower-case letters, digits and underscores"
        );
    }
}

#[test]
fn a_dotenv_file_that_is_named_has_to_be_there_and_right() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest_with(&folder, "a = { default = '' }", "");
    let path = folder.path().join("x.env");
    let resolve = || {
        let providers = [env_provider("SHOP", Some(path.clone()))];
        Variables::resolve(&manifest, Values::default(), &providers, Values::default(), &|_| None)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(resolve(), format!("{}: cannot be read", path.display()));
    std::fs::write(&path, "A='s3cret").unwrap();
    assert_eq!(resolve(), format!("{}: is not made of NAME=VALUE lines", path.display()));
}

#[test]
fn values_do_not_show_up_in_logs() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = manifest_with(&folder, "pin = { required = true, secret = true }", "variables.pin = '{{ pin }}'");
    let overrides = values(&[("pin", "s3cret")]);
    let provider = VariableProvider::Static(overrides.clone());
    let variables = Variables::resolve(&manifest, overrides.clone(), &[], Values::default(), &|_| None).unwrap();
    let shown = format!("{overrides:?} {provider:?} {variables:?}");
    assert!(shown.contains("\"pin\"") && !shown.contains("s3cret"), "{shown}");
}
