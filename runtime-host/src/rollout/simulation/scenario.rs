//! What is simulated.

use serde::{Deserialize, Serialize};

use crate::rollout::{CounterRatio, Plan, Worse};

/// A new revision, the traffic, and how its rollout should end.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// For the report.
    pub name: &'static str,
    /// How the rollout should end.
    pub expected: Ending,
    pub(super) requests_per_s: f64,
    pub(super) old: Revision,
    pub(super) new: Revision,
    /// When something that both revisions need is gone for [`Scenario::OUTAGE_S`]: at a random time of these seconds.
    pub(super) outage_begins_s: Option<(f64, f64)>,
}

/// How a rollout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the ending of its name")]
pub enum Ending {
    Promoted,
    RolledBack,
    Stalled,
}

/// How a made-up revision behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Revision {
    pub(super) error_ratio: f64,
    /// Of requests that take down their instance, and fail as well.
    pub(super) trap_ratio: f64,
    /// How many times as long as the healthy one's its requests take,
    pub(super) slowness: f64,
    /// and this part of them besides.
    pub(super) tail_ratio: f64,
    pub(super) tail_slowness: f64,
    /// How long it is slower at the beginning, by [`Revision::START_SLOWNESS`].
    pub(super) slow_start_s: f64,
    /// What each request leaves behind in an instance.
    pub(super) leak_bytes: f64,
    /// Of its payments, those that it counts as declined; where there are none it counts nothing.
    pub(super) declined_ratio: f64,
    /// Of each minute, how long it has its flaws; 60 is always.
    pub(super) flawed_s_of_minute: f64,
}

impl Revision {
    pub(super) const START_SLOWNESS: f64 = 4.0;

    /// One request of a thousand fails.
    const HEALTHY: Self = Self {
        error_ratio: 0.001,
        trap_ratio: 0.0,
        slowness: 1.0,
        tail_ratio: 0.0,
        tail_slowness: 1.0,
        slow_start_s: 0.0,
        leak_bytes: 0.0,
        declined_ratio: 0.0,
        flawed_s_of_minute: 60.0,
    };
}

/// A shop of middling size.
const BUSY: f64 = 50.0;
const QUIET: f64 = 2.0;

const HEALTHY: Scenario = Scenario {
    name: "as good as the old one",
    expected: Ending::Promoted,
    requests_per_s: BUSY,
    old: Revision::HEALTHY,
    new: Revision::HEALTHY,
    outage_begins_s: None,
};

/// One that counts its payments.
const COUNTING: Revision = Revision { declined_ratio: 0.05, ..Revision::HEALTHY };

const fn flawed(name: &'static str, new: Revision) -> Scenario {
    Scenario { name, new, expected: Ending::RolledBack, ..HEALTHY }
}

/// All that is simulated.
pub const SCENARIOS: [Scenario; 20] = [
    HEALTHY,
    Scenario { name: "as good, 200 requests/s", requests_per_s: 200.0, ..HEALTHY },
    Scenario { name: "as good, 2 requests/s", requests_per_s: QUIET, ..HEALTHY },
    Scenario { name: "as good, 1 request in 5 s", requests_per_s: 0.2, expected: Ending::Stalled, ..HEALTHY },
    Scenario { name: "as good, both fail for 10 s", outage_begins_s: Some((0.0, 170.0)), ..HEALTHY },
    Scenario {
        name: "as good, four times as slow in its first 8 s",
        new: Revision { slow_start_s: 8.0, ..Revision::HEALTHY },
        ..HEALTHY
    },
    Scenario { name: "5 % slower", new: Revision { slowness: 1.05, ..Revision::HEALTHY }, ..HEALTHY },
    Scenario {
        name: "mends an old one with 5 % errors",
        old: Revision { error_ratio: 0.05, ..Revision::HEALTHY },
        ..HEALTHY
    },
    Scenario { name: "declines 5 % of payments as the old one", old: COUNTING, new: COUNTING, ..HEALTHY },
    flawed("5 % errors", Revision { error_ratio: 0.05, ..Revision::HEALTHY }),
    Scenario {
        requests_per_s: QUIET,
        ..flawed("5 % errors, 2 requests/s", Revision { error_ratio: 0.05, ..Revision::HEALTHY })
    },
    flawed("1 % errors", Revision { error_ratio: 0.01, ..Revision::HEALTHY }),
    flawed("all requests fail", Revision { error_ratio: 1.0, ..Revision::HEALTHY }),
    flawed("twice as slow", Revision { slowness: 2.0, ..Revision::HEALTHY }),
    flawed(
        "3 % of requests ten times as slow",
        Revision { tail_ratio: 0.03, tail_slowness: 10.0, ..Revision::HEALTHY },
    ),
    flawed("2 % of requests trap", Revision { trap_ratio: 0.02, ..Revision::HEALTHY }),
    Scenario {
        old: COUNTING,
        ..flawed("declines 15 % of payments instead of 5 %", Revision { declined_ratio: 0.15, ..COUNTING })
    },
    flawed("leaks 8 KiB a request", Revision { leak_bytes: 8_192.0, ..Revision::HEALTHY }),
    flawed(
        "20 % errors in 15 s of each minute",
        Revision { error_ratio: 0.2, flawed_s_of_minute: 15.0, ..Revision::HEALTHY },
    ),
    // There is no old one left to fail as well, so nothing tells that the new one is not to blame.
    Scenario {
        name: "as good, all fails for 10 s in the last step",
        expected: Ending::RolledBack,
        outage_begins_s: Some((190.0, 220.0)),
        ..HEALTHY
    },
];

impl Scenario {
    pub(super) const OUTAGE_S: f64 = 10.0;
    /// What the ratio of declined payments is called.
    pub(super) const DECLINED: &str = "declined";

    /// The plan, which compares what the old revision counts.
    pub(super) fn plan(&self, plan: &Plan) -> Plan {
        let mut plan = plan.clone();
        if self.old.declined_ratio > 0.0 {
            plan.analysis.counters.push(CounterRatio {
                name: Self::DECLINED.to_owned(),
                events: "payments_declined_total".to_owned(),
                of: "payments_total".to_owned(),
                worse: Worse::Higher,
                increase_min: 0.01,
            });
        }
        plan
    }
}

impl Revision {
    /// What it is like at a moment, `now_s` after an arbitrary one.
    pub(super) fn at(self, now_s: f64) -> Self {
        if now_s.rem_euclid(60.0) < self.flawed_s_of_minute { self } else { Self::HEALTHY }
    }
}
