//! Two components that ask each other without end cost their client one clear error, also with the synchronous WASI 0.2.

use std::time::Duration;

use tests::app::App;
use tests::host::Host;
use tests::programs;
use tokio::time::Instant;

/// Far above what the longest chain takes, far below the default deadline of 30 seconds.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The components `a` and `b`, which may ask each other.
async fn host(settings: &str) -> Host {
    let guest = programs::component("interfaces-p2");
    let component = |app: App, id: &str, other: &str| {
        let settings = format!(
            "allowed_outbound_hosts = [\"http://{other}.spin.internal\"]\n[component.{id}.tool.bodega]\n{settings}"
        );
        app.component(id, &format!("\"/{id}/...\""), &guest, &settings)
    };
    component(component(App::new(), "a", "b"), "b", "a").start().await
}

/// Has `a` ask `b` and so on, and returns the status of the one answer.
async fn run_in_a_circle(host: &Host) -> u16 {
    let started = Instant::now();
    let answer = host.get("/a/cycle?through=b,a").await;
    assert!(started.elapsed() < ANSWER_MAX, "the circle took {:?}", started.elapsed());
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.expect("a problem document");
    assert_eq!(problem["status"], status);
    for id in ["a", "b"] {
        assert!(host.json(&format!("/{id}/random")).await["bytes"].is_array(), "{id} goes on");
    }
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_calls_is_cut() {
    let host = host("").await;
    assert_eq!(run_in_a_circle(&host).await, 500);
    host.log_line(&["taken for a loop"]).await;
    let live = host.metrics().await.sum("bodega_instances_live", &[]);
    assert!(live <= 32.0, "{live} instances for one request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_components_with_one_instance_each_ends_at_the_deadline() {
    let host = host("instances_max = 1\ndeadline_ms = 1000").await;
    let status = run_in_a_circle(&host).await;
    assert!(matches!(status, 500 | 504), "{status}");
}
