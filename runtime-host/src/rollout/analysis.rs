//! Whether the new revision is worse than the old one.
//!
//! # The tests
//! Each is one-sided, exact, and asks for an effect of a minimum size besides, so that neither few samples nor a
//! difference that nobody minds sends a revision back.
//!
//! | metric | test | minimum effect (default) |
//! |---|---|---|
//! | errors | Fisher's exact test on failures among requests | 0.5 percentage points more |
//! | latency, for each quantile | of the requests, those slower than the old one's quantile times the ratio, against those of the old one slower than its quantile: Fisher's exact test, which for a threshold taken from the old one's sample is the precedence test | 1.25 times as slow |
//! | traps | binomial: of all traps, those in the new revision, given its part of requests; and against a ratio that none may exceed unless the old one does nearly as well | two traps; 1 in 1,000 |
//! | memory | Fisher's exact test on the requests at whose end an instance had grown, for instances of the same age ([`Memory`](super::Memory)) | 1 KiB per request more |
//! | peak of memory | a bound without a test | off |
//! | a component's own counters | as errors, or the other way round; one that counts no occasion any more is not passed while that is no chance | 1 percentage point |
//! | answers of a shadow that differ | binomial against the most that may | off |
//!
//! Requests are taken to fail independently of each other. What fails both revisions at once, like a database that is
//! gone, makes no difference between them, for they are compared over the same time.
//! Latency is compared from [`Analysis::settle_ms`] on, so that the first requests of cold instances do not count.
//!
//! # What counts
//! Every request that a revision was asked. One that is turned away because too many wait for the revision has failed: its queue is
//! its own, and full because it is slow. One whose client gave up before the answer began counts with the time until then, as a bound on
//! how long it would have taken; clients that give up in time to spare a revision its slow answers do not make it look quick. It is
//! no failure, since people leave pages for reasons of their own, and do so with both revisions.
//! Not counted are requests that are too large.
//!
//! # Looking again and again
//! A comparison that is repeated finds a difference by chance sooner or later. So there is a fixed probability of
//! rolling back a healthy revision, [`Analysis::false_rollback_ratio_max`] for the whole rollout, which is divided
//! (Bonferroni): evenly among the steps, then among the tests, and of what a test has, its k-th look gets
//! 1 / (k (k + 1)), which adds up to one however often it is looked at. Looks are rare: one when the step has 5
//! requests of the new revision, then whenever they have grown by a quarter, and one when the step is to end.
//! They do not depend on outcomes, so the probability holds.
//!
//! # Before a step is passed
//! Absence of proof is not proof. A difference of the minimum size with p below [`SUSPECT_P`] keeps a step from ending:
//! it waits for more samples, which either prove it or make it go away.
//!
//! # Where the old one has no traffic
//! After the switch there is nothing to compare with but the old revision's past: its last step, or else all that
//! was counted of it. Times change, so minimum effects are [`PAST_MARGIN`] times as large. Where even that is missing, the
//! new one may not fail more than [`ALONE_ERROR_RATIO`].

use serde::{Deserialize, Serialize};

use super::memory::MEMORY_AGES;
use super::samples::{Latency, Samples, Window};
use comparison::Comparison;

mod comparison;
mod text;

/// A difference that is more probable than this by chance is none.
pub const SUSPECT_P: f64 = 0.05;
/// How many times as large an effect has to be against the past.
pub const PAST_MARGIN: f64 = 4.0;
/// What may fail of a revision that there is nothing to compare with.
pub const ALONE_ERROR_RATIO: f64 = 0.01;

/// What makes a revision worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// Of healthy revisions, those that may be rolled back.
    pub false_rollback_ratio_max: f64,
    /// How long after the beginning of a step latency is compared; at most a quarter of the step.
    pub settle_ms: u64,
    /// How much larger the ratio of failures has to be.
    pub error_increase_min: f64,
    /// Which quantiles of latency are compared, each between 0 and 1.
    pub latency_quantiles: Vec<f64>,
    /// How many times as long requests have to take.
    pub latency_ratio_min: f64,
    /// Traps per request that are too many.
    pub trap_ratio_max: f64,
    /// How much more an instance has to grow per request.
    pub memory_growth_bytes_min: u64,
    /// How many times the old one's peak an instance's memory may reach.
    pub memory_peak_ratio_max: Option<f64>,
    /// Of a shadow's answers, those that may differ.
    pub different_ratio_max: Option<f64>,
    /// Ratios of counters that the component exports.
    pub counters: Vec<CounterRatio>,
}

/// A ratio of two counters that the component exports: of so many occasions, those at which something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CounterRatio {
    /// What it is called in reasons, and in [`Window::counters`].
    pub name: String,
    /// The counter of events.
    pub events: String,
    /// The counter of occasions, which an event is one of.
    pub of: String,
    /// Which way is worse.
    pub worse: Worse,
    /// How much worse the ratio has to be.
    pub increase_min: f64,
}

/// Which way a ratio is worse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the direction of its name")]
pub enum Worse {
    #[default]
    Higher,
    Lower,
}

/// What a comparison of one metric came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `errors`, `latency p95`, `traps`, `memory`, `memory peak`, `answers`, or the name of a counter ratio.
    pub metric: String,
    /// How it was judged.
    pub verdict: Verdict,
    /// How probable it is by chance, where that was asked.
    pub p: Option<f64>,
    /// The numbers, for people.
    pub text: String,
}

/// How a metric was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing speaks against the new revision.
    Alike,
    /// More samples are needed.
    Suspect,
    /// Roll back.
    Worse,
}

/// One look.
pub(super) struct Look<'s> {
    /// What was counted since the step began.
    pub(super) samples: &'s Samples,
    /// Old and new latencies of settled instances, once there are any.
    pub(super) settled: Option<(&'s Latency, &'s Latency)>,
    /// What the old revision was like, in a step in which it has no traffic.
    pub(super) past: Option<&'s Window>,
    /// The probability of a false rollback that this look may spend.
    pub(super) spend: f64,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            false_rollback_ratio_max: 0.002,
            settle_ms: 10_000,
            error_increase_min: 0.005,
            latency_quantiles: vec![0.5, 0.95, 0.99],
            latency_ratio_min: 1.25,
            trap_ratio_max: 0.001,
            memory_growth_bytes_min: 1_024,
            memory_peak_ratio_max: None,
            different_ratio_max: None,
            counters: Vec::new(),
        }
    }
}

impl Analysis {
    /// Compares all metrics.
    pub(super) fn look(&self, look: &Look<'_>) -> Vec<Finding> {
        let comparison = Comparison::new(self, look);
        let latency = self.latency_quantiles.iter().filter_map(|quantile| comparison.latency(*quantile));
        let counters = self.counters.iter().filter_map(|ratio| comparison.counter(ratio));
        [comparison.errors(), comparison.traps()]
            .into_iter()
            .chain(latency)
            .chain(comparison.memory())
            .chain(comparison.memory_peak())
            .chain(comparison.answers())
            .chain(counters)
            .collect()
    }

    /// How many tests a look makes.
    fn tests(&self) -> usize {
        let traps = 2;
        1 + self.latency_quantiles.len()
            + traps
            + MEMORY_AGES
            + self.counters.len()
            + usize::from(self.different_ratio_max.is_some())
    }
}

impl Finding {
    fn is_worse_than(&self, other: &Self) -> bool {
        (self.verdict, other.p) > (other.verdict, self.p)
    }
}

#[cfg(test)]
mod tests;
