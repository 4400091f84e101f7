//! A short wait that the requests of a thread share.
//!
//! A timer of one's own for each would be the earliest of its runtime each time, for which the runtime wakes itself up
//! with a system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// The time between two ticks.
const TICK: Duration = Duration::from_millis(1);

/// Ticks as long as somebody waits.
#[derive(Clone, Default)]
pub(super) struct Patience(Arc<Shared>);

#[derive(Default)]
struct Shared {
    tick: Notify,
    ticking: AtomicBool,
    /// Whether a wait has begun since the last tick.
    waited: AtomicBool,
}

impl Patience {
    /// Ends after one to two ticks. To be awaited within a runtime.
    pub(super) async fn end(&self) {
        for _ in 0..2 {
            self.0.waited.store(true, Ordering::Relaxed);
            if !self.0.ticking.swap(true, Ordering::Relaxed) {
                tokio::spawn(self.0.clone().run());
            }
            self.0.tick.notified().await;
        }
    }
}

impl Shared {
    async fn run(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            let waited = self.waited.swap(false, Ordering::Relaxed);
            self.tick.notify_waiters();
            if !waited {
                // Whoever waits from now on starts it again: all of this happens on one thread.
                self.ticking.store(false, Ordering::Relaxed);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::future::join_all;

    use super::*;

    /// Far above what a tick takes on a busy machine.
    const LATEST: Duration = Duration::from_secs(10);

    async fn wait(patience: &Patience) -> Duration {
        let began = Instant::now();
        tokio::time::timeout(LATEST, patience.end()).await.expect("a wait ends");
        began.elapsed()
    }

    #[tokio::test]
    async fn a_wait_lasts_for_a_tick_at_least_whenever_it_begins() {
        let patience = Patience::default();
        for pause in [0, 300, 700, 1_000, 5_000].map(Duration::from_micros) {
            tokio::time::sleep(pause).await;
            let waits = join_all((0..50).map(|_| wait(&patience))).await;
            assert!(waits.iter().all(|waited| *waited >= TICK), "{waits:?} after {pause:?}");
        }
    }

    #[tokio::test]
    async fn it_ticks_only_while_somebody_waits() {
        let patience = Patience::default();
        wait(&patience).await;
        let began = Instant::now();
        while patience.0.ticking.load(Ordering::Relaxed) {
            assert!(began.elapsed() < LATEST, "it ticks for nobody");
            tokio::time::sleep(TICK).await;
        }
        wait(&patience).await;
    }
}
