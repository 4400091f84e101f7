//! What the host asks of a component by itself, at regular times.

use std::time::Duration;

use tests::app::App;
use tests::host::Host;
use tokio::time::sleep;

const LEDGER: &str =
    "key_value_stores = [\"default\"]\nsqlite_databases = [\"default\"]\n[component.ledger.tool.bodega]\n";

fn ledger(settings: &str) -> App {
    App::new().guest("ledger", &format!("{LEDGER}{settings}"))
}

async fn runs(host: &Host, result: &str) -> f64 {
    host.metrics().await.sum("bodega_scheduled_runs_total", &[("component", "ledger"), ("result", result)])
}

async fn until_runs(host: &Host, result: &str, count: f64) {
    while runs(host, result).await < count {
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_path_is_posted_again_and_again_and_counted() {
    let mut host = ledger("schedule = [{ every = \"100ms\", path = \"/any/increment\" }]").start().await;
    until_runs(&host, "ok", 5.0).await;
    let counted = host.json("/ledger/increment").await.as_i64().expect("a counter");
    assert!(counted >= 5, "{counted} posts arrived");
    assert_eq!(host.get("/any/increment").await.status(), 404, "the path is on no route");
    assert!(host.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_is_told_and_tried_again() {
    let host = ledger("schedule = [{ every = \"100ms\", path = \"/nothing-here\" }]").start().await;
    until_runs(&host, "failed", 2.0).await;
    host.log_line(&["a scheduled run failed", "/nothing-here", "404"]).await;
    assert_eq!(runs(&host, "ok").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_one_schedule_never_overlap() {
    // Each run takes its whole deadline, which is several periods.
    let host = App::new()
        .misbehaving_guest("deadline_ms = 350\nschedule = [{ every = \"100ms\", path = \"/never\" }]")
        .start()
        .await;
    let seen = async |result| {
        host.metrics().await.sum("bodega_scheduled_runs_total", &[("component", "misbehave"), ("result", result)])
    };
    while seen("failed").await < 3.0 {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(seen("skipped").await >= 6.0, "a run of 350 ms leaves out three of 100 ms");
}
