//! Limits under a clock that jumps, forward and back, against a bucket that is filled drop by drop.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::AtomicU64;

use super::*;

/// Where the clock begins, with room before it.
const START: Duration = Duration::from_secs(1_000_000);
/// How much more than its due a caller may get.
const OVER_ADMISSION_MAX: f64 = 0.01;
const ROUNDS: usize = 200;
const STEPS: usize = 400;

/// A clock that is set.
#[derive(Clone)]
struct Jumping(Arc<AtomicU64>);

impl Clock for Jumping {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

impl Jumping {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START.as_nanos() as u64)))
    }

    /// Moves the clock by one step: mostly a moment, sometimes far ahead or back. Gives the step as it was made.
    fn step(&self, random: &mut fastrand::Rng) -> i64 {
        let second = 1_000_000_000;
        let step = match random.u8(..100) {
            0..80 => random.i64(0..second / 5),
            80..90 => random.i64(0..100 * second),
            90..95 => -random.i64(0..second),
            95..99 => -random.i64(0..100 * second),
            _ => 0,
        };
        let before = self.0.load(Ordering::Relaxed);
        // A clock never goes back behind the start of its process.
        let after = before.saturating_add_signed(step).max(START.as_nanos() as u64);
        self.0.store(after, Ordering::Relaxed);
        after.cast_signed() - before.cast_signed()
    }
}

/// A generator whose seed is shown when the test fails.
fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    fastrand::Rng::with_seed(seed)
}

fn limit(random: &mut fastrand::Rng, by: By, callers_max: usize) -> (RateLimit<Budget<Jumping>>, Jumping) {
    let mut number = || NonZeroU32::new(random.u32(1..50)).unwrap();
    let rate = Rate { requests: number(), window: Duration::from_secs(1), burst: number() };
    let clock = Jumping::new();
    (
        RateLimit::counted_by(RateLimitSettings::plain(by, rate), |rate| Budget::new(rate, clock.clone(), callers_max)),
        clock,
    )
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(number).into()
}

#[test]
fn a_limit_is_the_bucket_that_it_says_wherever_the_clock_goes() {
    let mut random = random();
    for round in 0..ROUNDS {
        let (limit, clock) = limit(&mut random, By::Everybody, 100);
        let request_ns = limit.settings.rate.quota().replenish_interval().as_nanos() as i64;
        let full_ns = request_ns * i64::from(limit.settings.rate.burst.get());
        let mut level_ns = full_ns;
        for step in 0..STEPS {
            // What the clock takes back, the bucket has not got.
            level_ns = full_ns.min(level_ns + clock.step(&mut random));
            let is_due = level_ns >= request_ns;
            let verdict = limit.checked(address(1), None);
            assert_eq!(verdict.is_admitted, is_due, "round {round}, step {step}: {level_ns} of {full_ns}");
            if is_due {
                level_ns -= request_ns;
                assert_eq!(i64::from(verdict.remaining), level_ns / request_ns, "round {round}, step {step}");
            } else {
                let wait_ns = verdict.reset.as_nanos() as i64;
                assert_eq!(wait_ns, request_ns - level_ns, "round {round}, step {step}: when to come back");
            }
        }
    }
}

#[test]
fn nobody_gets_more_than_is_due_by_a_clock_that_jumps_while_others_crowd_in() {
    const CALLERS_MAX: usize = 16;
    let mut random = random();
    let (mut admitted_most, mut is_ever_swept) = (0.0_f64, false);
    for round in 0..ROUNDS {
        let (limit, clock) = limit(&mut random, By::Address, CALLERS_MAX);
        let rate = limit.settings.rate;
        let mut admitted: BTreeMap<u32, u32> = BTreeMap::new();
        let mut forward_ns = 0_i64;
        for step in 0..STEPS {
            forward_ns += clock.step(&mut random).max(0);
            for _ in 0..8 {
                let caller = random.u32(0..64);
                let known = limit.everyone.limiter.len();
                *admitted.entry(caller).or_default() += u32::from(limit.checked(address(caller), None).is_admitted);
                is_ever_swept |= limit.everyone.limiter.len() < known;
                assert!(limit.everyone.limiter.len() <= CALLERS_MAX.next_multiple_of(SHARDS));
            }
            let seconds = forward_ns as f64 / 1e9;
            let due = f64::from(rate.burst.get()) + f64::from(rate.requests.get()) * seconds;
            let most = f64::from(admitted.values().copied().max().unwrap_or_default());
            admitted_most = admitted_most.max(most / due);
            assert!(most <= due * (1.0 + OVER_ADMISSION_MAX), "round {round}, step {step}: {most} of {due}");
        }
    }
    assert!(is_ever_swept, "nobody was ever forgotten");
    println!("the most that anybody got of what was due: {:.1} %", 100.0 * admitted_most);
}
