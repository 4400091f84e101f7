//! Guests reach servers by TCP and UDP where the manifest allows it, and nowhere else.

use std::time::Duration;

use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

/// The guest of wasi 0.3 and the one of wasi 0.2.
const GENERATIONS: [&str; 2] = ["interfaces", "interfaces-p2"];
/// How long a connection that was refused may take to come in all the same.
const STRAY: Duration = Duration::from_millis(100);

/// A host whose guests may go to `allowed`.
async fn host(allowed: &str) -> Host {
    let settings = format!("allowed_outbound_hosts = [{allowed:?}]");
    GENERATIONS.iter().fold(App::new(), |app, guest| app.guest(guest, &settings)).start().await
}

async fn ask(host: &Host, guest: &str, kind: &str, port: u16) -> Value {
    host.json(&format!("/{guest}/{kind}?port={port}")).await
}

#[track_caller]
fn assert_refused(answer: &Value, guest: &str) {
    assert!(answer["error"].is_string(), "{guest} was not refused: {answer}");
}

/// A server that answers `ping` with `pong`; returns its port.
async fn tcp_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut words = [0; 4];
            if connection.read_exact(&mut words).await.is_ok() && &words == b"ping" {
                let _ = connection.write_all(b"pong").await;
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_address_is_reached_by_tcp_and_its_neighbour_is_not() {
    let allowed = tcp_server().await;
    let other = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let denied = other.local_addr().expect("it is bound").port();
    let host = host(&format!("tcp://127.0.0.1:{allowed}")).await;
    for guest in GENERATIONS {
        assert_eq!(ask(&host, guest, "sockets", allowed).await, json!({ "answer": "pong" }), "{guest}");
        assert_refused(&ask(&host, guest, "sockets", denied).await, guest);
        assert!(timeout(STRAY, other.accept()).await.is_err(), "{guest} has connected");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_may_be_allowed_with_all_its_ports() {
    let port = tcp_server().await;
    let host = host("*://127.0.0.0/8:*").await;
    for guest in GENERATIONS {
        assert_eq!(ask(&host, guest, "sockets", port).await, json!({ "answer": "pong" }), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_allowed_for_http_is_closed_to_sockets() {
    let port = tcp_server().await;
    let host = host(&format!("http://127.0.0.1:{port}")).await;
    for guest in GENERATIONS {
        assert_refused(&ask(&host, guest, "sockets", port).await, guest);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_to_an_allowed_address_only() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let allowed = server.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let mut words = [0; 64];
        while let Ok((_, from)) = server.recv_from(&mut words).await {
            let _ = server.send_to(b"pong", from).await;
        }
    });
    let other = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let denied = other.local_addr().expect("it is bound").port();
    let host = host(&format!("udp://127.0.0.1:{allowed}")).await;

    let guest = "interfaces-p2";
    assert_eq!(ask(&host, guest, "datagrams", allowed).await, json!({ "answer": "pong" }));
    assert_refused(&ask(&host, guest, "datagrams", denied).await, guest);
    assert!(timeout(STRAY, other.recv_from(&mut [0; 64])).await.is_err(), "{guest} has sent a datagram");
    // What is allowed for datagrams is not for connections.
    assert_refused(&ask(&host, guest, "sockets", allowed).await, guest);
}
