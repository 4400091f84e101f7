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

/// Answers that are looked at together; an adaptive limit changes after each such lot.
const LOT: u32 = 32;
/// How much longer than the shortest answers may take.
const TOLERANCE: f64 = 2.0;
/// What an adaptive limit keeps of itself at each change; the rest is what the last lot says.
const SMOOTHING: f64 = 0.7;
/// How long the shortest time counts. Then it may have become longer for good.
const SHORTEST_PERIOD: Duration = Duration::from_secs(30);

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
    /// The shortest average time of the lots of this period and of the one before.
    shortest: [Option<f64>; 2],
    period_since: Option<Instant>,
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
    is_counted: bool,
}

impl Concurrency {
    pub(in crate::gateway) fn new(settings: ConcurrencySettings) -> Self {
        let state = State {
            under_way: 0,
            limit: f64::from(settings.max),
            shortest: [None; 2],
            period_since: None,
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
        // At least one is let in, or nothing would ever be learnt.
        if f64::from(state.under_way) >= (state.limit * part).max(1.0).floor() {
            return None;
        }
        state.under_way += 1;
        state.lot.under_way_max = state.lot.under_way_max.max(state.under_way);
        Some(Place { concurrency: self.clone(), since: now, is_counted: false })
    }
}

impl Place {
    /// The answer has come, though its body may still be under way.
    pub(in crate::gateway) fn answered(&mut self, now: Instant) {
        if !self.concurrency.settings.is_adaptive || std::mem::replace(&mut self.is_counted, true) {
            return;
        }
        let took = now.saturating_duration_since(self.since).as_secs_f64();
        lock(&self.concurrency.state).answered(&self.concurrency.settings, took, now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.concurrency.state).under_way -= 1;
    }
}

impl State {
    fn answered(&mut self, settings: &ConcurrencySettings, took: f64, now: Instant) {
        self.lot.answers += 1;
        self.lot.seconds += took;
        if self.lot.answers < LOT {
            return;
        }
        let lot = std::mem::take(&mut self.lot);
        self.lot.under_way_max = self.under_way;
        let average = (lot.seconds / f64::from(lot.answers)).max(1e-6);
        let since = *self.period_since.get_or_insert(now);
        if now.saturating_duration_since(since) > SHORTEST_PERIOD {
            self.shortest = [None, self.shortest[0]];
            self.period_since = Some(now);
        }
        let shortest = self.shortest[0].map_or(average, |shortest| shortest.min(average));
        self.shortest[0] = Some(shortest);
        let shortest = self.shortest[1].map_or(shortest, |former| former.min(shortest));
        let gradient = (TOLERANCE * shortest / average).clamp(0.5, 1.0);
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

    /// A server that works on `capacity` requests at once, each for 10 ms, and lets the others wait; clients always fill the limit.
    fn settle(concurrency: &Arc<Concurrency>, capacity: f64, lots: u32, mut now: Instant) -> (f64, Instant) {
        for _ in 0..lots * LOT {
            let mut places: Vec<_> = std::iter::from_fn(|| concurrency.enter(1.0, now)).collect();
            let took = Duration::from_secs_f64(0.010 * (places.len() as f64 / capacity).max(1.0));
            let began = now;
            now += took / u32::try_from(places.len()).unwrap();
            if let Some(place) = places.first_mut() {
                place.since = began;
                place.answered(began + took);
            }
        }
        (lock(&concurrency.state).limit, now)
    }

    #[test]
    fn an_adaptive_limit_finds_what_a_server_can_do_and_follows_it() {
        let (concurrency, now) = (concurrency(1000, true), Instant::now());
        // It is known how fast the server is when nobody waits.
        lock(&concurrency.state).limit = 4.0;
        let (limit, now) = settle(&concurrency, 20.0, 300, now);
        assert!((20.0..=70.0).contains(&limit), "{limit}");
        let (limit, now) = settle(&concurrency, 5.0, 100, now);
        assert!((5.0..=25.0).contains(&limit), "{limit}");
        let (limit, _) = settle(&concurrency, 200.0, 600, now);
        assert!((200.0..=700.0).contains(&limit), "{limit}");
    }
}
