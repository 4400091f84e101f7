//! A newcomer's first minutes: start, products, a query, a restart.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use tests::programs;
use tests::shop::Shop;
use tokio::process::Command;

fn titles(page: &Value) -> Vec<&str> {
    let products = page["items"].as_array().expect("a list of products");
    products.iter().map(|product| product["title"].as_str().expect("a title")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn products_are_there_after_a_restart() {
    let mut shop = Shop::start().await.with_products(3).await;
    let before = shop.host.json("/api/products?sort=price").await;
    assert_eq!(titles(&before), ["Product 1", "Product 2", "Product 3"]);

    assert_eq!(shop.host.stop().await.code(), Some(0));
    shop.host.restart().await;
    assert_eq!(shop.host.json("/api/products?sort=price").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_has_products_to_look_at() {
    let host = Shop::host_with_its_own_keys(|app| app.argument("--demo")).await;
    host.log_line(&["the demo data is in"]).await;
    let page = host.json("/api/products?limit=50").await;
    assert!(titles(&page).len() >= 20, "{page}");
    let tree = host.json("/api/categories").await;
    assert!(tree["categories"].as_array().is_some_and(|categories| !categories.is_empty()), "{tree}");
}

/// The first part of the README below this heading that is a shell script.
fn script_of_readme(heading: &str) -> String {
    let readme = fs::read_to_string(programs::repository().join("README.md")).expect("a README");
    let part = readme.split_once(heading).expect("the heading is there").1;
    let script = part.split_once("```sh\n").expect("a script").1;
    script.split_once("```").expect("the end of the script").0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_walkthrough_works_as_it_is_written() {
    let host = Shop::host_with_its_own_keys(|app| app.argument("--demo")).await;
    host.log_line(&["the demo data is in"]).await;
    let script = script_of_readme("## Buy something");
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]).env("SHOP", host.url("")).current_dir(host.folder());
    let output = command.output().await.expect("there is a shell");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" is paid\n\"paid\"\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_secrets_are_their_owners_alone_and_stay_the_same() {
    let mut host = Shop::host_with_its_own_keys(|app| app).await;
    let folder = host.app().state_dir().join("secrets");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let read = || {
        let files = fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").path());
        files.map(|path| (path.clone(), fs::read_to_string(path).expect("a text"))).collect::<BTreeMap<_, _>>()
    };
    let secrets = read();
    assert!(!secrets.is_empty());
    for (path, secret) in &secrets {
        assert_eq!(mode(path), 0o600, "{}", path.display());
        host.log_line(&["generated a secret", path.to_str().expect("UTF-8")]).await;
        assert!(!host.log().concat().contains(secret.trim()), "{} is in the log", path.display());
    }

    assert_eq!(host.stop().await.code(), Some(0));
    host.restart().await;
    assert_eq!(read(), secrets);
}

/// What `bodega up --build` would run, asked of a cargo that only notes it: building the shop anew takes minutes.
#[tokio::test(flavor = "multi_thread")]
async fn the_build_commands_of_the_shop_make_what_its_manifest_names() {
    let repository = programs::repository();
    let folder = tempfile::tempdir().expect("a folder");
    let (cargo, calls) = (folder.path().join("cargo"), folder.path().join("calls"));
    fs::write(&cargo, format!("#!/bin/sh\necho \"$PWD: $*\" >> {}\n", calls.display())).expect("writable");
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a path"));
    let mut build = Command::new(programs::host());
    build.args(["build", "-f"]).arg(repository.join("spin.toml")).env("PATH", path);
    let output = build.output().await.expect("the host's binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let manifest = fs::read_to_string(repository.join("spin.toml")).expect("a manifest");
    let sources: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("source = \"")?.strip_suffix('"')).collect();
    assert!(sources.len() >= 7, "{sources:?}");
    let expected: String = sources
        .iter()
        .map(|source| {
            let name = source.strip_prefix("target/wasm32-wasip2/release/").and_then(|file| file.strip_suffix(".wasm"));
            let name = name.unwrap_or_else(|| panic!("{source} is not what cargo builds"));
            assert!(programs::component(name).exists());
            assert!(repository.join("components").join(name).join("Cargo.toml").exists(), "no package {name}");
            format!("{}: build --package {name} --target wasm32-wasip2 --release\n", repository.display())
        })
        .collect();
    assert_eq!(fs::read_to_string(&calls).expect("calls"), expected);
}
