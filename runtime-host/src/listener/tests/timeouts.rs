//! Clients that are slow, or do nothing at all.

use super::*;

/// Of the timeouts that are not under test.
const LONG: Duration = Duration::from_secs(60);

fn assert_timed(elapsed: Duration) {
    assert!((SHORT..PATIENCE / 2).contains(&elapsed), "{elapsed:?}");
}

async fn short_header_read_timeout() -> Running {
    Running::with_limits(|limits| limits.header_read_timeout = SHORT).await
}

async fn short_idle_timeout() -> Running {
    Running::with_limits(|limits| {
        limits.header_read_timeout = LONG;
        limits.idle_timeout = SHORT;
    })
    .await
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_left() {
    let listener = short_header_read_timeout().await;
    let started = Instant::now();
    let mut client = listener.connect().await;
    assert_timed(client.closed_after(started).await);
    listener.until_open(0).await;
}

#[tokio::test]
async fn a_drip_of_header_bytes_does_not_hold_a_connection() {
    let listener = short_header_read_timeout().await;
    let mut client = listener.connect().await;
    client.get("/first").await;
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\n").await;
    for _ in 0..3 {
        tokio::time::sleep(SHORT / 5).await;
        client.send("x: y\r\n").await;
    }
    assert_timed(client.closed_after(started).await);
}

#[tokio::test]
async fn idle_time_between_requests_has_its_own_bound() {
    let listener = Running::with_limits(|limits| limits.header_read_timeout = SHORT / 3).await;
    let mut client = listener.connect().await;
    client.get("/first").await;
    tokio::time::sleep(SHORT).await;
    assert!(client.get("/second").await.ends_with("/second"), "the header read timeout is not for idle time");

    let listener = short_idle_timeout().await;
    let mut client = listener.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        tokio::time::sleep(SHORT / 2).await;
    }
    client.get("/").await;
    let started = Instant::now();
    assert_timed(client.closed_after(started).await);
}

#[tokio::test]
async fn a_request_at_work_is_not_idle() {
    let listener = Running::with_limits(|limits| {
        limits.header_read_timeout = SHORT;
        limits.idle_timeout = SHORT;
        limits.write_timeout = SHORT;
    })
    .await;
    assert!(listener.connect().await.get("/slow").await.ends_with("slow"));
    let mut http2 = listener.connect_http2().await;
    assert_eq!(text(http2.send_request(get("/slow")).await.unwrap()).await, "slow");
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_in_order() {
    let listener = short_idle_timeout().await;
    let socket = TcpStream::connect(listener.address).await.unwrap();
    let builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.handshake::<_, Full<Bytes>>(TokioIo::new(socket)).await.unwrap();
    let connection = tokio::spawn(connection);
    // Before the answer: the connection is idle as soon as that has left, which is before it is here.
    let started = Instant::now();
    sender.send_request(get("/")).await.unwrap();
    let ended = tokio::time::timeout(PATIENCE, connection).await.unwrap().unwrap();
    assert!(ended.is_ok(), "GOAWAY without an error: {ended:?}");
    assert_timed(started.elapsed());
    listener.until_open(0).await;
}

#[tokio::test]
async fn a_dead_http2_client_does_not_stay() {
    let listener = Running::with_limits(|limits| {
        limits.header_read_timeout = SHORT;
        limits.idle_timeout = SHORT;
    })
    .await;
    let mut client = listener.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    listener.until_open(1).await;
    // It answers neither pings nor GOAWAY.
    listener.until_open(0).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_left() {
    let listener = Running::with_limits(|limits| limits.write_timeout = SHORT).await;
    let mut client = listener.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.0.readable().await.unwrap();
    listener.until_open(0).await;
}

#[tokio::test]
async fn a_slow_client_is_served_as_long_as_it_takes_something() {
    let listener = Running::with_limits(|limits| limits.write_timeout = 4 * SHORT).await;
    let mut client = listener.connect().await;
    client.send("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut buffer = vec![0; 8 << 20];
    let started = Instant::now();
    while started.elapsed() < 6 * SHORT {
        tokio::time::sleep(SHORT / 2).await;
        assert!(client.0.read(&mut buffer).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_tls_handshake_has_to_end() {
    let files = tls::Files::new();
    let listener = Running::start(|config| {
        config.tls = Some(files.tls_files());
        config.limits.header_read_timeout = SHORT;
    })
    .await;
    let started = Instant::now();
    let mut client = listener.connect().await;
    client.send([22, 3, 1]).await;
    assert_timed(client.closed_after(started).await);
    // The beginning of a greeting of 16 kB, which goes on byte by byte.
    let started = Instant::now();
    let mut client = listener.connect().await;
    client.send([22, 3, 1, 64, 0, 1, 0, 63, 252]).await;
    while client.0.write_all(&[0]).await.is_ok() && started.elapsed() < PATIENCE {
        tokio::time::sleep(SHORT / 10).await;
    }
    assert_timed(started.elapsed());
}
