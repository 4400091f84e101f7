//! Slow clients in numbers, each of whom holds a connection as long as it can: the time limits are what it can.

use std::time::Duration;

use futures::future::join_all;
use tests::host::Host;
use tests::raw::RawConnection;
use tokio::time::{Instant, sleep};

use super::frames::{END_STREAM, HEADERS, PREFACE, frame, get, setting, settings};
use super::{app, assert_serves};

const LIMIT_MS: u64 = 500;
/// How long a connection may be there: several limits after one another, on a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(15);
const CONNECTIONS: usize = 50;
/// How often a client that drips sends something.
const DRIP: Duration = Duration::from_millis(50);

/// What a client sends at once, and then again and again.
struct Slow {
    name: &'static str,
    first: Vec<u8>,
    drip: &'static [u8],
    /// Whether it takes what the host sends; otherwise what it sends itself tells it of the end.
    reads: bool,
}

fn slow(name: &'static str, first: impl AsRef<[u8]>, drip: &'static [u8]) -> Slow {
    Slow { name, first: first.as_ref().to_vec(), drip, reads: true }
}

/// Holds a connection until the host ends it; says after how long.
async fn hold(host: &Host, slow: &Slow) -> Duration {
    let mut connection = RawConnection::open(host).await;
    let started = Instant::now();
    connection.send(&slow.first).await;
    while started.elapsed() < GONE_WITHIN {
        let is_there = connection.send(slow.drip).await;
        let is_over = match slow.reads {
            true => connection.read_for(DRIP).await.1,
            false => {
                sleep(DRIP).await;
                false
            }
        };
        if !is_there || is_over {
            break;
        }
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_lose_their_connections_and_hinder_nobody() {
    let limits = ["header-read", "connection-idle", "body-read", "write"];
    let app = limits.iter().fold(app(), |app, limit| app.argument(format!("--{limit}-timeout-ms={LIMIT_MS}")));
    let host = &app.start().await;
    let endless = "GET /misbehave/endless-body HTTP/1.1\r\nhost: shop\r\n\r\n";
    let upload = |framing: &str| format!("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n");
    let half = frame(HEADERS, END_STREAM, 1, [0x82]);
    let shut = [PREFACE, &setting(4, 0), &get(1, "/misbehave/endless-body")].concat();
    for slow in [
        slow("nothing", "", b""),
        slow("a preface in drips", "PRI", b""),
        slow("header lines in drips", "GET / HTTP/1.1\r\n", b"x: y\r\n"),
        slow("a request line in drips", "GET /", b"x"),
        slow("empty lines in drips", "", b"\r\n"),
        slow("a body that stands still", upload("content-length: 10") + "half", b""),
        slow("chunks that stand still", upload("transfer-encoding: chunked") + "5\r\nhe", b""),
        slow("an answer that nobody reads", endless, b"G").unread(),
        slow("HTTP/2 without a request", [PREFACE, &settings()].concat(), b""),
        slow("HTTP/2 headers without end", [PREFACE, &settings(), &half].concat(), b""),
        slow("an answer without a window", shut, b""),
    ] {
        let holding = join_all((0..CONNECTIONS).map(|_| hold(host, &slow)));
        let others = async {
            sleep(Duration::from_millis(LIMIT_MS / 2)).await;
            assert_serves(host, slow.name).await;
        };
        let (held, ()) = tokio::join!(holding, others);
        let longest = held.into_iter().max().unwrap_or_default();
        println!("figures: {}: {longest:.1?}", slow.name);
        assert!(longest < GONE_WITHIN, "{}: {longest:?}", slow.name);
    }
}

impl Slow {
    fn unread(self) -> Self {
        Self { reads: false, ..self }
    }
}
