//! Whether an instance is at work, and when it last made progress that a client saw.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Epochs in a row that a guest may compute before requests are no longer kept for it.
pub(super) const EPOCHS_BEFORE_WITHDRAWAL: u32 = 5;

/// The activity of one instance.
pub(super) struct Activity {
    born: Instant,
    last_ms: AtomicU64,
    busy: AtomicBool,
    /// Epochs that the guest computed through since it last paused.
    epochs: AtomicU32,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
            busy: AtomicBool::new(true),
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
