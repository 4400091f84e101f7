//! Bounds the requests of one component that wait for an instance, over all worker threads.
//!
//! A request for which there is room is not counted here, so that threads do not meet over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// For how long requests that are turned away are counted before they are logged together.
const OVERLOAD_REPORT_PERIOD: Duration = Duration::from_secs(1);

/// The admission of one component.
pub struct Admission {
    component: String,
    waiting: AtomicUsize,
    queue_length_max: usize,
    /// Requests that were turned away and are not logged yet.
    turned_away: AtomicU64,
}

impl Admission {
    /// Of a component of which `queue_length_max` requests may wait.
    pub fn new(component: &str, queue_length_max: usize) -> Self {
        Self {
            component: component.to_owned(),
            waiting: AtomicUsize::new(0),
            queue_length_max,
            turned_away: AtomicU64::new(0),
        }
    }

    /// Requests that wait at this moment.
    pub fn queue_length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Whether one more may wait; it is counted if so.
    pub(super) fn wait(&self) -> bool {
        let one_more = |waiting: usize| (waiting < self.queue_length_max).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Of those who wait somewhere there were `before` and are `now`. They may become more than the bound when an instance
    /// is lost, since whoever was let in stays.
    pub(super) fn recount(&self, before: usize, now: usize) {
        if now > before {
            self.waiting.fetch_add(now - before, Ordering::Relaxed);
        } else if now < before {
            self.waiting.fetch_sub(before - now, Ordering::Relaxed);
        }
    }

    /// Counts one; a flood of them is one line a second in the log.
    pub(super) fn turn_away(self: &Arc<Self>) {
        if self.turned_away.fetch_add(1, Ordering::Relaxed) > 0 {
            return;
        }
        let admission = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OVERLOAD_REPORT_PERIOD).await;
            let requests = admission.turned_away.swap(0, Ordering::Relaxed);
            tracing::warn!(component = %admission.component, requests, "requests were turned away: too many wait already");
        });
    }
}

#[cfg(test)]
mod tests;
