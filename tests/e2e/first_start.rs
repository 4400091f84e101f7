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
