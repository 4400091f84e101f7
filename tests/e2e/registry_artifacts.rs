//! An operator pushes an application to a registry, runs it from there, and deploys components out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tests::app::App;
use tests::control::{replaced, variant};
use tests::host::Host;
use tests::programs;
use tests::registry::{MANIFEST, Registry, digest_of};
use tests::shop::Shop;
use tests::upgrades::until_ended;
use tests::visitor::Visitor;

const GATEWAY: &str = "[[rules]]\npath = \"/hello/...\"\nresponse_headers = { set = { x-from = \"gateway\" } }\n";
const WIT: &str = "bodega:test-greeter/greet@1.0.0";

/// The guest `hello` behind a rule of the gateway, one with files, and one with a dependency.
fn shop() -> App {
    let dependencies = format!("[component.greeting.dependencies]\n\"{WIT}\" = {{ component = \"greeter\" }}");
    App::new()
        .file("gateway.toml", GATEWAY)
        .file("assets/words.txt", "words")
        .file("assets/deep/long.txt", "long ".repeat(100))
        .file("assets/.env", "SECRET=1")
        .guest("hello", "[component.hello.tool.bodega]\ninstances_max = 7")
        .guest(
            "interfaces",
            "files = [{ source = \"assets\", destination = \"/\" }]\nenvironment = { SHOP = \"north\" }\n\
             variables = { paint = \"{{ colour }}\" }",
        )
        .guest("greeting", &dependencies)
        .append(&format!("[component.greeter]\nsource = {:?}", programs::component("greeter")))
        .append("[variables]\ncolour = { default = \"blue\" }")
}

/// Has a command succeed; what it printed, without the line's end.
#[track_caller]
fn said(output: std::io::Result<Output>) -> String {
    let output = output.expect("the host's binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Has a command fail; what it said.
#[track_caller]
fn refused(output: std::io::Result<Output>) -> String {
    let output = output.expect("the host's binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An app that is an artifact, in a folder of its own that has nothing of it.
fn artifact(reference: &str) -> App {
    App::at(PathBuf::from(reference)).environment("SPIN_VARIABLE_COLOUR", "red")
}

async fn assert_is_shop(host: &Host) {
    let hello = host.get("/hello/").await;
    assert_eq!(hello.headers()["x-from"], "gateway", "the gateway's rules came with it");
    assert_eq!(hello.text().await.expect("a body"), "Hello, world!\n");
    for (path, content) in [("words.txt", "words".to_owned()), ("deep/long.txt", "long ".repeat(100))] {
        let file = host.json(&format!("/interfaces/files?path={path}")).await;
        assert_eq!(file["content"], content.as_str(), "{file}");
    }
    let secret = host.json("/interfaces/files?path=.env").await;
    assert!(secret["content"]["error"].is_string(), "{secret}");
    assert_eq!(host.json("/interfaces/variables?name=paint").await, json!({ "value": "red" }));
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_runs_from_the_registry_and_without_it_once_it_is_here() {
    let Some(mut registry) = Registry::start().await else { return };
    let tag = registry.reference("team/shop:0.1.0");
    let app = shop();
    let pinned = said(app.command_on_it("push", &[&tag]).await);
    let (_, digest) = registry.manifest("team/shop", "0.1.0").await;
    assert_eq!(pinned, registry.reference(&format!("team/shop@{digest}")));
    assert_eq!(said(app.command_on_it("push", &[&tag]).await), pinned, "the same application has the same digest");
    let checked = said(app.command(&["check", "-f", &tag]).await);
    assert!(checked.contains("4 components, 3 triggers") && checked.contains("1 rules"), "{checked}");
    let route = said(app.command(&["route", "GET", "/hello/", "-f", &pinned]).await);
    assert!(route.contains("component hello"), "{route}");

    let mut host = artifact(&tag).start().await;
    assert_is_shop(&host).await;
    host.stop().await;
    registry.stop().await;
    let up = ["up", "--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--state-dir=state", "-f"];
    let down = refused(host.app().command(&[&up[..], &[&tag]].concat()).await);
    assert!(down.contains("cannot be reached") && down.contains(&pinned), "{down}");
    registry.resume().await;
    host.restart().await;
    assert_is_shop(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_artifact_starts_again_without_its_registry() {
    let Some(mut registry) = Registry::start().await else { return };
    let pinned = said(shop().command_on_it("push", &[&registry.reference("shop:1")]).await);
    let mut host = artifact(&pinned).start().await;
    // What was deployed since stays, as after any other start.
    let other = replaced(fs::read(programs::component("hello")).expect("readable"), "Hello, world!", "Hello, again!");
    host.deploy("hello", &other).await;
    host.stop().await;
    registry.stop().await;
    host.restart().await;
    assert_eq!(host.text("/hello/").await, "Hello, again!\n");
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
    let kept = host.app().state_dir().join("oci");
    assert_eq!(fs::read_dir(kept).expect("a folder").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_component_of_an_artifact_runs_by_itself() {
    let Some(registry) = Registry::start().await else { return };
    let tag = registry.reference("shop:1");
    said(shop().command_on_it("push", &[&tag]).await);
    let host = artifact(&tag).argument("--component-id").argument("greeting").start().await;
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
    assert_eq!(host.get("/hello/").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_has_moved_is_followed_at_the_next_start_and_upgrade() {
    let Some(registry) = Registry::start().await else { return };
    let tag = registry.reference("shop:stable");
    let app = |name: &str| {
        let app = App::new().file("variant.wasm", variant(name, &[]));
        let source = app.folder().join("variant.wasm");
        app.component("variant", "\"/variant/...\"", &source, "")
    };
    said(app("one").command_on_it("push", &[&tag]).await);
    let mut host = artifact(&tag).start().await;
    assert_eq!(host.text("/variant/").await, "one");
    said(app("two").command_on_it("push", &[&tag]).await);
    assert_eq!(host.text("/variant/").await, "one");
    host.stop().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "two");
    // And so it is by a process that takes over.
    said(app("six").command_on_it("push", &[&tag]).await);
    let former = host.serving_pid();
    host.upgrade().await;
    until_ended(former).await;
    assert_eq!(host.text("/variant/").await, "six");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulled_folder_is_an_application_like_any_other() {
    let Some(registry) = Registry::start().await else { return };
    let tag = registry.reference("team/shop:1");
    let app = shop();
    let pinned = said(app.command_on_it("push", &[&tag, "--compose", "false"]).await);
    assert_eq!(said(app.command(&["pull", &tag]).await), pinned);
    // By default it is named like the repository.
    let folder = app.folder().join("shop");
    let checked = said(app.command(&["check", "-f", "shop"]).await);
    assert!(checked.contains("4 components"), "{checked}");
    let again = refused(app.command(&["pull", &tag]).await);
    assert!(again.contains("is there already") && again.contains("--to"), "{again}");
    let manifest = fs::read_to_string(folder.join("spin.toml")).expect("a manifest");
    assert!(manifest.contains("instances_max = 7") && manifest.contains("component = \"greeter\""), "{manifest}");
    // And it can be pushed as it is: that is the same artifact.
    let copy = App::at(folder.join("spin.toml"));
    let back = said(copy.command_on_it("push", &[&tag, "--compose", "false"]).await);
    let layers = async |reference: &str| {
        let (manifest, _) = registry.manifest("team/shop", reference.split_once('@').expect("a digest").1).await;
        let layers = manifest["layers"].as_array().expect("layers").iter();
        let mut digests: Vec<String> = layers.map(|layer| layer["digest"].to_string()).collect();
        // The last one is the application, whose components are in the order of the manifest.
        digests.pop();
        digests.sort();
        digests
    };
    assert_eq!(layers(&back).await, layers(&pinned).await);
    let host = App::at(folder).environment("SPIN_VARIABLE_COLOUR", "red").start().await;
    assert_is_shop(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_deployed_out_of_an_artifact() {
    let Some(registry) = Registry::start().await else { return };
    let app = |name: &str| {
        let app = App::new().file("variant.wasm", variant(name, &[]));
        let source = app.folder().join("variant.wasm");
        app.component("variant", "\"/variant/...\"", &source, "")
    };
    let tag = registry.reference("shop:2");
    let pinned = said(app("two").command_on_it("push", &[&tag]).await);
    let mut host = app("one").start().await;
    let source = format!("oci://{tag}");
    let done = host.operate(&["deploy", "variant", &source, "--wait", "--why", "out of the registry"]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(host.text("/variant/").await, "two");
    let history: Value = host.control("GET", "/v1/history?component=variant", "").await.json().await.expect("JSON");
    assert_eq!(history[0]["source"], format!("oci://{pinned}"), "{history}");
    assert_eq!(history[0]["why"], "out of the registry");
    host.stop().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "two");

    // As `wkg oci push` does it: one component, and nothing about an application.
    let package = variant("six", &[]);
    let config = registry.push_blob("pack", "application/vnd.wasm.config.v0+json", b"{\"layerDigests\":[]}").await;
    let layer = registry.push_blob("pack", "application/wasm", &package).await;
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    registry.push_manifest("pack", "1.0.0", &manifest).await;
    let source = format!("oci://{}", registry.reference("pack:1.0.0"));
    let done = host.operate(&["deploy", "variant", &source]).await;
    assert!(done.status.success(), "{done:?}");
    assert_eq!(host.text("/variant/").await, "six");
    let single = refused(host.app().command(&["check", "-f", &registry.reference("pack:1.0.0")]).await);
    assert!(single.contains("single component") && single.contains("bodega deploy"), "{single}");

    let source = format!("oci://{tag}");
    let unknown = host.operate(&["deploy", "other", &source]).await;
    let unknown = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(unknown.contains("no component `other`") && unknown.contains("variant"), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_that_was_pushed_apart_is_deployed_apart() {
    let Some(registry) = Registry::start().await else { return };
    let tag = registry.reference("shop:1");
    said(shop().command_on_it("push", &[&tag, "--compose=false"]).await);
    let host = artifact(&tag).start().await;
    assert!(host.text("/greeting/Ann").await.starts_with("Good day, Ann."));
    let greeter = fs::read(programs::component("greeter")).expect("readable");
    let other = App::new().file("greeter.wasm", replaced(greeter, "Good day, ", "Good bye, "));
    let source = other.folder().join("greeter.wasm");
    let other = other.component("greeter", "\"/greeter\"", &source, "");
    let later = registry.reference("shop:2");
    said(other.command_on_it("push", &[&later]).await);
    let done = host.operate(&["deploy", "greeter", &format!("oci://{later}")]).await;
    assert!(done.status.success(), "{done:?}");
    assert!(host.text("/greeting/Ann").await.starts_with("Good bye, Ann."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_sells_out_of_a_registry() {
    let Some(registry) = Registry::start().await else { return };
    let app = App::at(programs::repository().join("spin.toml"));
    let pinned = said(app.command_on_it("push", &[&registry.reference("bodega-shop/shop:0.1.0")]).await);
    let shop = Shop::start_from(&pinned).await.with_products(2).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    assert_eq!(ann.check_out("first").await["state"], "paid");
    shop.verify().await;
    // What only this host knows came with it, such as the rules of the gateway.
    let product = shop.host.get("/api/products/product-1").await;
    assert_eq!(product.headers()["cache-control"], "private, no-cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_names_what_is_not_there_is_told_what_to_do() {
    let Some(registry) = Registry::start().await else { return };
    let app = shop();
    let missing = refused(app.command(&["pull", &registry.reference("shop:9")]).await);
    assert!(missing.contains("has no ") && missing.contains("shop:9"), "{missing}");
    let pinned = refused(app.command_on_it("push", &[&registry.reference(&format!("shop@{}", digest_of(b"")))]).await);
    assert!(pinned.contains("name a tag"), "{pinned}");
    let elsewhere = refused(app.command(&["build", "-f", "ghcr.io/bodega-shop/shop:1"]).await);
    assert!(elsewhere.contains("bodega pull"), "{elsewhere}");
    let file = refused(app.command(&["check", "-f", "absent/spin.toml"]).await);
    assert!(file.contains("there is no absent/spin.toml"), "{file}");
    let annotated = refused(app.command_on_it("push", &[&registry.reference("shop:1"), "--annotation", "x"]).await);
    assert!(annotated.contains("expected NAME=VALUE"), "{annotated}");
    // There is no such name anywhere (RFC 6761).
    let absent = refused(app.command(&["pull", "bodega.invalid/shop:1"]).await);
    assert!(absent.contains("cannot be reached over TLS") && absent.contains("--insecure"), "{absent}");
    let without_authorities =
        app.program(&["pull", &registry.reference("shop:9")]).env("SSL_CERT_FILE", "/dev/null").output();
    let plain = refused(without_authorities.await);
    assert!(plain.contains("has no "), "a registry in plain HTTP needs none: {plain}");
    assert!(!Path::new(&app.folder().join("shop")).exists(), "nothing half is left behind");
}
