//! Rate limits: how often one caller may ask.
//!
//! The arithmetic is GCRA by `governor`. What is ours is where its state is kept: a fixed number of callers is remembered.
//! Whoever comes when the memory is full shares a budget with some of the others who do, so that filling it resets nobody's.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference as _};
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::HeaderValue;

use super::principal::Principal;

/// Callers that one limit remembers.
pub(super) const CALLERS_MAX: usize = 1 << 16;
/// Parts of the memory, so that threads seldom wait for each other.
const SHARDS: usize = 16;
/// Budgets of those for whom there is no room.
const SHARED_BUDGETS: usize = 1 << 10;
/// How often those are forgotten who are back at their full budget.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// Bits of an IPv6 address that belong to one network, all of which one household has.
const IPV6_NETWORK_BITS: u32 = 64;

/// By what callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// The client's address, or its network of 64 bits.
    Address,
    /// The subject of its token; its address without one.
    User,
    /// Not at all: all requests count together.
    Everybody,
}

/// So many requests in so much time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) requests: NonZeroU32,
    pub(super) window: Duration,
    pub(super) burst: NonZeroU32,
}

/// What holds while nothing can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum WhenOutOfReach {
    /// Everybody is let through.
    #[default]
    Admit,
    /// Nobody is.
    Refuse,
}

/// What a limit is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RateLimitSettings {
    pub(super) name: String,
    pub(super) by: By,
    pub(super) rate: Rate,
    /// Rates of callers with a role; the first role that a caller has counts.
    pub(super) tiers: Vec<(String, Rate)>,
    pub(super) when_out_of_reach: WhenOutOfReach,
}

/// Where the requests of callers are counted against one rate. In memory this is always at hand; where several hosts count
/// together, it may be out of reach.
pub(super) trait Counters: Send + Sync {
    /// Counts a request of this caller, if it may be let through.
    fn count(&self, caller: u128) -> impl Future<Output = Result<Verdict, OutOfReach>> + Send;
}

/// Nothing can be counted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutOfReach;

/// A limit and where it is counted.
pub(super) struct RateLimit<S = Budget> {
    settings: RateLimitSettings,
    /// The name as headers have it.
    quoted_name: HeaderValue,
    everyone: S,
    tiers: Vec<(String, Rate, S)>,
}

/// What a limit says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) rate: Rate,
    /// Requests that may follow at once.
    pub(super) remaining: u32,
    /// Until the next request is let through, or, if this one was, until the whole burst is there again.
    pub(super) reset: Duration,
    pub(super) is_admitted: bool,
}

/// Counts in the memory of this process.
pub(super) struct Budget<C: Clock = DefaultClock> {
    rate: Rate,
    clock: C,
    limiter: RateLimiter<u128, Memory, C, StateInformationMiddleware>,
    is_crowded: Arc<AtomicBool>,
    swept: Mutex<Option<C::Instant>>,
}

impl RateLimit {
    pub(super) fn new(settings: RateLimitSettings) -> Self {
        Self::counted_by(settings, |rate| Budget::new(rate, DefaultClock::default(), CALLERS_MAX))
    }
}

impl<S: Counters> RateLimit<S> {
    /// A limit with a store for each rate.
    fn counted_by(settings: RateLimitSettings, store: impl Fn(Rate) -> S) -> Self {
        let tiers = settings.tiers.iter().map(|(role, rate)| (role.clone(), *rate, store(*rate))).collect();
        // Names were checked when they were read.
        let quoted_name =
            HeaderValue::try_from(format!("{:?}", settings.name)).unwrap_or(HeaderValue::from_static("\"\""));
        Self { everyone: store(settings.rate), tiers, settings, quoted_name }
    }

    pub(super) fn settings(&self) -> &RateLimitSettings {
        &self.settings
    }

    /// Whether it is looked at before it is known who asks: it needs no more than an address.
    pub(super) fn is_early(&self) -> bool {
        self.settings.by == By::Address && self.tiers.is_empty()
    }

    pub(super) fn quoted_name(&self) -> HeaderValue {
        self.quoted_name.clone()
    }

    /// Counts a request of this caller, if it may be let through.
    pub(super) async fn check(&self, address: IpAddr, principal: Option<&Principal>) -> Verdict {
        let caller = match (self.settings.by, principal) {
            (By::Everybody, _) => 0,
            (By::User, Some(principal)) => principal.key(),
            (By::Address, _) | (By::User, None) => network(address),
        };
        let has = |role: &str| principal.is_some_and(|principal| principal.has_role(role));
        let tier = self.tiers.iter().find(|(role, ..)| has(role));
        let (store, rate) = tier.map_or((&self.everyone, self.settings.rate), |(_, rate, store)| (store, *rate));
        store.count(caller).await.unwrap_or_else(|OutOfReach| Verdict {
            rate,
            remaining: 0,
            reset: Duration::ZERO,
            is_admitted: self.settings.when_out_of_reach == WhenOutOfReach::Admit,
        })
    }
}

impl<C: Clock + Clone + Send + Sync> Counters for Budget<C>
where
    C::Instant: Send,
{
    async fn count(&self, caller: u128) -> Result<Verdict, OutOfReach> {
        Ok(self.check(caller))
    }
}

impl<C: Clock + Clone> Budget<C> {
    fn new(rate: Rate, clock: C, callers_max: usize) -> Self {
        let is_crowded = Arc::new(AtomicBool::new(false));
        let memory = Memory::new(callers_max, is_crowded.clone());
        let limiter = RateLimiter::new(rate.quota(), memory, clock.clone());
        Self { rate, clock, limiter, is_crowded, swept: Mutex::default() }
    }

    fn check(&self, caller: u128) -> Verdict {
        let checked = self.limiter.check_key(&caller);
        if self.is_crowded.load(Ordering::Relaxed) {
            self.sweep(self.clock.now());
        }
        match checked {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = self.rate.burst.get().saturating_sub(remaining);
                let reset = self.rate.quota().replenish_interval().saturating_mul(used);
                Verdict { rate: self.rate, remaining, reset, is_admitted: true }
            }
            Err(not_until) => {
                let reset = not_until.wait_time_from(self.clock.now());
                Verdict { rate: self.rate, remaining: 0, reset, is_admitted: false }
            }
        }
    }
}

impl<C: Clock + Clone> Budget<C> {
    /// Makes room, but not for everybody who finds none: a flood would be answered with little else.
    fn sweep(&self, now: C::Instant) {
        let Ok(mut swept) = self.swept.try_lock() else { return };
        if swept.is_some_and(|swept| Duration::from(now.duration_since(swept)) < SWEEP_PERIOD) {
            return;
        }
        *swept = Some(now);
        self.is_crowded.store(false, Ordering::Relaxed);
        self.limiter.retain_recent();
    }
}

impl Rate {
    /// How long it takes until the whole burst is there again, which is what a client may use in that time.
    pub(super) fn full_after(&self) -> Duration {
        self.quota().replenish_interval().saturating_mul(self.burst.get())
    }

    fn quota(&self) -> Quota {
        let interval = (self.window / self.requests.get()).max(Duration::from_nanos(1));
        // Only a period of zero is refused.
        Quota::with_period(interval).unwrap_or(Quota::per_second(self.requests)).allow_burst(self.burst)
    }
}

/// The address, or the network that it is in.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS)),
    }
}

/// When each caller would be back at its full budget, as `governor` counts.
struct Memory {
    shards: Box<[Mutex<HashMap<u128, Nanos>>]>,
    shard_callers_max: usize,
    /// Of those for whom there was no room.
    others: Box<[Mutex<Option<Nanos>>]>,
    /// Nobody outside knows who shares what with whom.
    hasher: RandomState,
    is_crowded: Arc<AtomicBool>,
}

impl Memory {
    fn new(callers_max: usize, is_crowded: Arc<AtomicBool>) -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let others = (0..SHARED_BUDGETS.min(callers_max)).map(|_| Mutex::default()).collect();
        let shard_callers_max = callers_max.div_ceil(SHARDS);
        Self { shards, shard_callers_max, others, hasher: RandomState::new(), is_crowded }
    }

    fn hash(&self, caller: u128) -> usize {
        self.hasher.hash_one(caller) as usize
    }
}

impl StateStore for Memory {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, caller: &u128, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hash(*caller);
        let mut shard = lock(&self.shards[hash % SHARDS]);
        let room = shard.len() < self.shard_callers_max;
        if let Some(state) = shard.get_mut(caller) {
            let (outcome, next) = measure(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        if room {
            let (outcome, next) = measure(None)?;
            shard.insert(*caller, next);
            return Ok(outcome);
        }
        drop(shard);
        self.is_crowded.store(true, Ordering::Relaxed);
        let mut others = lock(&self.others[hash / SHARDS % self.others.len()]);
        let (outcome, next) = measure(*others)?;
        *others = Some(next);
        Ok(outcome)
    }
}

impl ShrinkableKeyedStateStore<u128> for Memory {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            lock(shard).retain(|_, state| *state > drop_below);
        }
    }

    fn shrink_to_fit(&self) {}

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod clock_jumps;

#[cfg(test)]
impl RateLimitSettings {
    /// The same for everybody.
    fn plain(by: By, rate: Rate) -> Self {
        Self { name: "test".into(), by, rate, tiers: Vec::new(), when_out_of_reach: WhenOutOfReach::Admit }
    }
}

#[cfg(test)]
impl<S: Counters> RateLimit<S> {
    /// The verdict of a store that lets nobody wait.
    fn checked(&self, address: IpAddr, principal: Option<&Principal>) -> Verdict {
        futures::FutureExt::now_or_never(self.check(address, principal)).expect("it is at hand")
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    use super::*;

    /// A store that nobody reaches.
    struct Gone;

    impl Counters for Gone {
        async fn count(&self, _: u128) -> Result<Verdict, OutOfReach> {
            Err(OutOfReach)
        }
    }

    #[test]
    fn a_limit_says_what_holds_while_nothing_can_be_counted() {
        for (when_out_of_reach, is_admitted) in [(WhenOutOfReach::Admit, true), (WhenOutOfReach::Refuse, false)] {
            let rate = rate(1, Duration::from_secs(1), 1);
            let settings = RateLimitSettings { when_out_of_reach, ..RateLimitSettings::plain(By::Address, rate) };
            let limit = RateLimit::counted_by(settings, |_| Gone);
            assert_eq!(limit.checked(address(1), None).is_admitted, is_admitted);
        }
    }

    fn rate(requests: u32, window: Duration, burst: u32) -> Rate {
        let number = |number| NonZeroU32::new(number).unwrap();
        Rate { requests: number(requests), window, burst: number(burst) }
    }

    fn limit(by: By, rate: Rate, callers_max: usize) -> (RateLimit<Budget<FakeRelativeClock>>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (
            RateLimit::counted_by(RateLimitSettings::plain(by, rate), |rate| {
                Budget::new(rate, clock.clone(), callers_max)
            }),
            clock,
        )
    }

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let (limit, clock) = limit(By::Address, rate(10, Duration::from_secs(1), 5), 100);
        let ask = || limit.checked(address(1), None);
        let burst: Vec<u32> = (0..5).map(|_| ask().remaining).collect();
        assert_eq!(burst, [4, 3, 2, 1, 0]);
        let refused = ask();
        assert!(!refused.is_admitted);
        assert_eq!(refused.reset, Duration::from_millis(100));
        assert!(limit.checked(address(2), None).is_admitted, "others have budgets of their own");
        clock.advance(Duration::from_millis(100));
        assert!(ask().is_admitted);
        assert!(!ask().is_admitted);
    }

    #[test]
    fn one_household_has_one_budget() {
        let (limit, _) = limit(By::Address, rate(1, Duration::from_secs(1), 1), 100);
        let ask = |address: &str| limit.checked(address.parse().unwrap(), None).is_admitted;
        assert!(ask("2001:db8:1:2::1"));
        assert!(!ask("2001:db8:1:2:ffff::9"), "the same network");
        assert!(ask("2001:db8:1:3::1"));
        assert!(ask("192.0.2.1"));
        assert!(!ask("::ffff:192.0.2.1"), "the same address, written otherwise");
    }

    #[test]
    fn users_and_tiers_have_budgets_of_their_own() {
        let slow = rate(1, Duration::from_secs(1), 1);
        let (mut limit, clock) = limit(By::User, slow, 100);
        let fast = rate(10, Duration::from_secs(1), 10);
        limit.tiers.push(("staff".into(), fast, Budget::new(fast, clock, 100)));
        let user = |subject: &str, roles: &[&str]| Principal::new(subject.into(), roles.iter().copied(), "");
        let (ann, bob) = (user("ann", &["customer"]), user("bob", &["customer", "staff"]));
        assert!(limit.checked(address(1), Some(&ann)).is_admitted);
        assert!(!limit.checked(address(2), Some(&ann)).is_admitted, "wherever she is");
        let admitted = (0..20).filter(|_| limit.checked(address(1), Some(&bob)).is_admitted).count();
        assert_eq!(admitted, 10);
    }

    #[test]
    fn a_flood_of_callers_resets_nobody() {
        const CALLERS: usize = 64;
        let (limit, clock) = limit(By::Address, rate(1, Duration::from_secs(60), 1), CALLERS);
        let ask = |number| limit.checked(address(number), None).is_admitted;
        assert!(ask(1));
        let admitted = (2..10_000).filter(|number| ask(*number)).count();
        assert!(admitted <= 2 * CALLERS, "{admitted}: whoever finds no room shares a budget");
        assert!(!ask(1), "the first one is still known");
        assert!(limit.everyone.limiter.len() <= CALLERS);
        clock.advance(Duration::from_secs(120));
        assert!(ask(1) && ask(2) && ask(20_000), "there is room again once budgets are full");
    }

    #[test]
    fn threads_together_get_no_more_than_one_would() {
        const THREADS: u32 = 8;
        let rate = rate(2_000, Duration::from_secs(1), 100);
        let settings = RateLimitSettings {
            name: "test".into(),
            by: By::Address,
            rate,
            tiers: Vec::new(),
            when_out_of_reach: WhenOutOfReach::Admit,
        };
        let limit = RateLimit::new(settings);
        let started = std::time::Instant::now();
        let ask = || {
            let mut admitted = 0;
            while started.elapsed() < Duration::from_millis(500) {
                admitted += u32::from(limit.checked(address(1), None).is_admitted);
            }
            admitted
        };
        let admitted: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        let at_most = 100.0 + 2_000.0 * started.elapsed().as_secs_f64();
        assert!(f64::from(admitted) <= at_most * 1.01, "{admitted} of {at_most}");
        assert!(f64::from(admitted) >= 1_000.0, "{admitted}: and no less than what half a second gives");
    }

    proptest! {
        /// Against a bucket that is filled drop by drop.
        #[test]
        fn never_more_than_the_rate_is_let_through(
            requests in 1u32..50, burst in 1u32..50,
            pauses_us in proptest::collection::vec(0u64..100_000, 1..300),
        ) {
            let (limit, clock) = limit(By::Everybody, rate(requests, Duration::from_secs(1), burst), 100);
            // One request is so many nanoseconds of filling.
            let request_ns = 1_000_000_000 / u64::from(requests);
            let full_ns = request_ns * u64::from(burst);
            let mut level_ns = full_ns;
            for pause_us in pauses_us {
                clock.advance(Duration::from_micros(pause_us));
                level_ns = full_ns.min(level_ns + pause_us * 1_000);
                let expected = level_ns >= request_ns;
                if expected {
                    level_ns -= request_ns;
                }
                let verdict = limit.checked(address(1), None);
                prop_assert_eq!(verdict.is_admitted, expected);
                prop_assert_eq!(u64::from(verdict.remaining), if expected { level_ns / request_ns } else { 0 });
            }
        }
    }
}
