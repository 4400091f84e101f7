//! Shoppers, their requests, and the instances that answer them.

use std::time::Duration;

use super::SHOPPERS;
use super::scenario::{Revision, Scenario};
use crate::rollout::{InstanceMemory, Memory, Samples, Share, Side, Window};

/// The median of a request's latency, and the deviation of its logarithm.
const LATENCY_MEDIAN_S: f64 = 0.008;
const LATENCY_SIGMA: f64 = 0.6;
/// How many instances each revision has, and how many requests one answers.
const INSTANCES: usize = 4;
const REUSE_MAX: u64 = 10_000;
const PAGE_BYTES: f64 = 65_536.0;
/// What an instance has at first, and what its caches grow to over the first requests.
const START_BYTES: f64 = 2e6;
const CACHE_BYTES: f64 = 1e6;
const CACHE_REQUESTS: f64 = 200.0;
/// What the old revision has answered before the rollout.
const EARLIER_REQUESTS: usize = 50_000;
/// Of all requests, those that pay.
const PAYMENTS_PART: f64 = 0.3;
const OUTAGE_ERROR_RATIO: f64 = 0.9;

/// One rollout's surroundings.
#[derive(Debug, Clone)]
pub(super) struct World<'s> {
    scenario: &'s Scenario,
    samples: Samples,
    old: [Instance; INSTANCES],
    new: [Instance; INSTANCES],
    next_s: f64,
    outage_s: f64,
    /// Where in its minute a flaw that comes and goes is at first.
    phase_s: f64,
    hit: Vec<bool>,
}

#[derive(Debug, Clone, Default)]
struct Instance {
    requests: u64,
    /// What requests have left behind.
    leaked_bytes: f64,
    memory: InstanceMemory,
}

impl<'s> World<'s> {
    /// The old revision has run for a while.
    pub(super) fn new(scenario: &'s Scenario, random: &mut fastrand::Rng) -> Self {
        let mut world = Self {
            scenario,
            samples: Samples::default(),
            old: Default::default(),
            new: Default::default(),
            next_s: 0.0,
            outage_s: f64::INFINITY,
            phase_s: 0.0,
            hit: vec![false; SHOPPERS],
        };
        for _ in 0..EARLIER_REQUESTS {
            let instance = &mut world.old[random.usize(..INSTANCES)];
            instance.answer(&scenario.old, &mut world.samples.old.memory);
        }
        world
    }

    /// Draws what differs from run to run.
    pub(super) fn begin(&mut self, random: &mut fastrand::Rng) {
        self.phase_s = random.f64() * 60.0;
        if let Some((earliest_s, latest_s)) = self.scenario.outage_begins_s {
            self.outage_s = earliest_s + random.f64() * (latest_s - earliest_s);
        }
        self.next_s = self.gap_s(random);
    }

    pub(super) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// How many shoppers saw a failure of the new revision.
    pub(super) fn shoppers_hit(&self) -> u64 {
        self.hit.iter().filter(|hit| **hit).count() as u64
    }

    /// Lets the requests come that come before `end_s`.
    pub(super) fn until(&mut self, end_s: f64, share: Share, random: &mut fastrand::Rng) {
        while self.next_s < end_s {
            self.request(share, random);
            self.next_s += self.gap_s(random);
        }
    }

    /// Requests come independently of each other.
    fn gap_s(&self, random: &mut fastrand::Rng) -> f64 {
        -(1.0 - random.f64()).ln() / self.scenario.requests_per_s
    }

    fn request(&mut self, share: Share, random: &mut fastrand::Rng) {
        let shopper = random.usize(..SHOPPERS);
        let side = share.of_key(&shopper.to_le_bytes());
        let (revision, window, instances) = match side {
            Side::Old => (&self.scenario.old, &mut self.samples.old, &mut self.old),
            Side::New => (&self.scenario.new, &mut self.samples.new, &mut self.new),
        };
        let revision = revision.at(self.next_s + self.phase_s);
        let is_outage = (self.outage_s..self.outage_s + Scenario::OUTAGE_S).contains(&self.next_s);
        let is_slow_start = side == Side::New && self.next_s < revision.slow_start_s;
        let error_ratio = if is_outage { OUTAGE_ERROR_RATIO } else { revision.error_ratio };

        let instance = &mut instances[random.usize(..INSTANCES)];
        let has_trapped = random.f64() < revision.trap_ratio;
        let has_failed = has_trapped || random.f64() < error_ratio;
        count(window, &revision, has_failed, is_slow_start, random);
        if has_trapped {
            window.traps += 1;
            *instance = Instance::default();
        } else {
            instance.answer(&revision, &mut window.memory);
        }
        self.hit[shopper] |= has_failed && side == Side::New;
    }
}

fn count(window: &mut Window, revision: &Revision, has_failed: bool, is_slow_start: bool, random: &mut fastrand::Rng) {
    window.requests += 1;
    window.failures += u64::from(has_failed);
    let tail = if random.f64() < revision.tail_ratio { revision.tail_slowness } else { 1.0 };
    let start = if is_slow_start { Revision::START_SLOWNESS } else { 1.0 };
    let latency_s = LATENCY_MEDIAN_S * (LATENCY_SIGMA * normal(random)).exp() * revision.slowness * tail * start;
    window.latency.observe(Duration::from_secs_f64(latency_s));
    if revision.declined_ratio > 0.0 && random.f64() < PAYMENTS_PART {
        let payments = window.counters.entry(Scenario::DECLINED.to_owned()).or_default();
        payments.of += 1;
        payments.events += u64::from(random.f64() < revision.declined_ratio);
    }
}

/// A standard normal number (Box and Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

impl Instance {
    fn answer(&mut self, revision: &Revision, memory: &mut Memory) {
        if self.requests == REUSE_MAX {
            *self = Self::default();
        }
        self.requests += 1;
        self.leaked_bytes += revision.leak_bytes;
        let cached_bytes = CACHE_BYTES * (1.0 - (-(self.requests as f64) / CACHE_REQUESTS).exp());
        let bytes = ((START_BYTES + cached_bytes + self.leaked_bytes) / PAGE_BYTES).ceil() * PAGE_BYTES;
        memory.peak_bytes = memory.peak_bytes.max(bytes as u64);
        if let Some((age, growth)) = self.memory.request_ended(bytes as u64) {
            memory.add(age, growth);
        }
    }
}
