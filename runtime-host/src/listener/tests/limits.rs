//! 413, 414, 431, and as many connections as allowed.

use super::*;

const BODY_BYTES_MAX: usize = 1_000;

async fn listener() -> Running {
    Running::with_limits(|limits| {
        limits.body_bytes_max = Some(BODY_BYTES_MAX as u64);
        limits.header_bytes_max = 8 << 10;
        limits.uri_bytes_max = 100;
    })
    .await
}

fn post(length: usize) -> Request<Full<Bytes>> {
    Request::post("http://a/echo").body(Full::from("x".repeat(length))).unwrap()
}

#[tokio::test]
async fn an_announced_body_that_is_too_large_is_refused_before_it_is_handled() {
    let listener = listener().await;
    let mut client = listener.connect().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 1001\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("refused"), "{answer}");

    let mut http2 = listener.connect_http2().await;
    let refused = http2.send_request(post(BODY_BYTES_MAX + 1)).await.unwrap();
    assert_eq!(refused.status(), 413);
    let allowed = http2.send_request(post(BODY_BYTES_MAX)).await.unwrap();
    assert_eq!(text(allowed).await.len(), BODY_BYTES_MAX);
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_gets_its_413() {
    let listener = listener().await;
    let mut client = listener.connect().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4000000\r\n\r\n").await;
    for _ in 0..40 {
        client.send([b'x'; 10_000]).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_streamed_body_fails_where_it_becomes_too_large() {
    let listener = listener().await;
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = format!("{:x}\r\n{}\r\n", BODY_BYTES_MAX / 2, "x".repeat(BODY_BYTES_MAX / 2));

    let mut client = listener.connect().await;
    client.send(format!("{head}{chunk}{chunk}0\r\n\r\n")).await;
    assert!(client.answer().await.starts_with("HTTP/1.1 200 "));
    client.send(format!("{head}{chunk}{chunk}1\r\nx\r\n0\r\n\r\n")).await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");
}

#[tokio::test]
async fn without_a_bound_any_body_is_taken() {
    let listener = Running::with_limits(|limits| limits.body_bytes_max = None).await;
    let mut http2 = listener.connect_http2().await;
    let answer = http2.send_request(post(20 << 20)).await.unwrap();
    assert_eq!(text(answer).await.len(), 20 << 20);
}

#[tokio::test]
async fn a_long_uri_is_refused() {
    let listener = listener().await;
    let path = |length: usize| format!("/{}", "p".repeat(length - 1));
    let mut client = listener.connect().await;
    assert!(client.get(&path(100)).await.starts_with("HTTP/1.1 200 "));
    assert!(client.get(&path(101)).await.starts_with("HTTP/1.1 414 "));
    assert!(client.get(&path(100)).await.starts_with("HTTP/1.1 200 "), "the connection stays usable");
    let mut http2 = listener.connect_http2().await;
    assert_eq!(http2.send_request(get(&path(101))).await.unwrap().status(), 414);
}

#[tokio::test]
async fn a_large_header_section_is_refused() {
    let listener = listener().await;
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(9 << 10));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(101));
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\n{}", "x: y\r\n".repeat(40_000));
    for head in [large, many, endless] {
        let mut client = listener.connect().await;
        client.send(head).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let mut http2 = listener.connect_http2().await;
    let request = Request::get("http://a/").header("x", "x".repeat(9 << 10)).body(Full::default()).unwrap();
    assert_eq!(http2.send_request(request).await.unwrap().status(), 431);
    assert_eq!(http2.send_request(get("/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn nonsense_is_a_bad_request() {
    let listener = listener().await;
    for nonsense in ["\0\0\0\0\r\n\r\n", "GET / HTTP/1.1\r\nhost a\r\n\r\n", "GET / HTTP/9.9\r\n\r\n"] {
        let mut client = listener.connect().await;
        client.send(nonsense).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{nonsense:?}: {answer}");
    }
}

#[tokio::test]
async fn connections_over_the_bound_wait_for_a_place() {
    let listener = Running::start(|config| config.connections_max = 2).await;
    let mut first = listener.connect().await;
    let mut second = listener.connect().await;
    assert!(first.get("/1").await.ends_with("/1") && second.get("/2").await.ends_with("/2"));
    let mut third = listener.connect().await;
    let early = tokio::time::timeout(SHORT, third.get("/3")).await;
    assert!(early.is_err(), "{early:?}");
    drop(first);
    assert!(third.answer().await.ends_with("/3"));
    assert_eq!(listener.open.count(), 2);
}
