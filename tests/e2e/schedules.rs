//! What the host asks of a component by itself, at regular times.

use std::fs;
use std::time::Duration;

use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::programs;
use tests::shop::Shop;
use tokio::time::{Instant, sleep};

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

/// The component and the path of each schedule in the repository's manifest.
fn schedules_of_the_shop() -> Vec<(String, String)> {
    let manifest = fs::read_to_string(programs::repository().join("spin.toml")).expect("the repository has an app");
    let mut component = "";
    let mut schedules = Vec::new();
    for line in manifest.lines() {
        if let Some(table) = line.strip_prefix("[component.") {
            component = table.split(['.', ']']).next().expect("a name");
        } else if line.trim_start().starts_with("{ every = ") {
            let path = line.split("path = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a path");
            schedules.push((component.to_owned(), path.to_owned()));
        }
    }
    schedules
}

#[tokio::test(flavor = "multi_thread")]
async fn each_schedule_of_the_shop_is_answered_with_success_soon_after_the_start() {
    let schedules = schedules_of_the_shop();
    assert!(schedules.len() >= 7, "{schedules:?}");
    let shop = Shop::start().await;
    // However long its period is, the first run comes within a second.
    let deadline = Instant::now() + PATIENCE;
    for (component, path) in &schedules {
        let count = async |result| {
            let labels = [("component", component.as_str()), ("path", path.as_str()), ("result", result)];
            shop.host.metrics().await.sum("bodega_scheduled_runs_total", &labels)
        };
        while count("ok").await < 1.0 {
            assert_eq!(count("failed").await, 0.0, "{component}{path}: {:?}", shop.host.log());
            assert!(Instant::now() < deadline, "{component}{path} is never run");
            sleep(Duration::from_millis(50)).await;
        }
    }
    let failed = shop.host.metrics().await.sum("bodega_scheduled_runs_total", &[("result", "failed")]);
    assert_eq!(failed, 0.0, "{:?}", shop.host.log());
}
