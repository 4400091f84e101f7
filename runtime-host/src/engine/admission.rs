//! Bounds the requests that one component works on or keeps waiting, over all worker threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::component::Component;

/// For how long requests that are turned away are counted before they are logged together.
const OVERLOAD_REPORT_PERIOD: Duration = Duration::from_secs(1);

/// The admission of one component.
pub struct Admission {
    component: String,
    running: Arc<Semaphore>,
    waiting: AtomicUsize,
    queue_length_max: usize,
    /// Requests that were turned away and are not logged yet.
    turned_away: AtomicU64,
}

impl Admission {
    /// Admission for the limits of `component`.
    pub fn new(component: &Component) -> Self {
        let limits = &component.limits;
        let running = (limits.instances_max * limits.concurrency_max).min(Semaphore::MAX_PERMITS);
        Self {
            component: component.id.clone(),
            running: Arc::new(Semaphore::new(running)),
            waiting: AtomicUsize::new(0),
            queue_length_max: limits.queue_length_max,
            turned_away: AtomicU64::new(0),
        }
    }

    /// Requests that wait at this moment.
    pub fn queue_length(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A place for one request, at once or after waiting in the bounded queue.
    pub(super) async fn enter(self: &Arc<Self>, timeout: Duration) -> Result<OwnedSemaphorePermit, Refused> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let Some(_place) = Waiting::take(self) else {
            self.turn_away();
            return Err(Refused::QueueFull);
        };
        match tokio::time::timeout(timeout, self.running.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed, so only time can run out.
            _ => Err(Refused::WaitedTooLong),
        }
    }

    /// Counts one; a flood of them is one line a second in the log.
    fn turn_away(self: &Arc<Self>) {
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

/// Why a request gets no place.
pub(super) enum Refused {
    QueueFull,
    WaitedTooLong,
}

/// A place in the queue, given back on drop, also when the client goes away while it waits.
struct Waiting<'a>(&'a Admission);

impl<'a> Waiting<'a> {
    fn take(admission: &'a Admission) -> Option<Self> {
        let place = Self(admission);
        // Counted first and checked after: two that race for the last place cannot both get it.
        (admission.waiting.fetch_add(1, Ordering::Relaxed) < admission.queue_length_max).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
