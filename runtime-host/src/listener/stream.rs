//! HTTP/2 streams: each is a task of its own, which ends when its client takes nothing of the answer.
//!
//! A client that opens no window, or never reads, does not fill the socket, so the connection's watchdog cannot see it.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep};

tokio::task_local! {
    static PACE: Arc<Pace>;
}

/// How far the answer of one stream has come. Written and read in the stream's own task.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pieces: AtomicU64,
    waits_for_client: AtomicBool,
}

impl Pace {
    /// That of the stream whose task this is; HTTP/1 has none.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        PACE.try_with(Arc::clone).ok()
    }

    /// A piece of the answer is ready; the next one is asked for once the client takes this one.
    pub(super) fn piece_ready(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
        self.waits_for_client.store(true, Ordering::Relaxed);
    }

    /// The client has taken everything so far, and whoever answers has no more yet.
    pub(super) fn client_waits(&self) {
        self.waits_for_client.store(false, Ordering::Relaxed);
    }

    /// The number of the piece that the client has to take next, if it is its turn.
    fn offered(&self) -> Option<u64> {
        self.waits_for_client.load(Ordering::Relaxed).then(|| self.pieces.load(Ordering::Relaxed))
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    /// How long a client may take nothing of an answer.
    pub(super) write_timeout: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        tokio::spawn(run(stream, self.write_timeout));
    }
}

/// Works on a stream until it is done. One that is left before is reset, and the guest hears that its client is gone.
async fn run(stream: impl Future<Output = ()>, write_timeout: Duration) {
    let pace = Arc::new(Pace::default());
    let mut stream = pin!(PACE.scope(pace.clone(), stream));
    let mut offered: Option<(u64, Instant)> = None;
    // Made for a client that lets us wait; most never do.
    let mut timer: Option<Pin<Box<Sleep>>> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let piece = pace.offered();
        if piece != offered.map(|(piece, _)| piece) {
            offered = piece.map(|piece| (piece, Instant::now()));
        }
        let Some((_, since)) = offered else { return Poll::Pending };
        let deadline = since + write_timeout;
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        while timer.as_mut().poll(cx).is_ready() {
            if deadline <= Instant::now() {
                tracing::debug!("stream reset: the client took nothing of the answer");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await;
}
