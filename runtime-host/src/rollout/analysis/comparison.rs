//! One look's comparison of old and new, metric by metric.

use super::super::memory::Growth;
use super::super::samples::{Count, Window, bucket_begins_us};
use super::super::statistics::{binomial, fisher};
use super::text::{amount, bytes, duration_us, percent};
use super::{ALONE_ERROR_RATIO, Analysis, CounterRatio, Finding, Look, PAST_MARGIN, SUSPECT_P, Verdict, Worse};

/// The fewest requests that are a past.
const PAST_REQUESTS_MIN: u64 = 50;
/// A single trap may be a cosmic ray.
const TRAPS_MIN: u64 = 2;
/// How many times as often as the old revision the new one has to trap for the absolute bound to apply.
const TRAPS_TIMES_OLD: f64 = 2.0;
/// The fewest requests of the old revision's instances of an age that growth is compared with.
const GROWTH_REQUESTS_MIN: u64 = 16;

/// What is known of the old revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    Concurrent,
    Past,
    Nothing,
}

/// What is compared with what.
pub(super) struct Comparison<'s> {
    analysis: &'s Analysis,
    look: &'s Look<'s>,
    new: &'s Window,
    old: &'s Window,
    footing: Footing,
    /// What a test may spend.
    alpha: f64,
}

impl<'s> Comparison<'s> {
    pub(super) fn new(analysis: &'s Analysis, look: &'s Look<'s>) -> Self {
        let (old, footing) = match look.past {
            None => (&look.samples.old, Footing::Concurrent),
            Some(past) if past.requests >= PAST_REQUESTS_MIN => (past, Footing::Past),
            Some(past) => (past, Footing::Nothing),
        };
        let alpha = look.spend / analysis.tests() as f64;
        Self { analysis, look, new: &look.samples.new, old, footing, alpha }
    }

    pub(super) fn errors(&self) -> Finding {
        let (new, old) = (self.new.failed(), self.old.failed());
        self.ratio("errors", "error ratio", "requests", new, old, self.analysis.error_increase_min)
    }

    pub(super) fn traps(&self) -> Finding {
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

    pub(super) fn latency(&self, quantile: f64) -> Option<Finding> {
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

    pub(super) fn memory(&self) -> Option<Finding> {
        let ages = self.new.memory.growth.iter().zip(&self.old.memory.growth);
        let compared = ages.filter(|(new, old)| new.requests > 0 && old.requests >= GROWTH_REQUESTS_MIN);
        let findings = compared.map(|(new, old)| {
            let grown = |growth: &Growth| Count { events: growth.grown, of: growth.requests };
            let per_request = |growth: &Growth| growth.grown_bytes as f64 / growth.requests as f64;
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

    pub(super) fn memory_peak(&self) -> Option<Finding> {
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

    pub(super) fn counter(&self, ratio: &CounterRatio) -> Option<Finding> {
        let new = self.new.counters.get(&ratio.name)?.possible();
        let old = self.old.counters.get(&ratio.name)?.possible();
        if self.footing == Footing::Nothing {
            return None;
        }
        if new.of == 0 && old.of > 0 {
            return Some(self.silence(ratio, old));
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

    /// A revision that counts no occasion any more, as far as that is no chance, cannot be told from one that has none to count.
    fn silence(&self, ratio: &CounterRatio, old: Count) -> Finding {
        let silent = |count: Count, requests: u64| Count { events: requests.saturating_sub(count.of), of: requests };
        let p = fisher(silent(Count::default(), self.new.requests), silent(old, self.old.requests));
        let (verdict, end) = match p <= SUSPECT_P {
            true => (Verdict::Suspect, format!("suspicious with p = {p:.0e}")),
            false => (Verdict::Alike, "no wonder".into()),
        };
        let numbers = format!(
            "ratio `{}`: no {} in {} requests against {} in {}",
            ratio.name,
            ratio.of,
            amount(self.new.requests),
            amount(old.of),
            amount(self.old.requests)
        );
        Finding { metric: ratio.name.clone(), verdict, p: Some(p), text: format!("{numbers}: {end}") }
    }

    pub(super) fn answers(&self) -> Option<Finding> {
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

impl Count {
    /// The same with no more events than occasions, since a counter may be read after the other.
    fn possible(self) -> Self {
        Self { of: self.of.max(self.events), ..self }
    }

    fn complement(self) -> Self {
        Self { events: self.of - self.events, ..self }
    }
}
