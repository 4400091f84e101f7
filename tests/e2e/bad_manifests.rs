//! A manifest with a mistake is refused with exit code 1 and the place of the mistake, and nothing is started.

use tests::app::App;

/// The first four lines of a good manifest; the mistakes of the cases come from line 5 on.
const HEAD: &str = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n\n";

async fn refused(rest: &str, words: &[&str]) {
    App::from_manifest(&format!("{HEAD}{rest}")).refused().await.assert_says(words);
}

#[tokio::test]
async fn invalid_toml() {
    refused("[component.a\n", &["spin.toml:5"]).await;
}

#[tokio::test]
async fn another_manifest_version() {
    let refusal = App::from_manifest("spin_manifest_version = 1\nname = \"old\"\n").refused().await;
    refusal.assert_says(&["spin.toml:1", "spin_manifest_version", "2"]);
}

#[tokio::test]
async fn an_unknown_key_names_the_nearest() {
    let rest =
        "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\n[component.a]\nsource = \"a.wasm\"\nenviroment = {}\n";
    refused(rest, &["spin.toml:11", "enviroment", "environment"]).await;
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let rest = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n\n[component.a]\nsource = \"absent.wasm\"\n";
    refused(rest, &["spin.toml:10", "absent.wasm"]).await;
}

#[tokio::test]
async fn two_components_on_one_route() {
    let rest = "[[trigger.http]]\nroute = \"/same\"\ncomponent = \"a\"\n[[trigger.http]]\nroute = \"/same\"\ncomponent = \"b\"\n\
                [component.a]\nsource = \"a.wasm\"\n[component.b]\nsource = \"b.wasm\"\n";
    refused(rest, &["spin.toml:9", "/same", "6"]).await;
}

#[tokio::test]
async fn a_trigger_without_its_component() {
    let rest = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"catalgo\"\n[component.catalog]\nsource = \"a.wasm\"\n";
    refused(rest, &["spin.toml:7", "catalgo", "catalog"]).await;
}

#[tokio::test]
async fn a_variable_that_nobody_declared() {
    let rest = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n\
                [component.a.variables]\nurl = \"{{ absent }}\"\n";
    refused(rest, &["spin.toml:11", "absent"]).await;
}

#[tokio::test]
async fn a_required_variable_without_a_value() {
    let app = App::new().guest("hello", "").append("[variables]\nsecret_key = { required = true }\n");
    app.refused().await.assert_says(&["secret_key"]);
}

#[tokio::test]
async fn a_store_that_is_not_configured() {
    let app = App::new().guest("hello", "key_value_stores = [\"absent\"]");
    app.refused().await.assert_says(&["hello", "absent"]);
    let app = App::new().guest("hello", "sqlite_databases = [\"absent\"]");
    app.refused().await.assert_says(&["hello", "absent"]);
}

#[tokio::test]
async fn another_kind_of_trigger() {
    let rest = "[[trigger.redis]]\nchannel = \"news\"\ncomponent = \"a\"\n[component.a]\nsource = \"a.wasm\"\n";
    refused(rest, &["spin.toml:5", "redis"]).await;
}

#[tokio::test]
async fn a_wagi_executor() {
    let rest = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\nexecutor = { type = \"wagi\" }\n\
                [component.a]\nsource = \"a.wasm\"\n";
    refused(rest, &["spin.toml:8", "wagi"]).await;
}

#[tokio::test]
async fn a_source_in_a_registry() {
    let rest = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"a\"\n[component.a]\n\
                source = { url = \"https://example.com/a.wasm\", digest = \"sha256:00\" }\n";
    refused(rest, &["spin.toml:9", "url"]).await;
}

#[tokio::test]
async fn a_host_without_a_scheme() {
    let app = App::new().guest("hello", "allowed_outbound_hosts = [\"example.com\"]");
    app.refused().await.assert_says(&["spin.toml", "example.com"]);
}

#[tokio::test]
async fn an_unknown_setting_of_ours() {
    let app = App::new().guest("hello", "[component.hello.tool.bodega]\ndeadline = 5");
    app.refused().await.assert_says(&["spin.toml", "deadline", "deadline_ms"]);
}

#[tokio::test]
async fn no_manifest_at_all() {
    let app = App::at("absent/spin.toml".into());
    app.refused().await.assert_says(&["absent/spin.toml"]);
}
