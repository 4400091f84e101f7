//! The tails against values that other programs give, and against sums.

use super::*;

fn count(events: u64, of: u64) -> Count {
    Count { events, of }
}

#[track_caller]
fn assert_near(value: f64, expected: f64) {
    assert!((value / expected - 1.0).abs() < 1e-6, "{value:e}, expected {expected:e}");
}

#[test]
fn fishers_tea_is_tasted_as_he_calculated() {
    // Eight cups, four with the milk first: all four found, and three of them.
    assert_near(fisher(count(4, 4), count(0, 4)), 1.0 / 70.0);
    assert_near(fisher(count(3, 4), count(1, 4)), 17.0 / 70.0);
}

#[test]
fn fisher_agrees_with_the_sum_of_all_tables() {
    fn choose(of: u64, chosen: u64) -> f64 {
        (0..chosen).fold(1.0, |product, n| product * (of - n) as f64 / (n + 1) as f64)
    }
    for (new_of, old_of) in [(1_u64, 1_u64), (5, 12), (12, 5), (20, 20_u64)] {
        for marked in 0..=new_of + old_of {
            let possible = marked.saturating_sub(old_of)..=marked.min(new_of);
            for events in possible.clone() {
                let ways = |hits: u64| choose(new_of, hits) * choose(old_of, marked - hits);
                let sum: f64 = (events..=*possible.end()).map(ways).sum();
                let found = fisher(count(events, new_of), count(marked - events, old_of));
                assert_near(found, sum / choose(new_of + old_of, marked));
            }
        }
    }
}

#[test]
fn the_binomial_tail_agrees_with_the_sum_of_its_terms() {
    // Three or more sixes of five dice: (10 * 25 + 5 * 5 + 1) / 6^5.
    assert_near(binomial(count(3, 5), 1.0 / 6.0), 276.0 / 7_776.0);
    // At least one, and at least none.
    assert_near(binomial(count(1, 1_000), 0.001), 1.0 - 0.999_f64.powi(1_000));
    assert_near(binomial(count(0, 10), 0.5), 1.0);
    assert_near(binomial(count(10, 10), 0.5), 0.5_f64.powi(10));
}

#[test]
fn large_and_extreme_counts_stay_probabilities() {
    for (new, old) in [
        (count(0, 0), count(0, 0)),
        (count(0, 10), count(0, 0)),
        (count(500_000, 1_000_000), count(5_000_000, 10_000_000)),
        (count(1_000_000, 1_000_000), count(0, 10_000_000)),
        (count(0, 1_000_000), count(10_000_000, 10_000_000)),
        (count(1, 1_000_000_000), count(1, 1)),
    ] {
        let p = fisher(new, old);
        assert!((0.0..=1.0).contains(&p), "{p} of {new:?} {old:?}");
    }
    let even = fisher(count(500_000, 1_000_000), count(5_000_000, 10_000_000));
    assert!((0.49..0.51).contains(&even), "{even}");
}
