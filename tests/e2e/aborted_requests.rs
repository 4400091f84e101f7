//! Clients that go away in the middle of a request leave nothing behind.

use std::time::Duration;

use futures::future::join_all;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::raw::RawConnection;
use tokio::time::{Instant, sleep};

const ABORTED: usize = 10_000;
const AT_ONCE: usize = 100;
/// What the host may grow by over all aborted requests: about 3 KiB each would be a leak.
const GROWTH_BYTES_MAX: u64 = 32 << 20;
const POLL: Duration = Duration::from_millis(50);

/// A request that the guest is still at work on.
const WAITING: &str = "GET /misbehave/slow?ms=20 HTTP/1.1\r\nhost: shop\r\n\r\n";
/// A request whose body never comes.
const UNFINISHED: &str = "POST /misbehave/count HTTP/1.1\r\nhost: shop\r\ncontent-length: 100\r\n\r\nonly these";
/// A request whose answer is too large to be on its way before the client is gone.
const UNREAD: &str = "GET /misbehave/endless-body HTTP/1.1\r\nhost: shop\r\n\r\n";

/// What the host holds at a moment.
#[derive(Debug, PartialEq)]
struct Held {
    connections: f64,
    instances: f64,
    waiting: f64,
    open_files: f64,
}

impl Held {
    async fn by(host: &Host) -> Self {
        let metrics = host.metrics().await;
        Self {
            connections: metrics.sum("bodega_connections_open", &[]),
            instances: metrics.sum("bodega_instances_live", &[]),
            waiting: metrics.sum("bodega_queue_length", &[]),
            open_files: metrics.sum("process_open_fds", &[]),
        }
    }
}

/// Sends a request and goes away: in order or by a reset, before or after the host had time to look.
async fn abort(host: &Host, number: usize) {
    let mut connection = RawConnection::open(host).await;
    connection.send([WAITING, UNFINISHED, UNREAD][number % 3]).await;
    if number % 4 < 2 {
        sleep(Duration::from_millis(number as u64 % 7)).await;
    }
    if number.is_multiple_of(2) {
        connection.reset();
    }
}

async fn abort_many(host: &Host, count: usize) {
    for first in (0..count).step_by(AT_ONCE) {
        join_all((first..first + AT_ONCE).map(|number| abort(host, number))).await;
    }
}

async fn until_held(host: &Host, expected: &Held) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = Held::by(host).await;
        if held == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {held:?}, at the start: {expected:?}");
        sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_aborted_requests_leave_nothing_behind() {
    // Few instances, since the pool keeps some memory of each one that there ever was at once.
    let settings = "instances_max = 8\nidle_timeout_ms = 500\ndeadline_ms = 5000";
    let host = App::new().misbehaving_guest(settings).start().await;
    let at_start = Held::by(&host).await;
    // Lazily made buffers and pools are there after the first of them.
    abort_many(&host, 10 * AT_ONCE).await;
    until_held(&host, &at_start).await;
    let resident_bytes = host.resident_bytes();

    abort_many(&host, ABORTED).await;
    until_held(&host, &at_start).await;
    let grown = host.resident_bytes().saturating_sub(resident_bytes);
    assert!(grown < GROWTH_BYTES_MAX, "the host has grown by {grown} bytes");
    let alive = host.post("/misbehave/echo").body("still here").send().await.expect("an answer");
    assert_eq!(alive.text().await.expect("a body"), "still here");
    let trapped = host.metrics().await.sum("bodega_instances_trapped_total", &[]);
    assert_eq!(trapped, 0.0, "a client that goes away is no failure of the guest");
}
