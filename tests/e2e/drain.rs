//! The host is asked to end: requests on the way are answered, idle connections closed, new ones refused.

use std::time::Duration;

use reqwest::{Client, Version};
use rustix::process::Signal;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::raw::RawConnection;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

/// Long enough for the signal to arrive while a request is on its way.
const HEAD_START: Duration = Duration::from_millis(500);
const SLOW: &str = "/misbehave/slow?ms=2000";

async fn host() -> Host {
    App::new().guest("hello", "").misbehaving_guest("").start().await
}

async fn end_during(mut host: Host, client: Client, version: Version) {
    let request = tokio::spawn(client.get(host.url(SLOW)).send());
    sleep(HEAD_START).await;
    host.signal(Signal::TERM);
    let answer = request.await.expect("no panic").expect("the request on its way is answered");
    assert_eq!(answer.version(), version);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.expect("the body is complete"), "slow");
    assert_eq!(host.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_its_way_is_answered() {
    end_during(host().await, tests::client::builder().build().expect("a client"), Version::HTTP_11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_its_way_over_http_2_is_answered() {
    let client = tests::client::builder().http2_prior_knowledge().build().expect("a client");
    end_during(host().await, client, Version::HTTP_2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_are_closed_and_new_ones_refused() {
    let mut host = host().await;
    let mut idle = RawConnection::open(&host).await;
    assert!(idle.send("GET /hello/ HTTP/1.1\r\nhost: shop\r\n\r\n").await);
    assert!(idle.read_until("Hello, world!\n").await.starts_with("HTTP/1.1 200"));
    let slow = tokio::spawn(host.request(SLOW).send());
    sleep(HEAD_START).await;

    host.signal(Signal::TERM);
    let started = Instant::now();
    assert_eq!(idle.read_to_end(PATIENCE).await, "", "nothing more to say");
    assert!(started.elapsed() < Duration::from_secs(1), "closed after {:?}", started.elapsed());
    // The port closes at the same time, by another thread.
    while TcpStream::connect(host.address()).await.is_ok() {
        assert!(started.elapsed() < Duration::from_secs(1), "no new connections");
    }
    assert_eq!(slow.await.expect("no panic").expect("an answer").status(), 200);
    assert_eq!(host.ended().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_has_served_its_connections_goes_on_working_for_another() {
    // The one instance is on the first thread. Two connections go to two threads, in an order that is not known.
    for times_ms in [[2_000, 700], [700, 2_000]] {
        let app = App::new().misbehaving_guest("instances_max = 1").argument("--workers=2");
        let mut host = app.start().await;
        let mut connections = Vec::new();
        for time_ms in times_ms {
            let mut connection = RawConnection::open(&host).await;
            let request = format!("GET /misbehave/slow?ms={time_ms} HTTP/1.1\r\nhost: shop\r\n\r\n");
            assert!(connection.send(request).await);
            connections.push(connection);
        }
        sleep(HEAD_START).await;
        host.signal(Signal::TERM);
        for mut connection in connections {
            let answer = connection.read_to_end(PATIENCE).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("slow"), "{times_ms:?}: {answer}");
        }
        assert_eq!(host.ended().await.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let mut host = host().await;
    let never = tokio::spawn(host.request("/misbehave/never").send());
    sleep(HEAD_START).await;
    host.signal(Signal::TERM);
    sleep(HEAD_START).await;
    host.signal(Signal::TERM);
    let started = Instant::now();
    host.ended().await;
    assert!(started.elapsed() < Duration::from_secs(5), "ended after {:?}", started.elapsed());
    assert!(never.await.expect("no panic").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_fails_while_requests_are_still_taken() {
    let app = App::new().guest("hello", "").argument("--readiness-delay-ms=2000");
    let mut host = app.start().await;
    host.signal(Signal::TERM);
    sleep(HEAD_START).await;
    assert_eq!(host.get("/readyz").await.status(), 503);
    assert_eq!(host.get("/livez").await.status(), 200);
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert_eq!(host.ended().await.code(), Some(0));
}
