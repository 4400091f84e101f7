//! How many requests may be under way at once: a fixed number, or as many as do not make each other wait.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gateway::lock;

/// What a limit is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct ConcurrencySettings {
    /// The most, whatever happens.
    pub(in crate::gateway) max: u32,
    /// Whether it is made smaller while answers take longer than they have to, down to `min`.
    pub(in crate::gateway) is_adaptive: bool,
    pub(in crate::gateway) min: u32,
}

impl std::fmt::Display for ConcurrencySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_adaptive {
            true => write!(f, "{} to {}", self.min, self.max),
            false => write!(f, "{}", self.max),
        }
    }
}

/// Where an adaptive limit begins: it is soon larger if that does no harm.
const START: u32 = 32;
/// Answers that are looked at together; an adaptive limit changes after each such lot.
const LOT: u32 = 32;
/// How much longer than the shortest answers may take.
const TOLERANCE: f64 = 2.0;
/// What an adaptive limit keeps of itself at each change; the rest is what the last lot says.
const SMOOTHING: f64 = 0.7;
/// How long it is taken for known how fast an answer can be. Then it is measured anew, with so few requests that none waits:
/// what is measured under load would be taken for the best there is, and the limit would grow without end.
const BASE_PERIOD: Duration = Duration::from_secs(60);
/// Answers that are measured then, and how long that may take.
const BASE_LOT: u32 = 8;
const MEASUREMENT_MAX: Duration = Duration::from_secs(2);

/// A limit and what is under way.
#[derive(Debug)]
pub(in crate::gateway) struct Concurrency {
    settings: ConcurrencySettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    under_way: u32,
    limit: f64,
    /// How long an answer takes that nobody else makes wait, in seconds.
    base: Option<f64>,
    /// Since when that is known, or is measured.
    base_since: Option<Instant>,
    /// The limit that holds again when it has been measured.
    measured_at: Option<f64>,
    lot: Lot,
}

#[derive(Debug, Default)]
struct Lot {
    answers: u32,
    seconds: f64,
    /// The most that were under way while it was collected.
    under_way_max: u32,
}

/// A place among those that are under way.
#[derive(Debug)]
pub(in crate::gateway) struct Place {
    concurrency: Arc<Concurrency>,
    since: Instant,
    /// With an adaptive limit, whoever has been answered makes nobody wait any more: a body may take hours.
    is_answered: bool,
}

impl Concurrency {
    pub(in crate::gateway) fn new(settings: ConcurrencySettings) -> Self {
        let start = if settings.is_adaptive { START.clamp(settings.min, settings.max) } else { settings.max };
        let state = State {
            under_way: 0,
            limit: f64::from(start),
            base: None,
            base_since: None,
            measured_at: None,
            lot: Lot::default(),
        };
        Self { settings, state: Mutex::new(state) }
    }

    pub(in crate::gateway) fn settings(&self) -> &ConcurrencySettings {
        &self.settings
    }

    /// A place for a request that may have this part of all of them, if one is free.
    pub(in crate::gateway) fn enter(self: &Arc<Self>, part: f64, now: Instant) -> Option<Place> {
        let mut state = lock(&self.state);
        state.end_measurement(now);
        // At least one is let in, or nothing would ever be learnt.
        if f64::from(state.under_way) >= (state.limit * part).max(1.0).floor() {
            return None;
        }
        state.under_way += 1;
        state.lot.under_way_max = state.lot.under_way_max.max(state.under_way);
        Some(Place { concurrency: self.clone(), since: now, is_answered: false })
    }
}

impl Place {
    /// The answer has come, though its body may still be under way. Only if somebody really worked on it, something is learnt.
    pub(in crate::gateway) fn answered(&mut self, is_measured: bool, now: Instant) {
        if !self.concurrency.settings.is_adaptive || std::mem::replace(&mut self.is_answered, true) {
            return;
        }
        let mut state = lock(&self.concurrency.state);
        state.under_way -= 1;
        if is_measured {
            state.answered(&self.concurrency.settings, self.since, now);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_answered {
            lock(&self.concurrency.state).under_way -= 1;
        }
    }
}

impl State {
    /// Goes back to the limit of before where a measurement gets no answers.
    fn end_measurement(&mut self, now: Instant) {
        let since = self.base_since.unwrap_or(now);
        if now.saturating_duration_since(since) > MEASUREMENT_MAX
            && let Some(limit) = self.measured_at.take()
        {
            self.limit = limit;
            self.base_since = Some(now);
            self.lot = Lot { under_way_max: self.under_way, ..Lot::default() };
        }
    }

    fn answered(&mut self, settings: &ConcurrencySettings, since: Instant, now: Instant) {
        let base_since = *self.base_since.get_or_insert(now);
        // What began before the measurement had others beside it.
        if self.measured_at.is_some() && since < base_since {
            return;
        }
        self.lot.answers += 1;
        self.lot.seconds += now.saturating_duration_since(since).as_secs_f64();
        if self.lot.answers < if self.measured_at.is_some() { BASE_LOT } else { LOT } {
            return;
        }
        let lot = std::mem::take(&mut self.lot);
        self.lot.under_way_max = self.under_way;
        let average = (lot.seconds / f64::from(lot.answers)).max(1e-6);
        if let Some(limit) = self.measured_at.take() {
            self.limit = limit;
            self.base = Some(average);
            self.base_since = Some(now);
            return;
        }
        let base = self.base.map_or(average, |base| base.min(average));
        self.base = Some(base);
        if now.saturating_duration_since(base_since) > BASE_PERIOD {
            self.measured_at = Some(self.limit);
            self.limit = f64::from(settings.min);
            self.base_since = Some(now);
            return;
        }
        let gradient = (TOLERANCE * base / average).clamp(0.5, 1.0);
        // It grows only when it is used: otherwise nothing is known of what would be.
        let is_used = f64::from(lot.under_way_max) * 2.0 >= self.limit;
        let room = if is_used { self.limit.sqrt() } else { 0.0 };
        let wanted = self.limit * gradient + room;
        let limit = SMOOTHING * self.limit + (1.0 - SMOOTHING) * wanted;
        self.limit = limit.clamp(f64::from(settings.min), f64::from(settings.max));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    fn concurrency(max: u32, is_adaptive: bool) -> Arc<Concurrency> {
        Arc::new(Concurrency::new(ConcurrencySettings { max, is_adaptive, min: 2 }))
    }

    #[test]
    fn no_more_than_the_limit_are_under_way_and_places_are_given_back() {
        let (concurrency, now) = (concurrency(3, false), Instant::now());
        let mut places: Vec<_> = (0..3).map(|_| concurrency.enter(1.0, now).unwrap()).collect();
        assert!(concurrency.enter(1.0, now).is_none());
        places.pop();
        assert!(concurrency.enter(1.0, now).is_some());
    }

    #[test]
    fn those_that_matter_less_are_turned_away_first() {
        let (concurrency, now) = (concurrency(10, false), Instant::now());
        let places: Vec<_> = std::iter::from_fn(|| concurrency.enter(0.5, now)).collect();
        assert_eq!(places.len(), 5);
        let more: Vec<_> = std::iter::from_fn(|| concurrency.enter(0.8, now)).collect();
        assert_eq!(more.len(), 3);
        assert_eq!(std::iter::from_fn(|| concurrency.enter(1.0, now)).collect::<Vec<_>>().len(), 2);
    }

    /// For `seconds`, a server works on `capacity` requests at once, each for 10 ms, and lets the others wait; clients always fill the
    /// limit. Tells the limit at the end and the part of the time that it was measured anew.
    fn settle(concurrency: &Arc<Concurrency>, capacity: f64, seconds: u64, now: &mut Instant) -> (f64, f64) {
        let end = *now + Duration::from_secs(seconds);
        let mut under_way: VecDeque<Place> = VecDeque::new();
        let (mut steps, mut measuring) = (0.0, 0.0);
        while *now < end {
            under_way.extend(std::iter::from_fn(|| concurrency.enter(1.0, *now)));
            let busy = (under_way.len() as f64).min(capacity).max(1.0);
            *now += Duration::from_secs_f64(0.010 / busy);
            if let Some(mut place) = under_way.pop_front() {
                // Nobody is answered before the work is done.
                place.since = place.since.min(*now - Duration::from_millis(10));
                place.answered(true, *now);
            }
            steps += 1.0;
            measuring += f64::from(u8::from(lock(&concurrency.state).measured_at.is_some()));
        }
        let state = lock(&concurrency.state);
        (state.measured_at.unwrap_or(state.limit), measuring / steps)
    }

    #[test]
    fn an_adaptive_limit_finds_what_a_server_can_do_and_keeps_to_it() {
        let (concurrency, mut now) = (concurrency(1000, true), Instant::now());
        for (capacity, seconds) in [(20.0, 600), (5.0, 90), (5.0, 600), (200.0, 300)] {
            let (limit, measuring) = settle(&concurrency, capacity, seconds, &mut now);
            assert!((capacity..=capacity * 5.0 + 10.0).contains(&limit), "{limit} for {capacity}");
            assert!(measuring < 0.05, "{measuring}");
        }
    }

    #[test]
    fn long_bodies_and_slow_answers_shut_nobody_out() {
        let (concurrency, mut now) = (concurrency(1000, true), Instant::now());
        let mut bodies = Vec::new();
        for second in 0..300 {
            now += Duration::from_secs(1);
            let mut place = concurrency.enter(0.5, now).unwrap_or_else(|| panic!("nobody is let in after {second} s"));
            now += Duration::from_millis(10);
            place.answered(true, now);
            bodies.push(place);
        }
        // Measurements that get no answers end.
        let mut waiting: Vec<_> = (0..4).filter_map(|_| concurrency.enter(1.0, now)).collect();
        for _ in 0..100 {
            now += Duration::from_secs(3);
            waiting.extend(concurrency.enter(1.0, now));
        }
        assert!(waiting.len() > 20, "{}", waiting.len());
    }

    #[test]
    fn what_is_asked_for_by_few_keeps_its_limit() {
        let (concurrency, mut now) = (concurrency(1000, true), Instant::now());
        for _ in 0..100_000 {
            let mut place = concurrency.enter(1.0, now).unwrap();
            now += Duration::from_millis(10);
            place.answered(true, now);
        }
        assert_eq!(lock(&concurrency.state).limit, f64::from(START));
    }
}
