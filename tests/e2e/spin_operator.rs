//! SpinKube's operator runs our host as the `spinImage` of a SpinAppExecutor: for each SpinApp of k8s/overlays/spinkube the host gets
//! the command line, the environment and the files that the operator would give it, and the probes are asked that it would set up.

mod artifact;
mod pod;

use std::time::Duration;

use rustix::process::Signal;
use tests::host::{Host, PATIENCE};
use tokio::time::{Instant, sleep};

use pod::{Pod, SECRET};

const SERVICES: [&str; 6] = ["auth", "cart", "catalog", "orders", "payments", "shipping"];
/// What Kubernetes gives a pod to end, unless somebody says otherwise, which SpinApps cannot.
const GRACE: Duration = Duration::from_secs(30);
/// How long proxies may go on to send requests to a pod that is not ready any more.
const PROPAGATION: Duration = Duration::from_secs(2);

/// One request over a connection of its own, as those of a proxy that has just learned of a pod.
async fn status(url: &str) -> Result<u16, String> {
    let client =
        tests::client::builder().timeout(PATIENCE).no_proxy().pool_max_idle_per_host(0).build().expect("a client");
    client.get(url).send().await.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"))
}

async fn answers_probes(host: &Host, pod: &Pod) {
    for probe in pod.probes() {
        assert_eq!(host.get(&probe).await.status(), 200, "{probe}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_spin_app_runs_alone_and_has_what_other_services_ask_of_it() {
    for service in SERVICES {
        let pod = Pod::of(service);
        let host = pod.app().start().await;
        answers_probes(&host, &pod).await;
        let document = host.json(&format!("/api/{service}/openapi.json")).await;
        assert!(document["openapi"].is_string(), "{service} answers its own routes: {document}");
        for other in SERVICES.iter().filter(|other| **other != service) {
            let answer = host.get(&format!("/api/{other}/openapi.json")).await;
            assert_eq!(answer.status(), 404, "{service} has no {other}");
        }
        for sweep in pod::sweeps(service) {
            let stranger = host.post(&sweep).send().await.expect("an answer").status().as_u16();
            assert!(matches!(stranger, 401 | 403), "{service}{sweep} answers a stranger {stranger}");
            let request = host.post(&sweep).header("x-internal-secret", SECRET);
            let answer = request.send().await.expect("an answer");
            assert!(answer.status().is_success(), "{service}{sweep}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_to_end_loses_no_request() {
    let pod = Pod::of("catalog");
    let mut host = pod.app().start().await;
    let (readiness, products) = (host.url(&pod.readiness()), host.url("/api/products"));
    assert_eq!(status(&products).await, Ok(200));

    let told = Instant::now();
    host.signal(Signal::TERM);
    // Requests come until everybody has heard that the pod is not ready.
    let mut heard = None;
    let mut answered = 0;
    while heard.is_none_or(|heard: Instant| heard.elapsed() < PROPAGATION) {
        assert_eq!(status(&products).await, Ok(200), "{:?} after the signal", told.elapsed());
        answered += 1;
        if heard.is_none() && status(&readiness).await != Ok(200) {
            heard = Some(Instant::now());
        }
        assert!(told.elapsed() < GRACE, "it goes on to say that it is ready");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(answered > 10, "{answered} requests");
    assert_eq!(host.ended().await.code(), Some(0));
    assert!(told.elapsed() < GRACE, "ended after {:?}", told.elapsed());
}
