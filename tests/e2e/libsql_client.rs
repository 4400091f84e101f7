//! A program in another language uses the databases that `bodega stores` serves, with the client that its users know.

use std::env;

use tests::programs;
use tests::stores::StoresServer;
use tokio::process::Command;
use tokio::time::timeout;

use tests::host::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn the_javascript_client_of_libsql_is_served() {
    let client = programs::repository().join("target/tools");
    if !client.join("node_modules/@libsql/client").is_dir() {
        assert!(env::var_os("CI").is_none(), "{} is missing", client.display());
        eprintln!("skipped: npm install --prefix target/tools @libsql/client");
        return;
    }
    let stores = StoresServer::start(&["shop"]).await;
    let script = programs::repository().join("tests/e2e/libsql_client.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(&client).args([&format!("{}/", stores.url("shop")), stores.token()]).kill_on_drop(true);
    let output = timeout(PATIENCE, node.output()).await.expect("it ends by itself").expect("node runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("all is as it should be"), "{said}");
}
