//! Latency histograms that many threads fill without a lock, without waiting for each other and without allocating.
//!
//! Written here because the `Histogram` of `prometheus-client` takes a mutex for every observation.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds: 5 us to 10 s.
const BOUNDS_US: [u64; 20] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];
const NS_PER_US: u64 = 1_000;
/// One more for what is over the last bound.
const BUCKETS: usize = BOUNDS_US.len() + 1;
const US_PER_S: f64 = 1e6;
const NS_PER_S: f64 = 1e9;

/// `N` histograms, told apart by index, each with a part of its own for every thread that may fill it at once.
#[derive(Debug)]
pub(super) struct Histograms<const N: usize> {
    shards: Box<[[OnceLock<Box<Shard>>; N]]>,
}

/// Filled by one thread, as a rule. The alignment keeps two threads' parts out of one cache line, and out of the pair
/// of lines that x86 fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl<const N: usize> Histograms<N> {
    pub(super) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { shards: (0..threads).map(|_| std::array::from_fn(|_| OnceLock::new())).collect() }
    }

    /// Adds one observation to the histogram `index`, which is below `N`.
    pub(super) fn observe(&self, index: usize, duration: Duration) {
        // Saturates after 584 years.
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let shard = self.shards[thread_number() % self.shards.len()][index].get_or_init(Box::default);
        shard.buckets[BOUNDS_US.partition_point(|bound| bound * NS_PER_US < ns)].fetch_add(1, Ordering::Relaxed);
        shard.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was observed so far, if anything was.
    pub(super) fn read(&self, index: usize) -> Option<Observed> {
        let mut shards = self.shards.iter().filter_map(|shard| shard[index].get()).peekable();
        shards.peek()?;
        let mut observed = Observed { sum_s: 0.0, count: 0, buckets: [(f64::INFINITY, 0); BUCKETS] };
        for ((bound, _), us) in observed.buckets.iter_mut().zip(BOUNDS_US) {
            *bound = us as f64 / US_PER_S;
        }
        for shard in shards {
            for ((_, total), part) in observed.buckets.iter_mut().zip(&shard.buckets) {
                *total += part.load(Ordering::Relaxed);
            }
            observed.sum_s += shard.sum_ns.load(Ordering::Relaxed) as f64 / NS_PER_S;
        }
        observed.count = observed.buckets.iter().map(|(_, count)| count).sum();
        Some(observed)
    }
}

/// The state of one histogram, in seconds. The buckets are not cumulative.
#[derive(Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) sum_s: f64,
    pub(super) count: u64,
    pub(super) buckets: [(f64, u64); BUCKETS],
}

/// Threads are numbered as they first observe something.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_falls_into_the_bucket_whose_bound_it_does_not_exceed() {
        let histograms = Histograms::<2>::new();
        for ns in [0, 5_000, 5_001, 10_000_000_000, 10_000_000_001] {
            histograms.observe(1, Duration::from_nanos(ns));
        }
        let observed = histograms.read(1).unwrap();
        let filled: Vec<(f64, u64)> = observed.buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.000_005, 2), (0.000_01, 1), (10.0, 1), (f64::INFINITY, 1)]);
        assert_eq!(observed.count, 5);
        assert!((observed.sum_s - 20.000_010_002).abs() < 1e-9);
        assert_eq!(histograms.read(0), None);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histograms = Histograms::<1>::new();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..10_000).for_each(|n| histograms.observe(0, Duration::from_micros(n))));
            }
        });
        assert_eq!(histograms.read(0).unwrap().count, 80_000);
    }
}
