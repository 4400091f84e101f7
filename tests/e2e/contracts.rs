//! Every service's OpenAPI document against the running service: Schemathesis makes good and bad requests of it and
//! compares the answers with what the document says.

use std::time::Duration;

use tests::shop::Shop;
use tokio::process::Command;
use tokio::time::timeout;

/// The tool, which `.ci/run` installs from PyPI (package `schemathesis`).
const TOOL: &str = "schemathesis";
/// What an answer has to be: no 5xx, and nothing that the document does not say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";
/// Requests that are made up for each operation, beside those that go to the borders of its schema.
const EXAMPLES_MAX: &str = "8";
/// The same requests in every run; other numbers make others.
const SEED: &str = "1";
/// How long one service may take.
const TIME_MAX: Duration = Duration::from_secs(300);

/// Has the tool ask all public operations of a service, as an admin.
async fn keeps_its_word(service: &str) {
    if Command::new(TOOL).arg("--version").output().await.is_err() {
        assert!(std::env::var_os("CI").is_none(), "`{TOOL}` is not installed");
        println!("skipped, since `{TOOL}` is not installed (pip install {TOOL})");
        return;
    }
    let shop = Shop::start().await.with_products(3).await;
    let token = shop.issuer.access_token("admin");
    let mut command = Command::new(TOOL);
    command
        .current_dir(shop.host.folder())
        .arg("run")
        .arg(shop.host.url(&format!("/api/{service}/openapi.json")))
        .args(["--url", &shop.host.url(""), "--header", &format!("Authorization: Bearer {token}")])
        .args(["--exclude-path-regex", "^/internal", "--checks", CHECKS, "--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", EXAMPLES_MAX, "--seed", SEED, "--continue-on-failure", "--no-color"])
        .env_remove("CI")
        .kill_on_drop(true);
    let output = timeout(TIME_MAX, command.output()).await.expect("the tool ends in time").expect("the tool runs");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("passed"), "it asked nothing: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth_keeps_its_word() {
    keeps_its_word("auth").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cart_keeps_its_word() {
    keeps_its_word("cart").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catalog_keeps_its_word() {
    keeps_its_word("catalog").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_keep_their_word() {
    keeps_its_word("orders").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_keep_their_word() {
    keeps_its_word("payments").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shipping_keeps_its_word() {
    keeps_its_word("shipping").await;
}
