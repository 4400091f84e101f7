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
//! | a component's own counters | as errors, or the other way round | 1 percentage point |
//! | answers of a shadow that differ | binomial against the most that may | off |
//!
//! Requests are taken to fail independently of each other. What fails both revisions at once, like a database that is
//! gone, makes no difference between them, for they are compared over the same time.
//! Latency is compared from [`Analysis::settle_ms`] on, so that the first requests of cold instances do not count.
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

use super::samples::{Count, Latency, MEMORY_AGES, Samples, Window, bucket_begins_us};
use super::statistics::{binomial, fisher};

mod text;

use text::{amount, bytes, duration_us, percent};

/// A difference that is more probable than this by chance is none.
pub const SUSPECT_P: f64 = 0.05;
/// How many times as large an effect has to be against the past.
pub const PAST_MARGIN: f64 = 4.0;
/// What may fail of a revision that there is nothing to compare with.
pub const ALONE_ERROR_RATIO: f64 = 0.01;
/// The fewest requests that are a past.
const PAST_REQUESTS_MIN: u64 = 50;
/// A single trap may be a cosmic ray.
const TRAPS_MIN: u64 = 2;
/// How many times as often as the old revision the new one has to trap for the absolute bound to apply.
const TRAPS_TIMES_OLD: f64 = 2.0;
/// The fewest requests of the old revision's instances of an age that growth is compared with.
const GROWTH_REQUESTS_MIN: u64 = 16;

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

/// What is known of the old revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    Concurrent,
    Past,
    Nothing,
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

struct Comparison<'s> {
    analysis: &'s Analysis,
    look: &'s Look<'s>,
    new: &'s Window,
    old: &'s Window,
    footing: Footing,
    /// What a test may spend.
    alpha: f64,
}

impl<'s> Comparison<'s> {
    fn new(analysis: &'s Analysis, look: &'s Look<'s>) -> Self {
        let (old, footing) = match look.past {
            None => (&look.samples.old, Footing::Concurrent),
            Some(past) if past.requests >= PAST_REQUESTS_MIN => (past, Footing::Past),
            Some(past) => (past, Footing::Nothing),
        };
        let alpha = look.spend / analysis.tests() as f64;
        Self { analysis, look, new: &look.samples.new, old, footing, alpha }
    }

    fn errors(&self) -> Finding {
        let (new, old) = (self.new.failed(), self.old.failed());
        self.ratio("errors", "error ratio", "requests", new, old, self.analysis.error_increase_min)
    }

    fn traps(&self) -> Finding {
        let (new, old) = (self.new.trapped().possible(), self.old.trapped().possible());
        let relative = Count { events: new.events, of: new.events + old.events };
        let (is_compared, part) = match self.footing {
            Footing::Nothing => (false, 1.0),
            _ => (old.of > 0, new.of as f64 / (new.of + old.of) as f64),
        };
        let p_relative = if is_compared { binomial(relative, part) } else { 1.0 };
        let is_over = new.ratio() > self.analysis.trap_ratio_max && new.ratio() > TRAPS_TIMES_OLD * old.ratio();
        let p_absolute = if is_over { binomial(new, self.analysis.trap_ratio_max) } else { 1.0 };
        let is_large = new.events >= TRAPS_MIN && new.ratio() > old.ratio();
        let numbers = format!(
            "{} traps in {} requests against {} in {}",
            amount(new.events),
            amount(new.of),
            amount(old.events),
            amount(old.of)
        );
        self.judge("traps", p_relative.min(p_absolute), is_large, &numbers)
    }

    fn latency(&self, quantile: f64) -> Option<Finding> {
        let (old, new) = match (self.look.settled?, self.footing) {
            (settled, Footing::Concurrent) => settled,
            ((_, new), Footing::Past) => (&self.old.latency, new),
            (_, Footing::Nothing) => return None,
        };
        let ratio_min = 1.0 + (self.analysis.latency_ratio_min - 1.0) * self.margin();
        let (bucket, slow_old) = old.threshold(1.0 - quantile);
        let quantile_us = bucket_begins_us(bucket + 1) as f64;
        let slow_us = quantile_us * ratio_min;
        let slow_old = Count { events: slow_old, of: old.count() };
        let slow_new = Count { events: new.at_least(slow_us), of: new.count() };
        let name = format!("latency p{}", (quantile * 1e4).round() / 1e2);
        let (bucket, _) = new.threshold(1.0 - quantile);
        let numbers = format!(
            "{name} {} of {} requests against {} of {}",
            duration_us(bucket_begins_us(bucket + 1) as f64),
            amount(slow_new.of),
            duration_us(quantile_us),
            amount(slow_old.of)
        );
        let is_large = slow_new.ratio() > slow_old.ratio();
        Some(self.judge(&name, fisher(slow_new, slow_old), is_large, &numbers))
    }

    fn memory(&self) -> Option<Finding> {
        let ages = self.new.memory.growth.iter().zip(&self.old.memory.growth);
        let compared = ages.filter(|(new, old)| new.requests > 0 && old.requests >= GROWTH_REQUESTS_MIN);
        let findings = compared.map(|(new, old)| {
            let grown = |growth: &super::Growth| Count { events: growth.grown, of: growth.requests };
            let per_request = |growth: &super::Growth| growth.grown_bytes as f64 / growth.requests as f64;
            let more = per_request(new) - per_request(old);
            let numbers = format!(
                "instances grow by {} a request over {} requests against {} over {}",
                bytes(per_request(new)),
                amount(new.requests),
                bytes(per_request(old)),
                amount(old.requests)
            );
            let is_large = more >= self.analysis.memory_growth_bytes_min as f64 * self.margin();
            self.judge("memory", fisher(grown(new).possible(), grown(old).possible()), is_large, &numbers)
        });
        findings.reduce(|worst, next| if next.is_worse_than(&worst) { next } else { worst })
    }

    fn memory_peak(&self) -> Option<Finding> {
        let ratio_max = self.analysis.memory_peak_ratio_max?;
        let (new, old) = (self.new.memory.peak_bytes as f64, self.old.memory.peak_bytes as f64);
        let is_over = old > 0.0 && new > old * ratio_max;
        let numbers = format!("an instance had {} against {}", bytes(new), bytes(old));
        let (verdict, end) = match is_over {
            true => (Verdict::Worse, format!("more than {ratio_max} times as much")),
            false => (Verdict::Alike, "not too much".into()),
        };
        Some(Finding { metric: "memory peak".into(), verdict, p: None, text: format!("{numbers}: {end}") })
    }

    fn counter(&self, ratio: &CounterRatio) -> Option<Finding> {
        let new = self.new.counters.get(&ratio.name)?.possible();
        let old = self.old.counters.get(&ratio.name)?.possible();
        if self.footing == Footing::Nothing {
            return None;
        }
        let what = format!("ratio `{}`", ratio.name);
        let increase_min = ratio.increase_min;
        Some(match ratio.worse {
            Worse::Higher => self.ratio(&ratio.name, &what, &ratio.of, new, old, increase_min),
            Worse::Lower => {
                let what = format!("the rest of {what}");
                self.ratio(&ratio.name, &what, &ratio.of, new.complement(), old.complement(), increase_min)
            }
        })
    }

    fn answers(&self) -> Option<Finding> {
        let ratio_max = self.analysis.different_ratio_max?;
        let answers = self.look.samples.answers.possible();
        let p = if ratio_max > 0.0 { binomial(answers, ratio_max) } else { f64::from(answers.events == 0) };
        let numbers = format!("{} of {} answers differ", percent(answers.ratio()), amount(answers.of));
        Some(self.judge("answers", p, answers.ratio() > ratio_max, &numbers))
    }

    /// Compares ratios of which the higher one is worse.
    fn ratio(&self, metric: &str, what: &str, of: &str, new: Count, old: Count, increase_min: f64) -> Finding {
        let (new, old) = (new.possible(), old.possible());
        let (p, old_ratio, against) = match self.footing {
            Footing::Nothing => (binomial(new, ALONE_ERROR_RATIO), ALONE_ERROR_RATIO, String::from("what is allowed")),
            Footing::Past => (fisher(new, old), old.ratio(), format!("{} before", amount(old.of))),
            Footing::Concurrent => (fisher(new, old), old.ratio(), amount(old.of)),
        };
        let is_large = new.ratio() - old_ratio >= increase_min * self.margin();
        let numbers = format!(
            "{what} {} of {} {of} against {} of {against}",
            percent(new.ratio()),
            amount(new.of),
            percent(old_ratio)
        );
        self.judge(metric, p, is_large, &numbers)
    }

    fn margin(&self) -> f64 {
        if self.footing == Footing::Past { PAST_MARGIN } else { 1.0 }
    }

    fn judge(&self, metric: &str, p: f64, is_large: bool, numbers: &str) -> Finding {
        let (verdict, end) = match (is_large, p) {
            (true, p) if p <= self.alpha => (Verdict::Worse, format!("worse with p = {p:.0e}")),
            (true, p) if p <= SUSPECT_P => (Verdict::Suspect, format!("suspicious with p = {p:.0e}")),
            _ => (Verdict::Alike, "not worse".into()),
        };
        Finding { metric: metric.into(), verdict, p: Some(p), text: format!("{numbers}: {end}") }
    }
}

impl Finding {
    fn is_worse_than(&self, other: &Self) -> bool {
        (self.verdict, other.p) > (other.verdict, self.p)
    }
}

impl Count {
    /// The same with no more events than occasions, since a counter may be read after the other.
    fn possible(self) -> Self {
        Self { of: self.of.max(self.events), ..self }
    }

    fn complement(self) -> Self {
        Self { events: self.of - self.events, ..self }
    }
}

#[cfg(test)]
mod tests;
