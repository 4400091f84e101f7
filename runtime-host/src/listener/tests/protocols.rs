//! HTTP/1.1 and HTTP/2 on one port, pipelining, the share of each worker.

use super::*;

#[tokio::test]
async fn both_protocols_answer_on_one_port() {
    let listener = Running::start(|_| {}).await;
    let mut http1 = listener.connect().await;
    for path in ["/first", "/second"] {
        let answer = http1.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(path), "{answer}");
    }
    let mut http2 = listener.connect_http2().await;
    let (slow, fast) = (http2.send_request(get("/slow")), http2.clone().send_request(get("/fast")));
    assert_eq!(text(fast.await.unwrap()).await, "/fast");
    assert_eq!(text(slow.await.unwrap()).await, "slow");
}

#[tokio::test]
async fn the_protocol_is_told_from_pieces_too() {
    let listener = Running::start(|_| {}).await;
    let mut client = listener.connect().await;
    for piece in ["P", "UT /pieces HTTP/1.1\r\nho", "st: a\r\ncontent-length: 2\r\n\r\n", "ok"] {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(client.answer().await.ends_with("/pieces"));
    // The answer to an HTTP/2 preface is a SETTINGS frame: type 4 on stream 0.
    let mut client = listener.connect().await;
    for piece in ["PRI", " * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut frame = [0; 9];
    tokio::time::timeout(PATIENCE, client.0.read_exact(&mut frame)).await.unwrap().unwrap();
    assert_eq!((frame[3], &frame[5..]), (4, &[0; 4][..]));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_without_waiting_for_the_next() {
    let listener = Running::start(|_| {}).await;
    let mut client = listener.connect().await;
    let request = |path: usize| format!("GET /{path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let many: String = (0..50).map(request).collect();
    client.send(many + "GET /half HTTP/1.1\r\nho").await;
    for path in 0..50 {
        let answer = client.answer().await;
        assert!(answer.ends_with(&format!("\r\n\r\n/{path}")), "{path}: {answer}");
    }
    client.send("st: a\r\n\r\n").await;
    assert!(client.answer().await.ends_with("/half"));
}

#[tokio::test]
async fn each_connection_goes_to_the_worker_with_the_fewest() {
    let listener = Running::start(|config| config.workers = NonZeroUsize::new(3).unwrap()).await;
    let mut clients = Vec::new();
    let mut workers = Vec::new();
    for _ in 0..6 {
        let mut client = listener.connect().await;
        workers.push(client.get("/worker").await.chars().last().unwrap());
        clients.push(client);
    }
    workers.sort_unstable();
    assert_eq!(String::from_iter(workers), "001122");
    assert_eq!(listener.open.count(), 6);
    drop(clients);
    listener.until_open(0).await;
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let listener = Running::start(|config| config.workers = NonZeroUsize::MIN).await;
    let mut neighbour = listener.connect().await;
    neighbour.get("/").await;
    let mut client = listener.connect().await;
    client.send("GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    assert!(neighbour.get("/still").await.ends_with("/still"));
    let mut http2 = listener.connect_http2().await;
    assert!(http2.send_request(get("/panic")).await.is_err());
    assert_eq!(text(http2.send_request(get("/still")).await.unwrap()).await, "/still");
}

#[tokio::test]
async fn a_handler_that_cannot_be_made_fails_the_start() {
    let listener = Listener::bind(Config::new("127.0.0.1:0".parse().unwrap()), None).await.unwrap();
    let make_handler = |worker| if worker == 0 { panic!("as the test asked") } else { Paths { worker } };
    let error = listener.run(make_handler, Drain::new(), || ()).await.unwrap_err();
    assert_eq!(error.to_string(), "worker thread 0 cannot be started");
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "making its handler panicked");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let listener = Running::start(|_| {}).await;
    let error = Listener::bind(Config::new(listener.address), None).await.err().unwrap();
    assert_eq!(error.to_string(), format!("cannot listen on {}", listener.address));
}
