//! An operator hangs up, the disk fails, or a record is not understood: what is recorded and what answers stay the same thing.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tests::app::App;
use tests::control::variant;
use tests::host::{Host, PATIENCE};
use tokio::time::{Instant, sleep};

/// How long an operator waits who hangs up; the host waits longer for its registry.
const HANG_UP: Duration = Duration::from_millis(700);
const POLL: Duration = Duration::from_millis(20);
/// Requests that have to be answered by one revision.
const REQUESTS: usize = 20;

async fn host() -> Host {
    let app = App::new().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    app.component("variant", "\"/variant/...\"", &source, "").start().await
}

/// A host that rolls out `two` beside `one`, by a canary whose steps outlast a test.
async fn host_with_canary() -> Host {
    let host = host().await;
    let answer = host.control("POST", "/v1/deploy?component=variant&strategy=canary", variant("two", &[])).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    host
}

fn registry(host: &Host) -> Connection {
    let registry = Connection::open(host.app().state_dir().join("registry.db")).expect("a database");
    registry.busy_timeout(PATIENCE).expect("SQLite has the setting");
    registry
}

fn rollouts(registry: &Connection) -> u32 {
    registry.query_row("SELECT count(*) FROM rollout", (), |row| row.get(0)).expect("the table is there")
}

/// Asks for something that cannot be written down yet, and hangs up meanwhile.
async fn hang_up(host: &Host, path_and_query: &str, body: Vec<u8>) {
    let registry = registry(host);
    registry.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let request = host.client().post(host.admin_url(path_and_query)).bearer_auth(host.admin_token()).body(body);
    let answer = request.timeout(HANG_UP).send().await;
    assert!(answer.as_ref().is_err_and(reqwest::Error::is_timeout), "{answer:?}");
    registry.execute_batch("ROLLBACK").expect("it is open");
}

/// Waits until this many of `action` are in the log of actions.
async fn logged(host: &Host, action: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let actions: Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
        if actions.as_array().expect("a list").iter().filter(|entry| entry["action"] == action).count() == count {
            return;
        }
        assert!(Instant::now() < deadline, "`{action}` is not there {count} times: {actions}");
        sleep(POLL).await;
    }
}

/// Waits until what is recorded answers, which comes right after.
async fn answers(host: &Host, name: &str) {
    let deadline = Instant::now() + PATIENCE;
    while host.text("/variant/").await != name {
        assert!(Instant::now() < deadline, "`{name}` does not answer");
        sleep(POLL).await;
    }
    assert_answers(host, name).await;
}

async fn assert_answers(host: &Host, name: &str) {
    for _ in 0..REQUESTS {
        assert_eq!(host.text("/variant/").await, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_hangs_up_gets_a_revision_that_is_recorded_and_answers() {
    let host = host().await;
    host.deploy("variant", &variant("two", &[])).await;
    hang_up(&host, "/v1/deploy?component=variant", variant("one", &[])).await;
    logged(&host, "deploy", 2).await;
    assert_eq!(host.status_of("variant").await["revision"], 3);
    answers(&host, "one").await;

    hang_up(&host, "/v1/rollback?component=variant", Vec::new()).await;
    logged(&host, "rollback", 1).await;
    assert_eq!(host.status_of("variant").await["revision"], 2);
    answers(&host, "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_hangs_up_has_ended_the_rollout() {
    let host = host_with_canary().await;
    hang_up(&host, "/v1/abort?component=variant", Vec::new()).await;
    logged(&host, "abort", 1).await;
    let deadline = Instant::now() + PATIENCE;
    while host.status_of("variant").await["rollout"]["promoted"] != false {
        assert!(Instant::now() < deadline, "the rollout goes on");
        sleep(POLL).await;
    }
    assert_answers(&host, "one").await;
    host.deploy("variant", &variant("new", &[])).await;
    assert_answers(&host, "new").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_taken_back_while_the_disk_fails_stays_so_after_a_kill() {
    let mut host = host_with_canary().await;
    let registry = registry(&host);
    let fail = "CREATE TRIGGER fail BEFORE DELETE ON rollout BEGIN SELECT RAISE(ABORT, 'no space'); END";
    registry.execute_batch(fail).expect("a database");
    assert_eq!(host.control("POST", "/v1/abort?component=variant", "").await.status(), 200);
    assert_answers(&host, "one").await;
    assert_eq!(rollouts(&registry), 1, "it could not be written down");
    let refused = host.try_upgrade(&[]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("rollout of component `variant` cannot be written down yet"), "it would go on: {said}");

    registry.execute_batch("DROP TRIGGER fail").expect("a database");
    let deadline = Instant::now() + PATIENCE;
    while rollouts(&registry) > 0 {
        assert!(Instant::now() < deadline, "nobody has written down that it is over");
        sleep(POLL).await;
    }
    host.kill_9().await;
    host.restart().await;
    assert_answers(&host, "one").await;
    let history = host.operate(&["history", "variant"]).await;
    assert!(String::from_utf8_lossy(&history.stdout).contains("taken back"), "{history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_is_not_understood_is_taken_back() {
    let mut host = host_with_canary().await;
    host.kill_9().await;
    registry(&host).execute_batch("UPDATE rollout SET state = '{\"plan\": 1}'").expect("a database");
    host.restart().await;
    logged(&host, "rolled-back", 1).await;
    assert!(host.status_of("variant").await["rollout"].is_null());
    assert_answers(&host, "one").await;
    let history = host.operate(&["history", "variant"]).await;
    assert!(String::from_utf8_lossy(&history.stdout).contains("taken back"), "{history:?}");
    host.deploy("variant", &variant("new", &[])).await;
    assert_answers(&host, "new").await;
}
