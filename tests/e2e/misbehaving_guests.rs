//! A guest that misbehaves costs its own client one clear error, and nobody else anything.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Response;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::raw::RawConnection;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_millis(2_000);
/// The deadline, and what a busy two-core machine may add.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What a neighbour may take meanwhile. It takes far less than one millisecond alone; the deadline would show if it waited.
const NEIGHBOUR_MAX: Duration = Duration::from_millis(1_000);
/// What the host may grow by, given guests of at most 64 MiB.
const GROWTH_BYTES_MAX: u64 = 256 << 20;

async fn host() -> Host {
    let settings = format!(
        "deadline_ms = {}\nmemory_bytes_max = {}\ninstance_concurrency_max = 16",
        DEADLINE.as_millis(),
        64 << 20
    );
    App::new().guest("hello", "").misbehaving_guest(&settings).start().await
}

async fn one_clear_5xx(path: &str, status: u16, traps: bool) {
    let host = host().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    let before = host.resident_bytes();

    let url = format!("/misbehave/{path}");
    let started = Instant::now();
    let (answer, slowest) = with_neighbour(&host, host.get(&url)).await;
    assert!(started.elapsed() < ANSWER_MAX, "{path} took {:?}", started.elapsed());
    assert!(slowest < NEIGHBOUR_MAX, "beside {path}, a neighbour waited {slowest:?}");
    assert_problem(answer, status).await;
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "after {path}, the host has grown by {grown} bytes");

    let alive = host.post("/misbehave/echo").body("still here").send().await.expect("an answer");
    assert_eq!(alive.text().await.expect("a body"), "still here", "after {path}");
    let metrics = host.metrics().await;
    let failed = [("component", "misbehave"), ("status_class", "5xx")];
    assert!(metrics.sum("bodega_http_requests_total", &failed) >= 1.0, "{path} is not counted");
    if traps {
        let trapped = metrics.sum("bodega_instances_trapped_total", &[("component", "misbehave")]);
        assert!(trapped >= 1.0, "the trap of {path} is not counted");
    }
}

/// Awaits `request` while asking the neighbour again and again; returns the longest that the neighbour took.
async fn with_neighbour<T>(host: &Host, request: impl Future<Output = T>) -> (T, Duration) {
    tokio::pin!(request);
    let mut slowest = Duration::ZERO;
    loop {
        let started = Instant::now();
        tokio::select! {
            biased;
            // A neighbour that is cut off here has waited all the same.
            answer = &mut request => return (answer, slowest.max(started.elapsed())),
            text = host.text("/hello/") => assert_eq!(text, "Hello, world!\n"),
        }
        slowest = slowest.max(started.elapsed());
        sleep(Duration::from_millis(5)).await;
    }
}

async fn assert_problem(answer: Response, status: u16) {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = answer.json().await.expect("a problem document");
    assert_eq!(problem["status"], status);
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    assert!(!problem.to_string().contains("wasm"), "the details belong into the log: {problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_ends_at_the_deadline() {
    one_clear_5xx("loop", 504, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_ends_at_the_deadline() {
    one_clear_5xx("never", 504, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recursion_ends_with_its_stack() {
    one_clear_5xx("recurse", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded() {
    one_clear_5xx("memory", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_bounded() {
    one_clear_5xx("table", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_are_bounded() {
    one_clear_5xx("handle-leak", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_one_error() {
    one_clear_5xx("trap", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_one_error() {
    one_clear_5xx("panic", 500, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn header_fields_are_bounded() {
    one_clear_5xx("headers-40000", 500, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_calls_ends() {
    one_clear_5xx("chain-cycle", 500, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_through_the_own_routes_ends_as_soon() {
    let host = host().await;
    assert_problem(host.get("/misbehave/self-cycle").await, 500).await;
    let rounds = host.metrics().await.sum("bodega_http_requests_total", &[("component", "misbehave")]);
    assert!((2.0..20.0).contains(&rounds), "the request went round {rounds} times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_the_former_generation_costs_no_more() {
    let settings = format!("[component.interfaces-p2.tool.bodega]\ndeadline_ms = {}", DEADLINE.as_millis());
    let host = App::new().guest("hello", "").guest("interfaces-p2", &settings).start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    for (path, status) in [("loop", 504), ("never", 504), ("trap", 500)] {
        let (answer, slowest) = with_neighbour(&host, host.get(&format!("/interfaces-p2/{path}"))).await;
        assert!(slowest < NEIGHBOUR_MAX, "beside {path}, a neighbour waited {slowest:?}");
        assert_problem(answer, status).await;
        assert_eq!(host.get("/interfaces-p2/request").await.status(), 200, "after {path}");
    }
    let mut answer = host.get("/interfaces-p2/trap-body").await;
    assert_eq!(answer.status(), 200);
    let mut read = Vec::new();
    let cut = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => read.extend(chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "a truncated body must not look complete: {:?}", String::from_utf8_lossy(&read));
    let trapped = host.metrics().await.sum("bodega_instances_trapped_total", &[("component", "interfaces-p2")]);
    assert!(trapped >= 2.0, "{trapped} traps are counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_in_a_transaction_takes_it_back_and_lets_others_write_at_once() {
    /// Well below the time after which any transaction is taken back.
    const SOON: Duration = Duration::from_secs(3);
    let host = App::new().ledger().start().await;
    assert_eq!(host.post("/ledger/rows?n=1").send().await.expect("an answer").status(), 201);
    assert_problem(host.post("/ledger/trap?n=2").send().await.expect("an answer"), 500).await;
    let started = Instant::now();
    assert_eq!(host.post("/ledger/rows?n=3").send().await.expect("an answer").status(), 201);
    assert!(started.elapsed() < SOON, "the writer was held for {:?}", started.elapsed());
    assert_eq!(host.json("/ledger/rows").await, serde_json::json!([1, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_is_late_leaves_its_seat_to_the_next() {
    let settings = format!("deadline_ms = {}\ninstances_max = 1", DEADLINE.as_millis());
    let host = App::new().misbehaving_guest(&settings).start().await;
    assert_problem(host.get("/misbehave/never").await, 504).await;
    let started = Instant::now();
    assert_eq!(host.text("/misbehave/slow?ms=1").await, "slow");
    assert!(started.elapsed() < DEADLINE / 2, "it waited {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_body_is_cut_off() {
    let host = host().await;
    let mut answer = host.get("/misbehave/stall-body").await;
    let first = answer.chunk().await.expect("the body begins").expect("with some words");
    assert_eq!(first, "the first words");
    let started = Instant::now();
    let (rest, slowest) = with_neighbour(&host, answer.chunk()).await;
    assert!(rest.is_err(), "a truncated body must not look complete: {rest:?}");
    assert!(started.elapsed() < ANSWER_MAX, "the stall lasted {:?}", started.elapsed());
    assert!(slowest < NEIGHBOUR_MAX, "a neighbour waited {slowest:?}");
    until_cut(&host, "stalled", 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_lost_instance_does_not_look_complete() {
    let host = host().await;
    for cut in [1.0, 2.0] {
        let mut answer = host.get("/misbehave/trap-body?ms=100").await;
        assert_eq!(answer.status(), 200);
        let first = answer.chunk().await.expect("the body begins").expect("with some words");
        assert_eq!(first, "the first words");
        let rest = answer.chunk().await;
        assert!(rest.is_err(), "a truncated body must not look complete: {rest:?}");
        until_cut(&host, "trapped", cut).await;
    }
    assert_eq!(host.text("/misbehave/slow?ms=1").await, "slow");
    let whole = host.post("/misbehave/echo").body("whole").send().await.expect("an answer");
    assert_eq!(whole.text().await.expect("a body"), "whole");
    let all = host.metrics().await.sum("bodega_response_bodies_cut_total", &[]);
    assert_eq!(all, 2.0, "what is whole is not counted");
}

/// Waits until as many bodies of the guest were cut for this reason.
async fn until_cut(host: &Host, reason: &str, count: f64) {
    let labels = [("component", "misbehave"), ("reason", reason)];
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cut = host.metrics().await.sum("bodega_response_bodies_cut_total", &labels);
        if cut == count {
            return;
        }
        assert!(cut < count && Instant::now() < deadline, "{cut} bodies were {reason}, not {count}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_still_streams_takes_no_more_than_it_may_work_on() {
    let settings = "instances_max = 4\ninstance_concurrency_max = 1";
    let host = App::new().misbehaving_guest(settings).argument("--workers=1").start().await;
    let created = async || host.metrics().await.sum("bodega_instances_created_total", &[("component", "misbehave")]);
    let mut streaming = host.get("/misbehave/stall-body").await;
    assert_eq!(streaming.chunk().await.expect("a body").expect("that begins"), "the first words");
    assert_eq!(created().await, 1.0);
    assert_eq!(host.text("/misbehave/slow?ms=0").await, "slow");
    assert_eq!(created().await, 2.0, "the first instance is at work on its stream");
    assert_eq!(host.text("/misbehave/slow?ms=0").await, "slow");
    assert_eq!(created().await, 2.0, "the second one is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_flows_in_bounded_memory_and_ends_with_its_reader() {
    const READ_BYTES: usize = 64 << 20;
    let host = host().await;
    let before = host.resident_bytes();
    let mut answer = host.get("/misbehave/endless-body").await;
    let mut read = 0;
    while read < READ_BYTES {
        read += answer.chunk().await.expect("the body flows").expect("without end").len();
    }
    drop(answer);
    until_cut(&host, "abandoned", 1.0).await;

    // A reader that never reads must not make the host collect the body either.
    let mut idle = RawConnection::open(&host).await;
    assert!(idle.send("GET /misbehave/endless-body HTTP/1.1\r\nhost: shop\r\n\r\n").await);
    let ((), slowest) = with_neighbour(&host, sleep(DEADLINE)).await;
    assert!(slowest < NEIGHBOUR_MAX, "a neighbour waited {slowest:?}");
    let grown = host.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "the host has grown by {grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_among_fifteen_neighbours_gives_each_exactly_one_answer() {
    // One thread and room for all sixteen, so that one instance has them.
    let app = App::new().guest("hello", "").misbehaving_guest("instance_concurrency_max = 16");
    let host = app.argument("--workers=1").start().await;
    let neighbours = join_all((0..15).map(|_| host.get("/misbehave/slow?ms=1000")));
    let (neighbours, trapped) = tokio::join!(neighbours, host.get("/misbehave/trap-after?ms=300"));
    let misbehave = [("component", "misbehave")];
    let metrics = host.metrics().await;
    assert_eq!(metrics.sum("bodega_instances_created_total", &misbehave), 1.0, "they share an instance");
    assert_eq!(metrics.sum("bodega_instances_trapped_total", &misbehave), 1.0);
    assert_problem(trapped, 500).await;
    let mut failed = 0;
    for answer in neighbours {
        match answer.status().as_u16() {
            200 => assert_eq!(answer.text().await.expect("a body"), "slow"),
            _ => {
                failed += 1;
                assert_problem(answer, 500).await;
            }
        }
    }
    assert!(failed > 0, "no neighbour was on the instance that was lost");
    assert_eq!(host.text("/misbehave/slow?ms=1").await, "slow");
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_queue_holds_are_told_to_come_back() {
    let settings = "instances_max = 2\ninstance_concurrency_max = 1\nqueue_length_max = 1";
    let host = App::new().misbehaving_guest(settings).start().await;
    let answers = join_all((0..20).map(|_| host.get("/misbehave/slow?ms=500"))).await;
    let (served, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status() == 200);
    assert!(!served.is_empty() && !refused.is_empty(), "{} were served", served.len());
    for answer in refused {
        assert!(answer.headers().contains_key("retry-after"));
        assert_problem(answer, 503).await;
    }
    let rejected = [("component", "misbehave")];
    assert!(host.metrics().await.sum("bodega_requests_rejected_total", &rejected) >= 1.0);
}
