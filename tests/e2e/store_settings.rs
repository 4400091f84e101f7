//! What the manifest sets for a store is what the store does.

use std::time::Duration;

use serde_json::json;
use tests::app::App;
use tests::host::Host;

async fn host(settings: &str) -> Host {
    App::new().ledger().append(settings).start().await
}

async fn post(host: &Host, path: &str) -> u16 {
    host.post(path).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_forgotten_after_their_time() {
    let host = host("[application.tool.bodega.key_value_store.default]\nttl_seconds = 2").await;
    assert_eq!(post(&host, "/ledger/keys?n=1").await, 201);
    assert_eq!(host.json("/ledger/keys").await, json!([1]));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(post(&host, "/ledger/keys?n=2").await, 201);
    assert_eq!(host.json("/ledger/keys").await, json!([2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_as_durable_as_asked_for() {
    let full = host("").await;
    assert_eq!(full.json("/ledger/synchronous").await, json!([2]));
    let normal = host("[application.tool.bodega.sqlite_database.default]\ndurability = \"normal\"").await;
    assert_eq!(normal.json("/ledger/synchronous").await, json!([1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_grows_to_its_size_and_no_further() {
    let host = host("[application.tool.bodega.sqlite_database.default]\nbytes_max = 1048576").await;
    assert_eq!(post(&host, "/ledger/blob?n=500000").await, 201);
    assert_eq!(post(&host, "/ledger/blob?n=600000").await, 507);
    assert_eq!(post(&host, "/ledger/rows?n=1").await, 201, "what fits is still taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_is_rolled_back() {
    let host = host("[application.tool.bodega.sqlite_database.default]\ntransaction_timeout_ms = 400").await;
    assert_eq!(post(&host, "/ledger/transaction?n=1").await, 201);
    let lost = host.post("/ledger/transaction?n=1200").send().await.expect("an answer");
    assert_eq!(lost.status(), 500);
    let reason = lost.text().await.expect("a body");
    assert!(reason.contains("the transaction was rolled back"), "{reason}");
}
