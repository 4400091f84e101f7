//! Tails of the two distributions that the comparisons need, exact for small counts and for large ones.

use super::Count;

/// Terms below this part of their sum no longer change it.
const NEGLIGIBLE: f64 = 1e-17;

/// Fisher's exact test, one-sided: how probable at least as many of the events in `new` are, given those in both, if
/// the ratio is the same in both (R. A. Fisher, "The logic of inductive inference", 1935).
pub(super) fn fisher(new: Count, old: Count) -> f64 {
    let (drawn, others) = (new.of as f64, old.of as f64);
    let marked = (new.events + old.events) as f64;
    let ln_probability =
        |hits: f64| ln_choose(drawn, hits) + ln_choose(others, marked - hits) - ln_choose(drawn + others, marked);
    // Of a term to the next one.
    let ratio = |hits: f64| (drawn - hits) * (marked - hits) / ((hits + 1.0) * (others - marked + hits + 1.0));
    let highest = drawn.min(marked);
    let lowest = (marked - others).max(0.0);
    upper_tail(new.events as f64, lowest..=highest, marked * drawn / (drawn + others), ln_probability, ratio)
}

/// How probable at least `events` of `of` are if each has the probability `each`, strictly between 0 and 1.
pub(super) fn binomial(Count { events, of }: Count, each: f64) -> f64 {
    let of = of as f64;
    let ln_probability = |hits: f64| ln_choose(of, hits) + hits * each.ln() + (of - hits) * (-each).ln_1p();
    let ratio = |hits: f64| (of - hits) / (hits + 1.0) * (each / (1.0 - each));
    upper_tail(events as f64, 0.0..=of, of * each, ln_probability, ratio)
}

/// The probability of `from` or more, for a distribution with one peak near its `mean`. The sum goes away from the
/// peak, where each term is smaller than the one before.
fn upper_tail(
    from: f64,
    range: std::ops::RangeInclusive<f64>,
    mean: f64,
    ln_probability: impl Fn(f64) -> f64,
    ratio: impl Fn(f64) -> f64,
) -> f64 {
    if from <= *range.start() {
        return 1.0;
    }
    let is_above = from > mean;
    let mut at = if is_above { from } else { from - 1.0 };
    let mut term = ln_probability(at).exp();
    let mut sum = term;
    let more = |at: f64| if is_above { at < *range.end() } else { at > *range.start() };
    while more(at) && term > sum * NEGLIGIBLE {
        if is_above {
            term *= ratio(at);
            at += 1.0;
        } else {
            at -= 1.0;
            term /= ratio(at);
        }
        sum += term;
    }
    if is_above { sum.min(1.0) } else { (1.0 - sum).max(0.0) }
}

fn ln_choose(of: f64, chosen: f64) -> f64 {
    let ln_factorial = |n: f64| libm::lgamma(n + 1.0);
    ln_factorial(of) - ln_factorial(chosen) - ln_factorial(of - chosen)
}

#[cfg(test)]
mod tests;
