//! A circuit breaker: what fails, or has become slow, is not asked for a while.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::gateway::lock;

/// When a breaker opens, and how it closes again.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::gateway) struct BreakerSettings {
    /// Requests of so long count.
    pub(in crate::gateway) window: Duration,
    /// As few say nothing.
    pub(in crate::gateway) requests_min: u32,
    /// It opens when so large a part of the requests fails, or takes longer than `slow`.
    pub(in crate::gateway) failure_ratio: f64,
    pub(in crate::gateway) slow: Option<Duration>,
    pub(in crate::gateway) slow_ratio: f64,
    /// How long it stays open at first; twice as long each time that a probe fails.
    pub(in crate::gateway) open: Duration,
    /// Requests that are let through then, all of which have to succeed.
    pub(in crate::gateway) probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            requests_min: 20,
            failure_ratio: 0.5,
            slow: None,
            slow_ratio: 0.5,
            open: Duration::from_secs(5),
            probes: 3,
        }
    }
}

/// Parts of the window, the oldest of which is forgotten at once.
const PARTS: usize = 10;
/// How long it stays open at most.
const OPEN_MAX: Duration = Duration::from_secs(60);

/// A breaker of one component or upstream.
#[derive(Debug)]
pub(in crate::gateway) struct Breaker {
    settings: BreakerSettings,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts up with the phases, so that requests of a former one are known.
    generation: u64,
    /// Openings since it was last closed.
    openings: u32,
    parts: [Part; PARTS],
    /// The newest part, and when it began.
    newest: usize,
    newest_since: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { under_way: u32, passed: u32 },
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    requests: u32,
    failed: u32,
    slow: u32,
}

/// A request that was let through. If nobody says how it ended, it counts as if it had not been made.
#[derive(Debug)]
pub(in crate::gateway) struct LetThrough {
    breaker: Arc<Breaker>,
    generation: u64,
    since: Instant,
}

/// What has become of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// For so long.
    Opened(Duration),
    /// Its probes succeeded.
    Closed,
}

impl Change {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Closed => "closed",
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Opened(time) => {
                let time = humantime::format_duration(*time);
                write!(f, "too many requests fail or are slow; it is asked nothing for {time}")
            }
            Self::Closed => f.write_str("it is asked again"),
        }
    }
}

impl Breaker {
    pub(in crate::gateway) fn new(settings: BreakerSettings) -> Self {
        let state = State {
            phase: Phase::Closed,
            generation: 0,
            openings: 0,
            parts: [Part::default(); PARTS],
            newest: 0,
            newest_since: None,
        };
        Self { settings, state: Mutex::new(state) }
    }

    pub(in crate::gateway) fn settings(&self) -> &BreakerSettings {
        &self.settings
    }

    /// Lets a request through, or tells for how long none is.
    pub(in crate::gateway) fn enter(self: &Arc<Self>, now: Instant) -> Result<LetThrough, Duration> {
        let mut state = lock(&self.state);
        if let Phase::Open { until } = state.phase {
            if now < until {
                return Err(until - now);
            }
            state.begin(Phase::HalfOpen { under_way: 0, passed: 0 });
        }
        if let Phase::HalfOpen { under_way, passed } = &mut state.phase {
            if *under_way + *passed >= self.settings.probes {
                // Soon those that are under way will say how it is.
                return Err(Duration::from_secs(1));
            }
            *under_way += 1;
        }
        Ok(LetThrough { breaker: self.clone(), generation: state.generation, since: now })
    }

    fn ended(&self, generation: u64, failed: bool, took: Duration, now: Instant) -> Option<Change> {
        let mut state = lock(&self.state);
        if generation != state.generation {
            return None;
        }
        let is_slow = self.settings.slow.is_some_and(|slow| took > slow);
        match &mut state.phase {
            Phase::Open { .. } => None,
            Phase::HalfOpen { .. } if failed || is_slow => Some(state.open(&self.settings, now)),
            Phase::HalfOpen { under_way, passed } => {
                *under_way = under_way.saturating_sub(1);
                *passed += 1;
                if *passed < self.settings.probes {
                    return None;
                }
                state.openings = 0;
                state.begin(Phase::Closed);
                Some(Change::Closed)
            }
            Phase::Closed => {
                state.count(self.settings.window, failed, is_slow, now);
                let sum = |of: fn(&Part) -> u32| state.parts.iter().map(of).sum::<u32>();
                let requests = sum(|part| part.requests);
                let reaches = |count: u32, ratio: f64| f64::from(count) >= ratio * f64::from(requests) && count > 0;
                let is_bad = requests >= self.settings.requests_min
                    && (reaches(sum(|part| part.failed), self.settings.failure_ratio)
                        || reaches(sum(|part| part.slow), self.settings.slow_ratio));
                is_bad.then(|| state.open(&self.settings, now))
            }
        }
    }

    fn abandoned(&self, generation: u64) {
        let mut state = lock(&self.state);
        if generation == state.generation
            && let Phase::HalfOpen { under_way, .. } = &mut state.phase
        {
            *under_way = under_way.saturating_sub(1);
        }
    }
}

impl State {
    fn begin(&mut self, phase: Phase) {
        self.phase = phase;
        self.generation += 1;
        self.parts = [Part::default(); PARTS];
        self.newest_since = None;
    }

    fn open(&mut self, settings: &BreakerSettings, now: Instant) -> Change {
        let time = settings.open.saturating_mul(1 << self.openings.min(16)).min(OPEN_MAX.max(settings.open));
        self.openings += 1;
        self.begin(Phase::Open { until: now + time });
        Change::Opened(time)
    }

    fn count(&mut self, window: Duration, failed: bool, is_slow: bool, now: Instant) {
        let length = (window / PARTS as u32).max(Duration::from_millis(1));
        let since = *self.newest_since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_nanos() / length.as_nanos();
        for _ in 0..passed.min(PARTS as u128) {
            self.newest = (self.newest + 1) % PARTS;
            self.parts[self.newest] = Part::default();
        }
        if passed > 0 {
            self.newest_since = Some(now);
        }
        let part = &mut self.parts[self.newest];
        part.requests += 1;
        part.failed += u32::from(failed);
        part.slow += u32::from(is_slow);
    }
}

impl LetThrough {
    /// The request has ended. Tells what has become of the breaker, if that changed.
    pub(in crate::gateway) fn end(mut self, failed: bool, now: Instant) -> Option<Change> {
        let generation = std::mem::replace(&mut self.generation, u64::MAX);
        self.breaker.ended(generation, failed, now.saturating_duration_since(self.since), now)
    }
}

impl Drop for LetThrough {
    fn drop(&mut self) {
        self.breaker.abandoned(self.generation);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn breaker(settings: BreakerSettings) -> (Arc<Breaker>, Instant) {
        (Arc::new(Breaker::new(settings)), Instant::now())
    }

    fn settings() -> BreakerSettings {
        BreakerSettings { requests_min: 4, slow: Some(Duration::from_secs(1)), ..BreakerSettings::default() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_when_too_many_fail_and_not_for_a_few() {
        let (breaker, now) = breaker(settings());
        let ask = |failed: bool| breaker.enter(now).unwrap().end(failed, now);
        assert_eq!([ask(true), ask(true), ask(true)], [None; 3], "three are too few");
        assert_eq!(ask(false), Some(Change::Opened(5 * SECOND)));
        assert_eq!(breaker.enter(now + 2 * SECOND).unwrap_err(), 3 * SECOND);
    }

    #[test]
    fn what_is_slow_opens_it_too() {
        let (breaker, now) = breaker(settings());
        let ask = |took: Duration| breaker.enter(now).unwrap().end(false, now + took);
        assert_eq!([ask(SECOND), ask(2 * SECOND), ask(SECOND)], [None; 3]);
        assert_eq!(ask(2 * SECOND), Some(Change::Opened(5 * SECOND)));
    }

    #[test]
    fn probes_close_it_or_keep_it_open_for_longer() {
        let (breaker, now) = breaker(settings());
        for _ in 0..4 {
            let _ = breaker.enter(now).unwrap().end(true, now);
        }
        let half = now + 5 * SECOND;
        let probes: Vec<_> = (0..3).map(|_| breaker.enter(half).unwrap()).collect();
        assert!(breaker.enter(half).is_err(), "no more than the probes");
        let changes: Vec<_> = probes.into_iter().map(|probe| probe.end(true, half)).collect();
        assert_eq!(changes, [Some(Change::Opened(10 * SECOND)), None, None], "the first that fails decides");
        let half = half + 10 * SECOND;
        // One that nobody hears of makes room for another.
        drop(breaker.enter(half).unwrap());
        let changes: Vec<_> = (0..3).map(|_| breaker.enter(half).unwrap().end(false, half)).collect();
        assert_eq!(changes, [None, None, Some(Change::Closed)]);
        assert!(breaker.enter(half).is_ok());
    }

    #[test]
    fn requests_from_before_it_opened_do_not_count_as_probes() {
        let (breaker, now) = breaker(settings());
        let old = breaker.enter(now).unwrap();
        for _ in 0..4 {
            let _ = breaker.enter(now).unwrap().end(true, now);
        }
        let half = now + 5 * SECOND;
        let probe = breaker.enter(half).unwrap();
        assert_eq!(old.end(true, half), None);
        assert_eq!(probe.end(false, half), None);
    }

    proptest! {
        /// Against a model that remembers every request: under any clock, also one that jumps, it opens only if too many of those
        /// of the window failed, and at the latest when they did within nine tenths of it.
        #[test]
        fn it_opens_when_a_model_says_so(
            steps in proptest::collection::vec((0u64..4000, proptest::bool::weighted(0.3), 0u8..40), 1..200)
        ) {
            let settings = BreakerSettings { requests_min: 5, ..BreakerSettings::default() };
            let (breaker, begin) = breaker(settings.clone());
            let (mut at, mut seen) = (begin + Duration::from_secs(1000), Vec::<(Instant, bool)>::new());
            for (millis, failed, jump) in steps {
                // Now and then the clock stands still, goes back a little, or leaps ahead.
                at = match jump {
                    0 => at - Duration::from_millis(millis.min(500)),
                    1 => at + Duration::from_secs(100),
                    _ => at + Duration::from_millis(millis / 10),
                };
                let Ok(request) = breaker.enter(at) else { break };
                seen.push((at, failed));
                let within = |span: Duration| {
                    let recent = seen.iter().filter(|(when, _)| at.saturating_duration_since(*when) <= span);
                    let recent: Vec<bool> = recent.map(|(_, failed)| *failed).collect();
                    (recent.len() as f64, recent.iter().filter(|failed| **failed).count() as f64)
                };
                match request.end(failed, at) {
                    Some(_) => {
                        // The parts begin with requests, so that a window may reach back by twice its length at most.
                        let any = (1..=20).map(|tenth| within(settings.window * tenth / 10)).any(|(all, failed)| {
                            all >= 5.0 && failed >= 0.5 * all
                        });
                        prop_assert!(any, "{:?}", seen);
                        break;
                    }
                    None => prop_assert!(seen.len() < 5 || !seen.iter().all(|(_, failed)| *failed)
                        || at.saturating_duration_since(seen[0].0) > settings.window * 9 / 10),
                }
            }
        }
    }
}
