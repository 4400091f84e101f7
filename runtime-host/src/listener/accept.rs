//! Accepts connections, also when the process is short of file descriptors for a while.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long to wait before the next try when no descriptor is free.
const BACKOFF: Duration = Duration::from_millis(50);
/// At most one log line in this time for the same trouble.
const LOG_PERIOD: Duration = Duration::from_secs(10);

/// A connection that nobody serves yet. Its place is free again once the permit is dropped.
pub(crate) struct Accepted {
    pub(crate) socket: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) place: OwnedSemaphorePermit,
}

/// Accepts as long as it is polled, whatever `accept` says. While all places are taken, clients wait in the operating
/// system's queue.
pub(crate) async fn run<A: Future<Output = io::Result<(TcpStream, SocketAddr)>>>(
    accept: impl Fn() -> A,
    places: Arc<Semaphore>,
    mut dispatch: impl FnMut(Accepted),
) {
    let mut full = Throttled::default();
    let mut failing = Throttled::default();
    loop {
        if places.available_permits() == 0 && full.is_due() {
            tracing::warn!("as many connections are open as allowed; new ones wait");
        }
        // Nobody closes the semaphore.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        match accept().await {
            Ok((socket, peer)) => dispatch(Accepted { socket, peer, place }),
            Err(error) if concerns_one_client(&error) => {}
            Err(error) => {
                if failing.is_due() {
                    tracing::warn!(%error, "no connection can be accepted for now; the open ones are served on");
                }
                tokio::time::sleep(BACKOFF).await;
            }
        }
    }
}

/// The client went away between its handshake and our `accept`.
fn concerns_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// Lets one event through in [`LOG_PERIOD`].
#[derive(Default)]
struct Throttled {
    last: Option<Instant>,
}

impl Throttled {
    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= LOG_PERIOD);
        if due {
            self.last = Some(Instant::now());
        }
        due
    }
}
