//! The orderly end: readiness fails, no new connections, open requests finish, then the process may exit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::telemetry::health::Health;

/// How long a client that is connected already may send a request more once another process has taken over its address: it may be
/// sending one at that very moment, and would lose it.
const HANDOVER_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Ended,
}

/// How far the end has come. Clones speak of the same end.
#[derive(Debug, Clone)]
pub struct Drain(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stage: watch::Sender<Stage>,
    handed_over: AtomicBool,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Nothing ends yet.
    pub fn new() -> Self {
        Self(Arc::new(Inner { stage: watch::Sender::new(Stage::Serving), handed_over: AtomicBool::new(false) }))
    }

    /// Takes no further connections or requests; those that are open finish.
    pub fn begin(&self) {
        self.advance(Stage::Draining);
    }

    /// As `begin`, when another process goes on at the same address: who is connected has a moment for a request more.
    pub fn hand_over(&self) {
        self.0.handed_over.store(true, Ordering::Release);
        self.begin();
    }

    /// Begins for the same reason as the drain `other`.
    pub(super) fn begin_as(&self, other: &Self) {
        if other.is_handed_over() { self.hand_over() } else { self.begin() }
    }

    /// Whether another process goes on at the same address.
    pub fn is_handed_over(&self) -> bool {
        self.0.handed_over.load(Ordering::Acquire)
    }

    /// How long a connection without a request is kept once the drain has begun.
    pub(super) fn grace(&self) -> Duration {
        if self.is_handed_over() { HANDOVER_GRACE } else { Duration::ZERO }
    }

    /// Cuts what is still open. A listener does so itself at the end of its drain.
    pub fn end(&self) {
        self.advance(Stage::Ended);
    }

    /// Whether the drain has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.stage.borrow() >= Stage::Draining
    }

    /// Waits until the drain has begun.
    pub fn begun(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reached(Stage::Draining)
    }

    /// Waits until the drain has ended.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        self.reached(Stage::Ended)
    }

    /// Waits until another process goes on at the same address.
    pub fn handed_over(&self) -> impl Future<Output = ()> + Send + 'static {
        let (begun, drain) = (self.begun(), self.clone());
        async move {
            begun.await;
            if !drain.is_handed_over() {
                // An end has begun, and is not taken over any more.
                std::future::pending().await
            }
        }
    }

    fn advance(&self, stage: Stage) {
        self.0.stage.send_if_modified(|current| {
            let later = stage > *current;
            *current = stage.max(*current);
            later
        });
    }

    fn reached(&self, stage: Stage) -> impl Future<Output = ()> + Send + 'static {
        // The future holds the sender too, so that waiting cannot fail.
        let drain = self.clone();
        async move {
            let _ = drain.0.stage.subscribe().wait_for(|current| *current >= stage).await;
        }
    }
}

/// Drains on the first SIGTERM or SIGINT and ends at once on the second.
///
/// Readiness fails `readiness_delay` before connections are refused, so that load balancers look elsewhere in time.
/// To be called inside a runtime, which then handles these signals.
pub fn drain_on_signals(health: Health, readiness_delay: Duration) -> io::Result<Drain> {
    let mut signals =
        Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let drain = Drain::new();
    tokio::spawn({
        let drain = drain.clone();
        async move {
            signals.next().await;
            health.draining();
            tokio::select! {
                () = tokio::time::sleep(readiness_delay) => {
                    drain.begin();
                    signals.next().await;
                }
                () = signals.next() => {}
            }
            tracing::warn!("second signal: open requests are cut");
            drain.end();
        }
    });
    Ok(drain)
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
