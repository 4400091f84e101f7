//! What was counted of the two revisions.
//!
//! Counters only grow while the host runs; they need not begin with the rollout, which remembers where they stood when
//! a step began. After a restart they begin at zero again, which [`Rollout::restarted`](super::Rollout::restarted) is
//! told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Memory;

/// Both revisions' counters at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Samples {
    /// The revision that was there.
    pub old: Window,
    /// The revision that is rolled out.
    pub new: Window,
    /// In a shadow rollout: the answers that were compared, and as events those that differed.
    pub answers: Count,
}

/// The counters of one revision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a 5xx that the component is to blame for (not: refused for load, or by a policy), or whose
    /// body was cut.
    pub failures: u64,
    /// From the dispatch of a request until its answer begins.
    pub latency: Latency,
    /// Instances lost to a trap.
    pub traps: u64,
    /// How instances grow.
    pub memory: Memory,
    /// Ratios of counters that the component exports, by the name that [`CounterRatio`](super::CounterRatio) has.
    pub counters: BTreeMap<String, Count>,
}

/// Events among so many occasions: failures among requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How often it happened.
    pub events: u64,
    /// How often it could have.
    pub of: u64,
}

/// Buckets of [`Latency`]: up to 2^27 us (134 s) in steps of at most an eighth.
pub const LATENCY_BUCKETS: usize = 200;
const STEPS_PER_OCTAVE_LOG2: u32 = 3;

/// A histogram of latencies.
///
/// The metrics' buckets grow by a factor of 2 to 2.5, which a doubled latency may stay within; these grow by 1/8 at
/// most. Whoever counts them concurrently has an array of [`LATENCY_BUCKETS`] and fills it by [`latency_bucket`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency {
    /// By bucket; what is missing at the end is zero.
    counts: Vec<u64>,
}

/// The bucket of [`Latency`] that a duration falls into; a few ns, without a search.
pub fn latency_bucket(duration: Duration) -> usize {
    let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    let octave = us.checked_ilog2().unwrap_or(0).max(STEPS_PER_OCTAVE_LOG2);
    // Three bits below the highest one tell the eighth of the octave.
    let shift = octave - STEPS_PER_OCTAVE_LOG2;
    let bucket = (u64::from(shift) << STEPS_PER_OCTAVE_LOG2) + (us >> shift);
    (bucket as usize).min(LATENCY_BUCKETS - 1)
}

/// The first microsecond of a bucket.
pub(super) fn bucket_begins_us(bucket: usize) -> u64 {
    let shift = (bucket >> STEPS_PER_OCTAVE_LOG2).saturating_sub(1);
    ((bucket - (shift << STEPS_PER_OCTAVE_LOG2)) as u64) << shift
}

impl Latency {
    /// A histogram of counters that were filled by [`latency_bucket`].
    pub fn from_counts(counts: impl IntoIterator<Item = u64>) -> Self {
        let mut counts: Vec<u64> = counts.into_iter().take(LATENCY_BUCKETS).collect();
        counts.truncate(counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1));
        Self { counts }
    }

    /// Adds one observation.
    pub fn observe(&mut self, duration: Duration) {
        let bucket = latency_bucket(duration);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The first bucket above which at most the share `above` of the observations is, and how many are.
    pub(super) fn threshold(&self, above: f64) -> (usize, u64) {
        let allowed = (self.count() as f64 * above) as u64;
        let mut over = 0;
        for (bucket, count) in self.counts.iter().enumerate().rev() {
            if over + count > allowed {
                return (bucket, over);
            }
            over += count;
        }
        (0, over)
    }

    /// How many observations are certainly `us` or longer.
    pub(super) fn at_least(&self, us: f64) -> u64 {
        let buckets = self.counts.iter().enumerate();
        buckets.filter(|(bucket, _)| bucket_begins_us(*bucket) as f64 >= us).map(|(_, count)| count).sum()
    }

    /// What has come since `start`.
    pub(super) fn since(&self, start: &Self) -> Self {
        let before = start.counts.iter().copied().chain(std::iter::repeat(0));
        Self { counts: self.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(before)).collect() }
    }
}

impl Samples {
    /// What has come since `start`.
    pub(super) fn since(&self, start: &Self) -> Self {
        Self {
            old: self.old.since(&start.old),
            new: self.new.since(&start.new),
            answers: self.answers.since(start.answers),
        }
    }
}

impl Window {
    pub(super) fn failed(&self) -> Count {
        Count { events: self.failures, of: self.requests }
    }

    pub(super) fn trapped(&self) -> Count {
        Count { events: self.traps, of: self.requests }
    }

    /// What has come since `start`, but for memory, which is compared by age.
    fn since(&self, start: &Self) -> Self {
        let counters = self.counters.iter().map(|(name, count)| {
            let before = start.counters.get(name).copied().unwrap_or_default();
            (name.clone(), count.since(before))
        });
        Self {
            requests: self.requests.saturating_sub(start.requests),
            failures: self.failures.saturating_sub(start.failures),
            latency: self.latency.since(&start.latency),
            traps: self.traps.saturating_sub(start.traps),
            memory: self.memory.clone(),
            counters: counters.collect(),
        }
    }
}

impl Count {
    /// Events by occasion; 0 where there was none.
    pub fn ratio(self) -> f64 {
        if self.of == 0 { 0.0 } else { self.events as f64 / self.of as f64 }
    }

    fn since(self, start: Self) -> Self {
        Self { events: self.events.saturating_sub(start.events), of: self.of.saturating_sub(start.of) }
    }
}

#[cfg(test)]
mod tests;
