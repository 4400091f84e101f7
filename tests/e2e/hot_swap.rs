//! An operator replaces a component while shoppers use it: no request fails, and the former revision leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tests::app::App;
use tests::control::{replaced, revision_of, variant};
use tests::host::Host;
use tests::load::Load;
use tests::programs;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const SWAPS: usize = 100;
/// Swaps after which both revisions have been seen and the memory is what it will be.
const SWAPS_BEFORE_MEMORY_COUNTS: usize = 20;
/// The first swaps, after each of which the former revision is looked at once it has drained.
const SWAPS_LOOKED_AT: usize = 6;
/// Within which the load asks each revision that still answers.
const LOOK: Duration = Duration::from_millis(300);
/// Swaps of a component that others import; an odd number, so that the other one is in force at the end.
const SHARED_SWAPS: usize = 21;

/// An app of one component, in this version.
fn app(wasm: &[u8]) -> App {
    let app = App::new().file("variant.wasm", wasm);
    let source = app.folder().join("variant.wasm");
    app.component("variant", "\"/variant/...\"", &source, "")
}

async fn answered_by(host: &Host, revision: &str) -> f64 {
    let labels = [("component", "variant"), ("revision", revision)];
    host.metrics().await.sum("bodega_http_requests_total", &labels)
}

/// Waits until the former revision has drained, and looks that it has no instances and answers nothing while requests still come.
async fn assert_drains(host: &Host, former: &[u8], current: &[u8]) {
    host.until_drained("variant").await;
    let (former, current) = (revision_of(former), revision_of(current));
    let drained = answered_by(host, &former).await;
    let before = answered_by(host, &current).await;
    assert!(drained > 0.0, "it has answered before");
    let live = host.metrics().await.sum("bodega_instances_live", &[("revision", &former)]);
    assert_eq!(live, 0.0, "instances of a revision that has drained");
    sleep(LOOK).await;
    assert_eq!(answered_by(host, &former).await, drained, "answered by a revision that has drained");
    assert!(answered_by(host, &current).await > before, "the load goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_under_load_lose_nothing_and_leave_nothing() {
    let (one, two) = (variant("one", &[]), variant("two", &[]));
    let host = app(&one).start().await;
    let load = Load::start(&host);
    let mut resident_before = 0;
    let mut slowest = Duration::ZERO;
    for swap in 0..SWAPS {
        let (former, wasm, name) = if swap % 2 == 0 { (&one, &two, "two") } else { (&two, &one, "one") };
        let started = Instant::now();
        let done = host.deploy("variant", wasm).await;
        assert_eq!(done["switched"], json!(["variant"]));
        assert_eq!(host.text("/variant/").await, name, "who asks after the deployment gets the new revision");
        if swap > 0 {
            slowest = slowest.max(started.elapsed());
        }
        if swap < SWAPS_LOOKED_AT {
            assert_drains(&host, former, wasm).await;
        }
        if swap == SWAPS_BEFORE_MEMORY_COUNTS {
            resident_before = host.resident_bytes();
        }
    }
    let resident_after = host.resident_bytes();

    // The last swap brought the first revision back.
    assert_drains(&host, &two, &one).await;
    let answers = load.end().await;
    println!(
        "{SWAPS} swaps, {answers} answers, slowest {slowest:?}, resident {resident_before} -> {resident_after} bytes"
    );
    assert!(
        resident_after as f64 <= resident_before as f64 * 1.05,
        "resident memory grew from {resident_before} to {resident_after} bytes"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_has_begun_ends_on_the_former_revision() {
    let host = app(&variant("one", &[])).start().await;
    let mut answer = host.get("/variant/drip?ms=2000").await;
    let first = answer.chunk().await.expect("a body").expect("a piece");
    host.deploy("variant", &variant("two", &[])).await;
    assert_eq!(host.text("/variant/").await, "two");
    let draining = host.status_of("variant").await["draining"].clone();
    assert_eq!(draining[0]["instances"], 1, "{draining}");
    let mut whole = first.to_vec();
    while let Some(piece) = answer.chunk().await.expect("the body goes on") {
        whole.extend_from_slice(&piece);
    }
    assert_eq!(String::from_utf8_lossy(&whole), "one".repeat(10));
    host.until_drained("variant").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut_when_the_time_of_the_former_revision_is_up() {
    const DRAIN: Duration = Duration::from_millis(1_500);
    let one = variant("one", &[]);
    let app = App::new().file("variant.wasm", &one);
    let source = app.folder().join("variant.wasm");
    let rollout = "[component.variant.tool.bodega.rollout]\ndrain = \"1500ms\"";
    let host = app.component("variant", "\"/variant/...\"", &source, rollout).start().await;
    // It would take so long that to the host it is one without end.
    let mut endless = host.get("/variant/drip?ms=200000").await;
    let first = endless.chunk().await.expect("a body").expect("a piece");
    let in_time = host.get("/variant/drip?ms=700").await;

    let started = Instant::now();
    host.deploy("variant", &variant("two", &[])).await;
    let status = String::from_utf8_lossy(&host.operate(&["status"]).await.stdout).into_owned();
    assert!(status.contains(" instances, for 0s, cut in 1s)"), "{status}");
    assert_eq!(in_time.text().await.expect("a whole body"), "one".repeat(10));
    let rest = endless.chunk().await;
    assert!(rest.is_err(), "after {first:?}: its client is not to take it for whole: {rest:?}");
    assert!((DRAIN..2 * DRAIN).contains(&started.elapsed()), "cut after {:?}", started.elapsed());

    host.until_drained("variant").await;
    let metrics = host.metrics().await;
    let former = revision_of(&one);
    let of_it = |name: &str| metrics.sum(name, &[("revision", &former)]);
    assert_eq!(of_it("bodega_instances_live"), 0.0);
    assert_eq!(of_it("bodega_instances_trapped_total"), 0.0, "the guest did nothing wrong");
    let cut = |reason| metrics.sum("bodega_response_bodies_cut_total", &[("revision", &former), ("reason", reason)]);
    assert_eq!((cut("drained"), of_it("bodega_response_bodies_cut_total")), (1.0, 1.0));
    host.log_line(&["what was left of the former revision was cut", "requests_cut", "1"]).await;
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_an_answer_are_told_to_ask_again_when_the_time_of_the_former_revision_is_up() {
    let one = variant("one", &["delay_ms=9000"]);
    let app = App::new().file("variant.wasm", &one);
    let source = app.folder().join("variant.wasm");
    let settings = "[component.variant.tool.bodega]\ninstances_max = 1\ninstance_concurrency_max = 1\n\
                    rollout = { drain = \"300ms\" }";
    let host = Arc::new(app.component("variant", "\"/variant/...\"", &source, settings).start().await);
    let mut asked = JoinSet::new();
    for _ in 0..3 {
        let host = host.clone();
        asked.spawn(async move { host.get("/variant/").await });
    }
    // One is at work, and the others wait for it.
    let waiting = async || host.metrics().await.sum("bodega_queue_length", &[("component", "variant")]);
    while waiting().await < 2.0 {
        sleep(Duration::from_millis(5)).await;
    }
    host.deploy("variant", &variant("two", &[])).await;
    for answer in asked.join_all().await {
        assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    }
    host.until_drained("variant").await;
    host.log_line(&["what was left of the former revision was cut", "requests_cut", "3"]).await;
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_for_the_former_revision_are_answered_by_it() {
    let slow = "[component.variant.tool.bodega]\ninstances_max = 1\ninstance_concurrency_max = 1";
    let app = App::new().file("variant.wasm", variant("one", &["delay_ms=0150"])).argument("--workers=1");
    let source = app.folder().join("variant.wasm");
    let host = Arc::new(app.component("variant", "\"/variant/...\"", &source, slow).start().await);
    let mut waiting = JoinSet::new();
    for _ in 0..6 {
        let host = host.clone();
        waiting.spawn(async move { host.text("/variant/").await });
    }
    let length = async || host.metrics().await.sum("bodega_queue_length", &[("component", "variant")]);
    while length().await < 5.0 {
        sleep(Duration::from_millis(5)).await;
    }
    host.deploy("variant", &variant("two", &[])).await;
    let started = Instant::now();
    assert_eq!(host.text("/variant/").await, "two");
    assert!(started.elapsed() < Duration::from_millis(300), "it does not wait behind the former revision's requests");
    assert_eq!(waiting.join_all().await, ["one"; 6]);
    host.until_drained("variant").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_others_import_is_replaced_in_all_of_them_at_once() {
    let wit = "bodega:test-greeter/greet@1.0.0";
    let greeting = programs::component("greeting");
    let dependency = |id| format!("[component.{id}.dependencies]\n\"{wit}\" = {{ component = \"greeter\" }}");
    let host = App::new()
        .component("left", "\"/left/...\"", &greeting, &dependency("left"))
        .component("right", "\"/right/...\"", &greeting, &dependency("right"))
        .append(&format!("[component.greeter]\nsource = {:?}", programs::component("greeter")))
        .start()
        .await;
    assert!(host.text("/left/Ann").await.starts_with("Good day, Ann."));
    let greeter = std::fs::read(programs::component("greeter")).expect("the guest is readable");
    let other = replaced(greeter.clone(), "Good day, ", "Good bye, ");
    let stop = Arc::new(AtomicBool::new(false));
    let mut watchers = JoinSet::new();
    for _ in 0..4 {
        let (left, right, stop) = (host.request("/left/Ann"), host.request("/right/Ann"), stop.clone());
        watchers.spawn(async move {
            let mut greetings = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                for request in [&left, &right] {
                    let answer = request.try_clone().expect("it has no body").send().await.expect("an answer");
                    let text = answer.error_for_status().expect("a greeting").text().await.expect("a body");
                    greetings.push(text.split(',').next().expect("a greeting").to_owned());
                }
            }
            greetings.dedup();
            greetings
        });
    }
    for swap in 0..SHARED_SWAPS {
        let done = host.deploy("greeter", if swap % 2 == 0 { &other } else { &greeter }).await;
        assert_eq!(done["switched"], json!(["left", "right"]));
    }
    for path in ["/left/Ann", "/right/Ann"] {
        assert!(host.text(path).await.starts_with("Good bye, Ann."), "{path}");
    }
    stop.store(true, Ordering::Relaxed);
    // Whoever saw the new one through one component sees it through the other, and never the former one again.
    for greetings in watchers.join_all().await {
        assert!(greetings.len() <= SHARED_SWAPS + 1, "{} turns in {SHARED_SWAPS} swaps", greetings.len() - 1);
    }
    let back = host.operate(&["rollback", "greeter", "--wait"]).await;
    assert!(back.status.success(), "{back:?}");
    for path in ["/left/Ann", "/right/Ann"] {
        assert!(host.text(path).await.starts_with("Good day, Ann."), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_deploys_looks_and_goes_back() {
    let host = app(&variant("one", &[])).start().await;
    let artifact = host.write("two.wasm", &variant("two", &[]));
    let artifact = artifact.to_str().expect("UTF-8");
    let arguments = ["deploy", "variant", artifact, "--wait", "--why", "a new name", "--smoke", "/healthy"];
    let done = host.operate(&arguments).await;
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success() && said.contains("revision 2 is in force") && said.contains("has finished"),
        "{done:?}"
    );
    assert_eq!(host.text("/variant/").await, "two");
    let again = host.operate(&arguments).await;
    assert!(String::from_utf8_lossy(&again.stdout).contains("in force already"), "{again:?}");

    let status = String::from_utf8_lossy(&host.operate(&["status"]).await.stdout).into_owned();
    assert!(status.contains(&revision_of(&variant("two", &[]))), "{status}");
    let history = String::from_utf8_lossy(&host.operate(&["history", "variant"]).await.stdout).into_owned();
    let lines: Vec<&str> = history.lines().collect();
    assert!(
        lines[1].starts_with("2 ") && lines[1].contains("in force") && lines[1].contains("a new name"),
        "{history}"
    );
    assert!(lines[2].starts_with("1 ") && lines[2].contains("manifest"), "{history}");

    let back = host.operate(&["rollback", "variant", "--wait"]).await;
    assert!(back.status.success(), "{back:?}");
    assert_eq!(host.text("/variant/").await, "one");
    let none = host.operate(&["rollback", "variant"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("no earlier revision"), "{none:?}");
    let forward = host.operate(&["rollback", "variant", "--to", "2"]).await;
    assert!(forward.status.success(), "{forward:?}");
    assert_eq!(host.text("/variant/").await, "two");
}
