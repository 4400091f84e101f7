//! When the runs of a schedule are due. Pure: the time and what is random are passed in.

use std::time::{Duration, Instant};

/// How long after the start the first run waits at most: what a crash left undone is looked at soon.
const FIRST_RUN_DELAY_MAX: Duration = Duration::from_secs(1);
/// By what part of its period a run may be late, so that many hosts do not all ask at once.
const JITTER_MAX: f64 = 0.1;

/// The times of one schedule. They are a period apart from the first one on; each run after that is late by a part of the
/// period, which is drawn anew, so that lateness never adds up.
#[derive(Debug)]
pub(super) struct Timetable {
    every: Duration,
    /// When the run that is next, or is going on, was to be without being late.
    slot: Instant,
    due: Instant,
    random: fastrand::Rng,
}

impl Timetable {
    /// The times from `now` on, of a schedule with this period, which is more than nothing.
    pub(super) fn new(every: Duration, now: Instant, mut random: fastrand::Rng) -> Self {
        let first = now + FIRST_RUN_DELAY_MAX.min(every).mul_f64(random.f64());
        Self { every, slot: first, due: first, random }
    }

    /// When the next run is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Goes on to the run after the one that has ended by `now`, and tells how many were left out that should have begun
    /// meanwhile.
    pub(super) fn advance(&mut self, now: Instant) -> u64 {
        let mut skipped = 0;
        self.slot += self.every;
        while self.slot <= now {
            self.slot += self.every;
            skipped += 1;
        }
        self.due = self.slot + self.every.mul_f64(JITTER_MAX * self.random.f64());
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(5);
    const RUNS: u32 = 1_000;

    fn timetable(every: Duration, start: Instant, seed: u64) -> Timetable {
        Timetable::new(every, start, fastrand::Rng::with_seed(seed))
    }

    /// When so many runs begin that each take this long.
    fn runs(mut times: Timetable, takes: Duration) -> Vec<Instant> {
        let run = |_| {
            let begins = times.due();
            times.advance(begins + takes);
            begins
        };
        (0..RUNS).map(run).collect()
    }

    #[test]
    fn the_first_run_comes_soon() {
        let start = Instant::now();
        for seed in 0..100 {
            let after = |every: Duration| timetable(every, start, seed).due() - start;
            assert!(after(EVERY) < Duration::from_secs(1), "seed {seed}");
            assert!(after(Duration::from_hours(1)) < Duration::from_secs(1), "seed {seed}");
            assert!(after(Duration::from_millis(100)) < Duration::from_millis(100), "seed {seed}");
        }
    }

    #[test]
    fn a_run_is_late_by_a_tenth_of_its_period_at_most_however_many_came_before() {
        let start = Instant::now();
        for seed in 0..20 {
            let begins = runs(timetable(EVERY, start, seed), Duration::from_millis(300));
            let late: Vec<Duration> = (0..)
                .zip(&begins)
                .map(|(n, begins)| begins.duration_since(begins_at(start, seed)) - EVERY * n)
                .collect();
            assert!(late.iter().all(|late| *late < EVERY / 10), "seed {seed}: {:?}", late.iter().max());
            // It is spread over all of the tenth.
            let spread =
                |range: std::ops::Range<u32>| late.iter().any(|late| range.contains(&(late.as_millis() as u32)));
            assert!(spread(0..50) && spread(225..275) && spread(450..500), "seed {seed}");
        }
    }

    fn begins_at(start: Instant, seed: u64) -> Instant {
        timetable(EVERY, start, seed).due()
    }

    #[test]
    fn a_run_begins_after_the_one_before_has_ended_and_what_was_due_meanwhile_is_skipped() {
        let start = Instant::now();
        for (takes_s, skipped) in [(0, 0..=0), (4, 0..=0), (5, 1..=1), (11, 2..=2), (14, 2..=3), (63, 12..=13)] {
            let takes = Duration::from_secs(takes_s);
            let mut times = timetable(EVERY, start, takes_s);
            for _ in 0..RUNS {
                let ends = times.due() + takes;
                let left_out = times.advance(ends);
                assert!(skipped.contains(&left_out), "a run of {takes_s} s left out {left_out}");
                assert!(times.due() > ends, "a run of {takes_s} s");
                assert!(times.due() - ends <= EVERY + EVERY / 10, "a run of {takes_s} s is followed soon");
            }
        }
    }

    #[test]
    fn hosts_that_start_together_do_not_run_in_step() {
        let start = Instant::now();
        let of = |seed| runs(timetable(EVERY, start, seed), Duration::ZERO);
        for seed in 0..20 {
            let apart = |(one, other): (Instant, Instant)| one.max(other) - one.min(other);
            let apart: Vec<Duration> = of(seed).into_iter().zip(of(seed + 1)).map(apart).collect();
            let together = apart.iter().filter(|apart| **apart < Duration::from_millis(10)).count();
            assert!(together < RUNS as usize / 10, "seed {seed}: {together} of {RUNS} runs at once");
            // Nor are they the same time apart again and again.
            let mut times = apart.clone();
            times.dedup();
            assert_eq!(times.len(), RUNS as usize, "seed {seed}");
        }
    }
}
