//! A revision brings its stores to its schema once, before it gets any request; one that cannot is refused.

use tests::app::App;
use tests::control::variant;
use tests::host::Host;

/// An app of one component that is told to migrate, in this version.
fn app(wasm: Vec<u8>, more: &str) -> App {
    let app = App::new().file("variant.wasm", wasm);
    let source = app.folder().join("variant.wasm");
    let settings = format!("[component.variant.tool.bodega]\nmigration = {{ path = \"/internal/migrate\"{more} }}\n");
    app.component("variant", "\"/variant/...\"", &source, &settings)
}

/// How often the version with this name was told to migrate since the host's start.
fn migrations(host: &Host, name: &str) -> usize {
    host.log().iter().filter(|line| line.contains(&format!("{name} migrates"))).count()
}

async fn refusal(host: &Host, wasm: &[u8]) -> String {
    let artifact = host.write("artifact.wasm", wasm);
    let output = host.operate(&["deploy", "variant", artifact.to_str().expect("UTF-8")]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(host.text("/variant/").await, "one");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_migrates_once_and_not_again_at_a_restart_or_a_return() {
    let mut host = app(variant("one", &[]), "").start().await;
    host.log_line(&["one migrates"]).await;
    assert_eq!(host.text("/variant/").await, "one");
    host.deploy("variant", &variant("two", &[])).await;
    host.log_line(&["two migrates"]).await;
    assert!(host.operate(&["rollback", "variant"]).await.status.success());
    assert!(host.operate(&["rollback", "variant", "--to", "2"]).await.status.success());
    assert_eq!(host.text("/variant/").await, "two");
    assert_eq!((migrations(&host, "one"), migrations(&host, "two")), (1, 1));

    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "two");
    assert!(host.operate(&["rollback", "variant"]).await.status.success());
    assert_eq!(host.text("/variant/").await, "one");
    assert_eq!((migrations(&host, "one"), migrations(&host, "two")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_cannot_migrate_is_refused_and_may_try_again() {
    let host = app(variant("one", &[]), ", timeout = \"400ms\"").start().await;
    let named = "the migration of component `variant`, POST /internal/migrate, has failed";
    for _ in 0..2 {
        let said = refusal(&host, &variant("two", &["unfit=0001"])).await;
        assert!(said.contains(named) && said.contains("500") && said.contains("no room for prices"), "{said}");
    }
    let said = refusal(&host, &variant("two", &["delay_ms=0900"])).await;
    assert!(said.contains(named) && said.contains("within 400 ms"), "{said}");
    assert_eq!(migrations(&host, "two"), 2);
    host.deploy("variant", &variant("two", &[])).await;
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_whose_component_cannot_migrate_does_not_start() {
    let refusal = app(variant("one", &["unfit=0001"]), "").refused().await;
    refusal.assert_says(&["the migration of component `variant`", "no room for prices"]);
}
