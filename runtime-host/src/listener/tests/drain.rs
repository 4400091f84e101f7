//! The end: what is open finishes, what is idle goes, nothing new comes.

use super::*;

#[tokio::test]
async fn open_requests_finish_and_idle_connections_close() {
    let listener = Running::start(|_| {}).await;
    let mut idle = listener.connect().await;
    idle.get("/").await;
    let mut silent = listener.connect().await;
    let mut busy = listener.connect().await;
    busy.send("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let socket = TcpStream::connect(listener.address).await.unwrap();
    let (mut http2, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    let in_flight = http2.send_request(get("/slow"));
    listener.until_open(4).await;
    tokio::time::sleep(SHORT / 2).await;

    let started = Instant::now();
    listener.drain.begin();
    assert!(idle.closed_after(started).await < SHORT);
    assert!(silent.closed_after(started).await < SHORT);
    let refused = async {
        while TcpStream::connect(listener.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(!listener.task.is_finished());

    let answer = busy.rest().await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("slow"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert_eq!(text(in_flight.await.unwrap()).await, "slow");
    assert!(http2.send_request(get("/late")).await.is_err(), "it is closed for new requests");
    let ended = tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap();
    assert!(ended.is_ok(), "in order: {ended:?}");
    assert_eq!(listener.drained().await, Drained { connections_cut: 0 });
}

#[tokio::test]
async fn who_is_connected_may_ask_once_more_when_another_process_goes_on() {
    let listener = Running::start(|_| {}).await;
    let mut idle = listener.connect().await;
    idle.get("/").await;
    let mut silent = listener.connect().await;
    let mut unused = listener.connect().await;
    listener.until_open(3).await;
    let started = Instant::now();
    listener.drain.hand_over();
    tokio::time::sleep(SHORT).await;
    for client in [&mut idle, &mut silent] {
        let answer = client.get("/late").await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("/late"), "{answer}");
        assert_eq!(client.rest().await, "");
    }
    assert!(unused.closed_after(started).await >= 2 * SHORT, "it had its time");
    assert_eq!(listener.drained().await, Drained { connections_cut: 0 });
}

#[tokio::test]
async fn an_http2_client_is_told_to_go_away() {
    const FRAME_HEAD_BYTES: usize = 9;
    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: u8 = 7;
    let listener = Running::start(|_| {}).await;
    let mut client = listener.connect().await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.send(EMPTY_SETTINGS).await;
    listener.until_open(1).await;
    tokio::time::sleep(SHORT / 2).await;
    listener.drain.begin();
    let told = async {
        loop {
            let mut head = [0; FRAME_HEAD_BYTES];
            client.0.read_exact(&mut head).await.expect("the connection ended without GOAWAY");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            client.0.read_exact(&mut payload).await.unwrap();
            if head[3] == GOAWAY {
                return payload[4..8].to_vec();
            }
        }
    };
    let error_code = tokio::time::timeout(PATIENCE, told).await.unwrap();
    assert_eq!(error_code, [0; 4], "without an error");
    drop(client);
    assert_eq!(listener.drained().await, Drained { connections_cut: 0 });
}

#[tokio::test]
async fn a_request_that_came_before_the_drain_is_answered() {
    use std::io::{Read as _, Write as _};

    let listener = Running::start(|_| {}).await;
    // The operating system takes connection and request; on this thread nothing is accepted until the next `await`.
    let mut client = std::net::TcpStream::connect(listener.address).unwrap();
    client.write_all(b"GET /early HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    listener.drain.begin();
    assert_eq!(listener.drained().await, Drained { connections_cut: 0 });
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("/early"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn what_does_not_finish_in_time_is_cut() {
    let listener = Running::start(|config| config.drain_timeout = SHORT).await;
    let mut client = listener.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.0.readable().await.unwrap();
    let started = Instant::now();
    listener.drain.begin();
    assert_eq!(listener.drained().await, Drained { connections_cut: 1 });
    assert!((SHORT..PATIENCE / 2).contains(&started.elapsed()));
}

#[tokio::test]
async fn the_end_can_come_at_once() {
    let listener = Running::start(|_| {}).await;
    let mut client = listener.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.0.readable().await.unwrap();
    listener.drain.begin();
    listener.drain.end();
    assert_eq!(listener.drained().await, Drained { connections_cut: 1 });
}

#[tokio::test]
async fn an_unused_listener_ends_immediately() {
    let listener = Running::start(|_| {}).await;
    listener.drain.begin();
    assert_eq!(listener.drained().await, Drained { connections_cut: 0 });
}

#[tokio::test]
async fn signals_begin_and_cut_the_drain() {
    let health = crate::telemetry::health::Health::default();
    health.ready();
    let drain = drain_on_signals(health.clone(), SHORT).unwrap();
    let terminate = || {
        let killed = std::process::Command::new("kill").arg(std::process::id().to_string()).status();
        assert!(killed.unwrap().success());
    };
    terminate();
    let started = Instant::now();
    tokio::time::timeout(PATIENCE, drain.begun()).await.unwrap();
    assert!(!health.is_ready() && started.elapsed() >= SHORT / 2, "readiness fails first");
    assert!(tokio::time::timeout(SHORT, drain.ended()).await.is_err(), "one signal cuts nothing");
    terminate();
    tokio::time::timeout(PATIENCE, drain.ended()).await.unwrap();
}
