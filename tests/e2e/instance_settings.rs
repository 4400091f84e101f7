//! An operator bounds a component's instances in the manifest, and each setting does what its name says.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Response;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);
const MISBEHAVE: [(&str, &str); 1] = [("component", "misbehave")];

/// One worker thread, so that all instances of the component are in one place.
fn app(settings: &str) -> App {
    app_on(1, settings)
}

fn app_on(workers: usize, settings: &str) -> App {
    App::new().misbehaving_guest(settings).argument(format!("--workers={workers}"))
}

/// Asks one after the other how many requests the instance was given.
async fn requests(host: &Host, times: usize) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..times {
        answers.push(host.text("/misbehave/requests").await);
    }
    answers
}

async fn metric(host: &Host, name: &str) -> f64 {
    host.metrics().await.sum(name, &MISBEHAVE)
}

async fn until_metric_is(host: &Host, name: &str, value: f64) {
    let deadline = Instant::now() + PATIENCE;
    while metric(host, name).await != value {
        assert!(Instant::now() < deadline, "{name} does not become {value}");
        sleep(POLL).await;
    }
}

async fn get_at_once(host: &Host, path: &str, times: usize) -> Vec<Response> {
    join_all((0..times).map(|_| host.get(path))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_replaced_after_its_share_of_requests() {
    let host = app("instance_reuse_max = 3").start().await;
    assert_eq!(requests(&host, 7).await, ["1", "2", "3", "1", "2", "3", "1"]);
    assert_eq!(metric(&host, "bodega_instances_created_total").await, 3.0);
    until_metric_is(&host, "bodega_instances_live", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_without_work_is_dropped_after_its_time_and_no_sooner() {
    let brief = app("idle_timeout_ms = 100").start().await;
    let patient = app("idle_timeout_ms = 3600000").start().await;
    assert_eq!(requests(&patient, 1).await, ["1"]);
    assert_eq!(requests(&brief, 1).await, ["1"]);
    until_metric_is(&brief, "bodega_instances_live", 0.0).await;
    assert_eq!(requests(&brief, 1).await, ["1"], "a fresh instance");
    assert_eq!(requests(&patient, 1).await, ["2"], "the same instance");
    assert_eq!(metric(&patient, "bodega_instances_live").await, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_instances_live_than_are_allowed() {
    const TIME: Duration = Duration::from_millis(200);
    let host = app("instances_max = 2\ninstance_concurrency_max = 1").start().await;
    let started = Instant::now();
    let path = format!("/misbehave/slow?ms={}", TIME.as_millis());
    let (answers, most) = tokio::join!(get_at_once(&host, &path, 8), async {
        let mut most: f64 = 0.0;
        while started.elapsed() < 3 * TIME {
            most = most.max(metric(&host, "bodega_instances_live").await);
            sleep(POLL).await;
        }
        most
    });
    assert!(answers.iter().all(|answer| answer.status() == 200), "{answers:?}");
    assert_eq!(most, 2.0);
    assert!(started.elapsed() >= 4 * TIME, "eight requests, two at once, took {:?}", started.elapsed());
    assert_eq!(metric(&host, "bodega_instances_created_total").await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_on_instances_is_one_over_all_threads() {
    const TIME: Duration = Duration::from_millis(300);
    // More threads than instances, and as many instances as do not divide by the threads.
    for (workers, allowed) in [(4, 1), (3, 5)] {
        let settings = format!("instances_max = {allowed}\ninstance_concurrency_max = 1");
        let host = app_on(workers, &settings).start().await;
        let started = Instant::now();
        let path = format!("/misbehave/slow?ms={}", TIME.as_millis());
        let (answers, most) = tokio::join!(get_at_once(&host, &path, 4 * allowed), async {
            let mut most: f64 = 0.0;
            while started.elapsed() < 4 * TIME {
                most = most.max(metric(&host, "bodega_instances_live").await);
                sleep(POLL).await;
            }
            most
        });
        assert!(answers.iter().all(|answer| answer.status() == 200), "{workers} threads: {answers:?}");
        assert!((1.0..=allowed as f64).contains(&most), "{workers} threads had {most} of {allowed} instances");
        assert!(started.elapsed() >= 4 * TIME, "{workers} threads took {:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_works_on_as_many_requests_at_once_as_are_allowed() {
    for allowed in [1, 4] {
        let settings = format!("instances_max = 1\ninstance_concurrency_max = {allowed}");
        let host = app(&settings).start().await;
        let mut most = 0;
        for answer in get_at_once(&host, "/misbehave/together?ms=300", 8).await {
            let told = answer.text().await.expect("a body");
            most = most.max(told.parse().unwrap_or_else(|_| panic!("not a number: {told}")));
        }
        assert_eq!(most, allowed);
        assert_eq!(metric(&host, "bodega_instances_created_total").await, 1.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_gets_no_more_memory_than_is_allowed() {
    let small = app("memory_bytes_max = 8388608").start().await;
    assert_eq!(small.text("/misbehave/allocate?bytes=2097152").await, "2097152");
    assert_eq!(small.get("/misbehave/allocate?bytes=16777216").await.status(), 500);
    assert_eq!(small.text("/misbehave/allocate?bytes=2097152").await, "2097152", "the next instance");
    let large = app("memory_bytes_max = 67108864").start().await;
    assert_eq!(large.text("/misbehave/allocate?bytes=16777216").await, "16777216");
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_as_many_requests_wait_as_are_allowed() {
    exactly_as_many_wait_on(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_as_many_requests_wait_as_are_allowed_over_all_threads() {
    exactly_as_many_wait_on(4).await;
}

async fn exactly_as_many_wait_on(workers: usize) {
    let settings = "instances_max = 1\ninstance_concurrency_max = 1\nqueue_length_max = 3";
    let host = app_on(workers, settings).start().await;
    let occupied = host.get("/misbehave/slow?ms=3000");
    let others = async {
        until_metric_is(&host, "bodega_instances_live", 1.0).await;
        get_at_once(&host, "/misbehave/slow?ms=1", 10).await
    };
    let all_wait = until_metric_is(&host, "bodega_queue_length", 3.0);
    let (first, others, ()) = tokio::join!(occupied, others, all_wait);
    assert_eq!(first.status(), 200);
    let count = |status: u16| others.iter().filter(|answer| answer.status().as_u16() == status).count();
    assert_eq!((count(200), count(503)), (3, 7));
    let refused = host.metrics().await;
    let queue_full = [MISBEHAVE[0], ("reason", "queue_full")];
    assert_eq!(refused.sum("bodega_requests_rejected_total", &queue_full), 7.0);
    until_metric_is(&host, "bodega_queue_length", 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_sets_nothing_has_the_applications_settings() {
    let application = "[application.tool.bodega]\ninstance_reuse_max = 1";
    let host = app("").append(application).start().await;
    assert_eq!(requests(&host, 3).await, ["1", "1", "1"]);
    let host = app("instance_reuse_max = 2").append(application).start().await;
    assert_eq!(requests(&host, 3).await, ["1", "2", "1"]);
}
