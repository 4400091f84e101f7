//! Whether an instance is at work, and when it last made progress that a client saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Epochs in a row that a guest may compute before requests are no longer kept for it.
pub(super) const EPOCHS_BEFORE_WITHDRAWAL: u32 = 5;

/// The activity of one instance.
pub(super) struct Activity {
    born: Instant,
    last_ms: AtomicU64,
    busy: AtomicBool,
    /// Requests whose response has not begun.
    unanswered: AtomicUsize,
    /// When the last of them has to have begun.
    latest_expiry_ms: AtomicU64,
    /// Epochs that the guest computed through since it last paused.
    epochs: AtomicU32,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
            busy: AtomicBool::new(true),
            unanswered: AtomicUsize::new(0),
            latest_expiry_ms: AtomicU64::new(0),
            epochs: AtomicU32::new(0),
        }
    }
}

impl Activity {
    /// There was progress: a request taken, an answer, a piece of a body.
    pub(super) fn touch(&self) {
        // Milliseconds since birth fit u64 for longer than any instance lives.
        self.last_ms.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// When there last was progress.
    pub(super) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// A request was taken whose response has to begin by `expires`; it counts as unanswered until the guard is dropped.
    pub(super) fn request_begun(self: &Arc<Self>, expires: Instant) -> Unanswered {
        let expires_ms = expires.saturating_duration_since(self.born).as_millis() as u64;
        self.latest_expiry_ms.fetch_max(expires_ms, Ordering::Relaxed);
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered(self.clone())
    }

    /// When every request that is unanswered is too late, if there is one.
    pub(super) fn expiry(&self) -> Option<Instant> {
        let latest = || self.born + Duration::from_millis(self.latest_expiry_ms.load(Ordering::Relaxed));
        (self.unanswered.load(Ordering::Relaxed) > 0).then(latest)
    }

    /// Counts an epoch that the guest computed through, and returns how many there were in a row.
    pub(super) fn epoch_computed(&self) -> u32 {
        self.epochs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The guest pauses; whether it had computed for so long that nobody counted on it any more.
    pub(super) fn paused(&self) -> bool {
        self.epochs.swap(0, Ordering::Relaxed) >= EPOCHS_BEFORE_WITHDRAWAL
    }

    /// Notes whether the instance has work.
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Whether the instance has work.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A request whose response has not begun.
pub(super) struct Unanswered(Arc<Activity>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}
