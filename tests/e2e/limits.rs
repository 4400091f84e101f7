//! Requests that are too large, too slow, or in an unusual but lawful form.

use std::time::Duration;

use reqwest::Version;
use tests::app::App;
use tests::host::Host;
use tests::raw::{RawConnection, status};

/// Far below the default timeouts, far above what is set here.
const READ_TO_END: Duration = Duration::from_secs(5);

fn app() -> App {
    App::new().guest("hello", "").misbehaving_guest("")
}

async fn host() -> Host {
    app().start().await
}

/// Sends a request head with `extra` lines on its own connection and returns the answer's status.
async fn answer_to(host: &Host, target: &str, extra: &str) -> u16 {
    let mut connection = RawConnection::open(host).await;
    let head = format!("GET {target} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n{extra}\r\n");
    connection.send(head).await;
    status(&connection.read_until("\r\n\r\n").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let host = host().await;
    let large_field = format!("x-large: {}\r\n", "a".repeat(200 << 10));
    assert_eq!(answer_to(&host, "/hello/", &large_field).await, 431);
    let many_fields: String = (0..500).map(|n| format!("x-{n}: 1\r\n")).collect();
    assert_eq!(answer_to(&host, "/hello/", &many_fields).await, 431);
    let long_target = format!("/hello/{}", "a".repeat(200 << 10));
    let refused = answer_to(&host, &long_target, "").await;
    assert!(matches!(refused, 414 | 431), "{refused}");
    assert_eq!(answer_to(&host, "/hello/", "x-small: 1\r\n").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_body_that_is_too_large_is_refused_unread() {
    let host = host().await;
    let answer = answer_to(&host, "/misbehave/count", "content-length: 100000000000\r\n").await;
    assert_eq!(answer, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unannounced_body_that_is_too_large_is_cut_off() {
    let host = app().argument("--body-bytes-max=1000").start().await;
    let mut connection = RawConnection::open(&host).await;
    let chunk = format!("3e8\r\n{}\r\n", ".".repeat(1_000));
    connection.send("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n").await;
    connection.send(format!("{chunk}{chunk}0\r\n\r\n")).await;
    assert_eq!(status(&connection.read_until("\r\n\r\n").await), 413);
    let just_fits = host.post("/misbehave/count").body(vec![b'.'; 1_000]).send().await;
    assert_eq!(just_fits.expect("an answer").text().await.expect("a body"), "1000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_within_the_limit_arrives_whole() {
    const BYTES: usize = 8 << 20;
    let host = host().await;
    let answer = host.post("/misbehave/count").body(vec![b'.'; BYTES]).send().await;
    assert_eq!(answer.expect("an answer").text().await.expect("a body"), BYTES.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_never_ends_is_not_waited_for() {
    let host = app().argument("--header-read-timeout-ms=300").start().await;
    let mut connection = RawConnection::open(&host).await;
    connection.send("GET /hello/ HTTP/1.1\r\nhost: sh").await;
    let answer = connection.read_to_end(READ_TO_END).await;
    assert!(answer.is_empty() || status(&answer) == 408, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_is_not_waited_for() {
    let host = app().argument("--body-read-timeout-ms=300").start().await;
    let mut connection = RawConnection::open(&host).await;
    connection.send("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = connection.read_to_end(READ_TO_END).await;
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(answer.contains("urn:bodega:problem:body-timeout"), "{answer}");
    assert_eq!(host.post("/misbehave/count").body("whole").send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_works_without_tls_by_prior_knowledge() {
    let host = host().await;
    let client = tests::client::builder().http2_prior_knowledge().build().expect("a client");
    let answer = client.get(host.url("/hello/")).send().await.expect("an answer");
    assert_eq!(answer.version(), Version::HTTP_2);
    assert_eq!(answer.text().await.expect("a body"), "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let host = host().await;
    let mut connection = RawConnection::open(&host).await;
    let slow = "GET /misbehave/slow?ms=300 HTTP/1.1\r\nhost: shop\r\n\r\n";
    let quick = "GET /hello/ HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
    connection.send(format!("{slow}{quick}")).await;
    let answers = connection.read_to_end(READ_TO_END).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
    assert!(answers.find("slow") < answers.find("Hello"), "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_a_bad_request() {
    let host = host().await;
    let mut connection = RawConnection::open(&host).await;
    connection.send("NONSENSE\r\n\r\n").await;
    assert_eq!(status(&connection.read_to_end(READ_TO_END).await), 400);
}
