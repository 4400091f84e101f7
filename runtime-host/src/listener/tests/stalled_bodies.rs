//! Bodies that stand still: the client takes nothing of an answer, or sends nothing more of its request.

use super::*;

fn assert_timed(elapsed: Duration) {
    assert!((SHORT..PATIENCE / 2).contains(&elapsed), "{elapsed:?}");
}

async fn short_write_timeout() -> Running {
    Running::with_limits(|limits| limits.write_timeout = SHORT).await
}

async fn short_body_read_timeout() -> Running {
    Running::with_limits(|limits| limits.body_read_timeout = SHORT).await
}

/// The rest of an answer, which has to come to some end.
async fn rest(response: Response<hyper::body::Incoming>) -> Result<Bytes, hyper::Error> {
    let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.expect("an end of the body");
    body.map(|body| body.to_bytes())
}

type HalfBody = UnsyncBoxBody<Bytes, Infallible>;

/// A request whose body begins and never ends.
fn half(path: &str) -> Request<HalfBody> {
    let begin = futures::stream::iter([Ok(Frame::data(Bytes::from("half")))]);
    let body = StreamBody::new(begin.chain(futures::stream::pending()));
    Request::post(format!("http://a{path}")).body(body.boxed_unsync()).unwrap()
}

#[tokio::test]
async fn an_http2_client_that_opens_no_window_loses_the_stream_and_keeps_the_connection() {
    let listener = short_write_timeout().await;
    let mut client = listener.connect_http2_as::<Full<Bytes>>(|builder| builder.initial_stream_window_size(0)).await;
    for path in ["/short", "/endless"] {
        let started = Instant::now();
        let response = client.send_request(get(path)).await.unwrap();
        assert_eq!(response.status(), 200);
        let ended = rest(response).await;
        assert!(ended.is_err(), "{path}: {ended:?}");
        assert_timed(started.elapsed());
    }
}

#[tokio::test]
async fn an_http2_client_that_reads_nothing_loses_the_stream_and_keeps_the_others() {
    let listener = short_write_timeout().await;
    let mut client = listener.connect_http2().await;
    let unread = client.send_request(get("/endless")).await.unwrap();
    for _ in 0..4 {
        tokio::time::sleep(SHORT / 2).await;
        assert_eq!(text(client.send_request(get("/neighbour")).await.unwrap()).await, "/neighbour");
    }
    assert!(rest(unread).await.is_err(), "what was sent before the end is read, then the reset");
}

#[tokio::test]
async fn a_slow_http2_client_is_served_as_long_as_it_takes_something() {
    let listener = Running::with_limits(|limits| limits.write_timeout = 4 * SHORT).await;
    let mut client =
        listener.connect_http2_as::<Full<Bytes>>(|builder| builder.initial_stream_window_size(64 << 10)).await;
    let mut body = client.send_request(get("/endless")).await.unwrap().into_body();
    let started = Instant::now();
    while started.elapsed() < 6 * SHORT {
        tokio::time::sleep(SHORT / 2).await;
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    }
}

#[tokio::test]
async fn large_http2_answers_arrive_whole() {
    let listener = Running::with_limits(|limits| limits.body_bytes_max = None).await;
    let mut client = listener.connect_http2().await;
    for bytes in [(16 << 10) - 1, 16 << 10, (16 << 10) + 1, 5_000_000] {
        let sent: String = (0..bytes).map(|index| char::from(b'a' + (index % 23) as u8)).collect();
        let request = Request::post("http://a/echo").body(Full::from(sent.clone())).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.headers()["content-length"], bytes.to_string());
        assert!(text(response).await == sent, "{bytes} bytes");
    }
}

#[tokio::test]
async fn a_request_body_that_stands_still_is_answered_408() {
    let listener = short_body_read_timeout().await;
    let started = Instant::now();
    let mut client = listener.connect().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.ends_with("refused"), "{answer}");
    assert_timed(started.elapsed());

    let mut http2 = listener.connect_http2_as(|builder| builder).await;
    let refused = http2.send_request(half("/echo")).await.unwrap();
    assert_eq!((refused.status().as_u16(), text(refused).await), (408, "refused".to_owned()));
    let other = Request::get("http://a/other").body(HalfBody::default()).unwrap();
    assert_eq!(text(http2.send_request(other).await.unwrap()).await, "/other", "the connection stays usable");
}

#[tokio::test]
async fn an_answer_that_has_begun_is_cut_when_its_request_stands_still() {
    let listener = short_body_read_timeout().await;
    let mut client = listener.connect().await;
    client.send("POST /patient HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("begun "), "{answer}");
    assert!(!answer.ends_with("0\r\n\r\n"), "not the good end of a chunked body: {answer}");

    let mut http2 = listener.connect_http2_as(|builder| builder).await;
    let response = http2.send_request(half("/patient")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(rest(response).await.is_err());
}

#[tokio::test]
async fn a_request_body_may_be_slow_as_long_as_something_comes() {
    let listener = Running::with_limits(|limits| limits.body_read_timeout = 4 * SHORT).await;
    let mut client = listener.connect().await;
    client.send("POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n").await;
    for byte in ["s", "l", "o", "w", "l", "y"] {
        tokio::time::sleep(SHORT).await;
        client.send(byte).await;
    }
    assert!(client.answer().await.ends_with("slowly"));
}

#[tokio::test]
async fn a_body_of_many_small_pieces_is_read_like_any_other() {
    let listener = Running::with_limits(|limits| {
        limits.body_read_timeout = SHORT;
        limits.body_bytes_max = Some(2_000);
    })
    .await;
    let head = "POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let pieces = |count: usize| (0..count).map(|index| format!("1\r\n{}\r\n", index % 10)).collect::<String>();
    let large = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
    let mut client = listener.connect().await;
    client.send(format!("{head}{}{large}{}0\r\nx: y\r\n\r\n", pieces(500), pieces(200))).await;
    let expected = format!("{}{}{}", "0123456789".repeat(50), "x".repeat(1_000), "0123456789".repeat(20));
    assert!(client.answer().await.ends_with(&format!("\r\n\r\n{expected}")));

    client.send(format!("{head}{}0\r\n\r\n", pieces(2_001))).await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("too large"), "{answer}");

    for (end, status) in [("", "408"), ("x\r\n", "400")] {
        let mut client = listener.connect().await;
        client.send(format!("{head}{}{end}", pieces(100))).await;
        let answer = client.rest().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("refused"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_body_that_nobody_reads_is_not_waited_for() {
    let listener = short_body_read_timeout().await;
    let mut client = listener.connect().await;
    client.send("POST /slow HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    let answer = client.answer().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("slow"), "{answer}");
}
