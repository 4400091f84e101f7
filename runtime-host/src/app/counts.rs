//! What is counted of a revision for its rollout: finer than the metrics, and without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::component::GrowthObserver;
use crate::rollout::{Growth, LATENCY_BUCKETS, Latency, MEMORY_AGES, Memory, latency_bucket, memory_age};

/// The answers of one revision on one thread.
pub(super) struct Answers {
    failures: AtomicU64,
    latencies: [AtomicU64; LATENCY_BUCKETS],
}

impl Default for Answers {
    fn default() -> Self {
        Self { failures: AtomicU64::new(0), latencies: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Answers {
    /// A request was answered; `is_failure` when the component is to blame for an error.
    pub(super) fn add(&self, duration: Duration, is_failure: bool) {
        self.latencies[latency_bucket(duration)].fetch_add(1, Ordering::Relaxed);
        if is_failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The failures and latencies of all threads together.
    pub(super) fn sum<'a>(threads: impl Iterator<Item = &'a Self>) -> (u64, Latency) {
        let mut failures = 0;
        let mut latencies = vec![0; LATENCY_BUCKETS];
        for thread in threads {
            failures += thread.failures.load(Ordering::Relaxed);
            for (sum, part) in latencies.iter_mut().zip(&thread.latencies) {
                *sum += part.load(Ordering::Relaxed);
            }
        }
        (failures, Latency::from_counts(latencies))
    }
}

/// How the instances of a revision grow.
#[derive(Default)]
pub(super) struct GrowthCounts {
    peak_bytes: AtomicU64,
    ages: [AgeCounts; MEMORY_AGES],
}

#[derive(Default)]
struct AgeCounts {
    requests: AtomicU64,
    grown: AtomicU64,
    grown_bytes: AtomicU64,
}

impl GrowthCounts {
    /// As a rollout compares it.
    pub(super) fn read(&self) -> Memory {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let growth = |age: &AgeCounts| Growth {
            requests: load(&age.requests),
            grown: load(&age.grown),
            grown_bytes: load(&age.grown_bytes),
        };
        Memory { peak_bytes: load(&self.peak_bytes), growth: self.ages.each_ref().map(growth) }
    }
}

impl GrowthObserver for GrowthCounts {
    fn requests_ended(&self, last: u64, count: u64, grown_bytes: u64, bytes: u64) {
        let Some(age) = memory_age(last) else {
            self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
            return;
        };
        let age = &self.ages[age];
        age.requests.fetch_add(count, Ordering::Relaxed);
        if grown_bytes > 0 {
            self.peak_bytes.fetch_max(bytes, Ordering::Relaxed);
            age.grown.fetch_add(1, Ordering::Relaxed);
            age.grown_bytes.fetch_add(grown_bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let threads = [Answers::default(), Answers::default()];
        threads[0].add(Duration::from_millis(1), false);
        threads[1].add(Duration::from_millis(1), true);
        let (failures, latency) = Answers::sum(threads.iter());
        assert_eq!((failures, latency.count()), (1, 2));
    }

    #[test]
    fn growth_counts_by_the_age_of_the_instance() {
        let counts = GrowthCounts::default();
        counts.requests_ended(1, 1, 1_000, 1_000);
        assert_eq!(counts.read(), Memory { peak_bytes: 1_000, ..Memory::default() }, "starting up is no growth");
        counts.requests_ended(32, 16, 0, 1_000);
        counts.requests_ended(33, 1, 64, 1_064);
        let memory = counts.read();
        assert_eq!(memory.growth[0], Growth { requests: 17, grown: 1, grown_bytes: 64 });
        assert_eq!(memory.peak_bytes, 1_064);
    }
}
