//! Medians, percentiles, and ratios of rounds measured in pairs.

use std::time::Duration;

/// The median; of an even number of values, the mean of the middle two. NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The latencies of single requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// The latency that `percent` of the requests did not exceed (nearest rank); zero of none.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        let mut sorted: Vec<_> = latencies.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

/// The results of rounds in which ours and theirs took turns.
#[derive(Debug, Clone)]
pub(crate) struct Pairs<T>(Vec<(T, T)>);

impl<T> Pairs<T> {
    /// Measures `ours` and `theirs` in turn, so that a slow drift of the machine meets both.
    pub(crate) fn measure<E>(
        rounds: usize,
        mut ours: impl FnMut() -> Result<T, E>,
        mut theirs: impl FnMut() -> Result<T, E>,
    ) -> Result<Self, E> {
        (0..rounds).map(|_| Ok((ours()?, theirs()?))).collect::<Result<_, E>>().map(Self)
    }

    /// The median of a figure on our side.
    pub(crate) fn ours(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.0.iter().map(|(ours, _)| figure(ours)))
    }

    /// The median of a figure on their side.
    pub(crate) fn theirs(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.0.iter().map(|(_, theirs)| figure(theirs)))
    }

    /// Ours divided by theirs, round by round.
    pub(crate) fn ratio(&self, figure: impl Fn(&T) -> f64) -> Ratio {
        let ratios: Vec<f64> = self.0.iter().map(|(ours, theirs)| figure(ours) / figure(theirs)).collect();
        Ratio {
            median: median(ratios.iter().copied()),
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// The median of the difference ours - theirs, round by round.
    pub(crate) fn difference(&self, figure: impl Fn(&T) -> f64) -> f64 {
        median(self.0.iter().map(|(ours, theirs)| figure(ours) - figure(theirs)))
    }
}

/// The ratios of all rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// The median of the rounds.
    pub(crate) median: f64,
    /// The lowest round.
    pub(crate) min: f64,
    /// The highest round.
    pub(crate) max: f64,
}

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_odd_and_even_numbers_of_values() {
        assert_eq!(median([9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median([4.0, 1.0, 100.0, 2.0]), 3.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let latencies: Latencies = (1..=200).rev().map(Duration::from_micros).collect();
        assert_eq!(latencies.percentile(50), Duration::from_micros(100));
        assert_eq!(latencies.percentile(99), Duration::from_micros(198));
        assert_eq!(latencies.percentile(100), Duration::from_micros(200));
        let one: Latencies = [Duration::from_micros(7)].into_iter().collect();
        assert_eq!(one.percentile(1), Duration::from_micros(7));
        assert_eq!(Latencies::default().percentile(99), Duration::ZERO);
    }

    #[test]
    fn rounds_alternate_and_are_compared_within_the_pair() {
        let turns = std::cell::RefCell::new(Vec::new());
        let turn = |side: char, value: f64| {
            turns.borrow_mut().push(side);
            Ok::<_, ()>(value * turns.borrow().len() as f64)
        };
        let pairs = Pairs::measure(3, || turn('a', 2.0), || turn('b', 1.0)).unwrap();
        assert_eq!(turns.borrow().iter().collect::<String>(), "ababab");
        // Ours: 2, 6, 10; theirs: 2, 4, 6.
        assert_eq!((pairs.ours(|v| *v), pairs.theirs(|v| *v)), (6.0, 4.0));
        assert_eq!(pairs.difference(|v| *v), 2.0);
        let ratio = pairs.ratio(|v| *v);
        assert_eq!((ratio.median, ratio.min, ratio.max), (1.5, 1.0, 10.0 / 6.0));
        assert_eq!(ratio.to_string(), "1.50 (1.00 to 1.67)");
    }

    #[test]
    fn a_failing_round_ends_the_measurement() {
        let mut calls = 0;
        let result = Pairs::measure(
            5,
            || Ok(1),
            || {
                calls += 1;
                if calls == 2 { Err("down") } else { Ok(1) }
            },
        );
        assert_eq!(result.unwrap_err(), "down");
        assert_eq!(calls, 2);
    }
}
