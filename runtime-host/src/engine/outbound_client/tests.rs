//! What the settings and a guest's time limits do, with servers on this machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use http_body_util::Empty;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Longer than any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that answers each request after a time, and counts its connections.
struct Server {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answers_after: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(answer_all(stream, answers_after));
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn request(&self, scheme: &str) -> Request<WasiBody> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Request::get(format!("{scheme}://{}/", self.address)).body(nothing).unwrap()
    }

    async fn ask(&self, client: &OutboundClient, options: RequestOptions) -> Result<String, Error> {
        let answer = client.send("cart", self.request("http"), Some(options)).await?;
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

async fn answer_all(mut stream: TcpStream, after: Duration) {
    let mut received = Vec::new();
    while stream.read_buf(&mut received).await.is_ok_and(|bytes| bytes > 0) {
        if received.ends_with(b"\r\n\r\n") {
            received.clear();
            tokio::time::sleep(after).await;
            // A client that went away needs no answer.
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-bodega-count: paid_total\r\nx-a: b\r\n\r\nhello")
                .await;
        }
    }
}

fn client(connection_pooling: bool, connections_max: Option<u64>) -> OutboundClient {
    let shared = OutboundShared::new(&OutboundHttp { connection_pooling, connections_max }, &[]).unwrap();
    OutboundClient::new(Arc::new(shared))
}

fn connect_within(time: Duration) -> RequestOptions {
    RequestOptions { connect_timeout: Some(time), ..RequestOptions::default() }
}

#[tokio::test]
async fn connections_are_kept_unless_the_settings_say_otherwise() {
    for (connection_pooling, expected) in [(true, 1), (false, 3)] {
        let server = Server::start(Duration::ZERO).await;
        let client = client(connection_pooling, None);
        for _ in 0..3 {
            assert_eq!(server.ask(&client, RequestOptions::default()).await.unwrap(), "hello");
            // The connection comes back to the pool a moment after its answer.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(server.connections(), expected, "with pooling {connection_pooling}");
    }
}

#[tokio::test]
async fn no_more_connections_are_open_than_the_settings_allow() {
    let server = Server::start(Duration::from_millis(20)).await;
    let client = client(true, Some(2));
    let asked = futures::future::join_all((0..10).map(|_| server.ask(&client, RequestOptions::default())));
    let answers = tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == "hello"));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_is_not_used_makes_way_for_one_to_another_host() {
    let [first, second] = [Server::start(Duration::ZERO).await, Server::start(Duration::ZERO).await];
    let client = client(true, Some(1));
    for server in [&first, &second, &first] {
        let asked = server.ask(&client, RequestOptions::default());
        assert_eq!(tokio::time::timeout(PATIENCE, asked).await.unwrap().unwrap(), "hello");
    }
}

#[tokio::test]
async fn the_time_for_connecting_is_the_guests_and_includes_the_wait_for_a_place() {
    let server = Server::start(Duration::from_secs(2)).await;
    let client = client(true, Some(1));
    let first = server.ask(&client, RequestOptions::default());
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let started = Instant::now();
        let refused = server.ask(&client, connect_within(Duration::from_millis(100))).await.unwrap_err();
        assert!(matches!(refused, Error::ConnectionTimeout), "{refused}");
        assert!(started.elapsed() < Duration::from_secs(1), "after {:?}", started.elapsed());
    };
    assert_eq!(tokio::join!(first, second).0.unwrap(), "hello");
}

#[tokio::test]
async fn the_time_for_connecting_includes_the_handshake() {
    let server = Server::start(Duration::ZERO).await;
    let options = connect_within(Duration::from_millis(100));
    let refused = client(true, None).send("cart", server.request("https"), Some(options)).await.unwrap_err();
    assert!(matches!(refused, Error::ConnectionTimeout), "{refused}");
}

#[tokio::test]
async fn the_time_for_connecting_ends_when_connected() {
    let server = Server::start(Duration::from_millis(300)).await;
    let client = client(true, None);
    let options = connect_within(Duration::from_millis(100));
    assert_eq!(server.ask(&client, options).await.unwrap(), "hello");
    let options = RequestOptions { first_byte_timeout: Some(Duration::from_millis(100)), ..options };
    let refused = server.ask(&client, options).await.unwrap_err();
    assert!(matches!(refused, Error::ConnectionReadTimeout), "{refused}");
}

#[tokio::test]
async fn a_guest_is_told_why_there_is_no_connection() {
    let client = client(true, None);
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let server = Server { address, connections: Arc::default() };
    let refused = client.send("cart", server.request("https"), None).await.unwrap_err();
    assert!(matches!(refused, Error::TlsProtocolError), "{refused}");

    // The listener is gone by now.
    let refused = client.send("cart", server.request("http"), None).await.unwrap_err();
    assert!(matches!(refused, Error::ConnectionRefused), "{refused}");
}

#[tokio::test]
async fn no_host_outside_has_a_component_count_for_it() {
    let server = Server::start(Duration::ZERO).await;
    let answer = client(true, None).send("cart", server.request("http"), None).await.unwrap();
    assert!(!answer.headers().contains_key("x-bodega-count"), "{:?}", answer.headers());
    assert_eq!(answer.headers()["x-a"], "b");
}
