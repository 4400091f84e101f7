//! A rollout as it goes on.

use serde::{Deserialize, Serialize};

use super::Share;
use super::analysis::{Finding, Look, Verdict};
use super::plan::{Gate, OnRestart, Plan, Stage, Strategy};
use super::samples::{Latency, Samples, Window};
use super::transition::{Change, Hold, Refused, State, Transition};

/// How long a revision may take to get ready.
pub const WARMING_MAX_MS: u64 = 60_000;
/// The first look is taken at this many requests of the new revision,
const LOOK_REQUESTS_FIRST: u64 = 5;
/// and the next one when they have grown by one in so many.
const LOOK_GROWTH: u64 = 4;
/// Latency settles for at most this part of a step.
const SETTLE_PART: u64 = 4;

/// A rollout: what is planned, how far it is, and what was found. It is serialised whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    plan: Plan,
    salt: u64,
    began_unix_ms: u64,
    state: State,
    /// When the state began; later by as long as it was paused.
    since_unix_ms: u64,
    hold: Option<Hold>,
    /// The counters when the step began; taken at the first advance after it.
    start: Option<Samples>,
    /// Latencies of old and new in the step until then, which do not count.
    unsettled: Option<(Latency, Latency)>,
    /// The old revision in the last step in which it had traffic, or all that was counted of it before it had none.
    past: Option<Window>,
    looks: u32,
    /// The new revision's requests in the step at the last look.
    looked_at_requests: u64,
    /// Whether the step has had the look that it ends with, if nothing speaks against it.
    has_closing_look: bool,
    findings: Vec<Finding>,
    reason: String,
}

impl Rollout {
    /// A rollout that begins `now`. The `salt` is a random number of its own, by which sticky keys are spread.
    pub fn new(plan: Plan, now_unix_ms: u64, salt: u64) -> Self {
        Self {
            plan,
            salt,
            began_unix_ms: now_unix_ms,
            state: State::Warming,
            since_unix_ms: now_unix_ms,
            hold: None,
            start: None,
            unsettled: None,
            past: None,
            looks: 0,
            looked_at_requests: 0,
            has_closing_look: false,
            findings: Vec::new(),
            reason: "the new revision gets ready".into(),
        }
    }

    /// Keeps what was counted of the old revision, if no step has compared it: what comes next may take all traffic from it, and a
    /// restart its counters.
    pub fn remember(&mut self, old: &Window) {
        let is_due = match &self.past {
            // Without steps it is more each time, unless a restart came in between.
            Some(past) => self.plan.stage(0).is_none() && old.requests > past.requests,
            None => self.plan.stage(0).is_none() || self.stage().is_some_and(Stage::is_concurrent),
        };
        if is_due {
            self.past = Some(old.clone());
        }
    }

    /// The new revision is ready for traffic.
    pub fn warmed(&mut self, now_unix_ms: u64) -> Vec<Transition> {
        if self.state != State::Warming {
            return Vec::new();
        }
        let reason = "the new revision is ready".to_owned();
        match (self.plan.stage(0), self.plan.gate(0)) {
            (None, Gate::Manual) => self.wait(now_unix_ms, 0, reason),
            _ => self.go_to(now_unix_ms, 0, reason),
        }
    }

    /// Something outside of the comparison speaks against the new revision: it cannot get ready, or a smoke request
    /// was answered wrongly. The `reason` is for people.
    pub fn fail(&mut self, now_unix_ms: u64, reason: impl Into<String>) -> Vec<Transition> {
        if self.is_over() {
            return Vec::new();
        }
        self.enter(now_unix_ms, State::RolledBack, Change::RolledBack, reason.into())
    }

    /// Looks at what was counted and does what is due. To be called regularly, once a second or so; calls between
    /// looks cost a comparison of numbers.
    pub fn advance(&mut self, now_unix_ms: u64, samples: &Samples) -> Vec<Transition> {
        if self.state == State::Warming {
            return match now_unix_ms.saturating_sub(self.since_unix_ms) > WARMING_MAX_MS {
                true => {
                    self.fail(now_unix_ms, format!("the new revision was not ready in {} s", WARMING_MAX_MS / 1_000))
                }
                false => Vec::new(),
            };
        }
        let Some(stage) = self.stage() else {
            return Vec::new();
        };
        let start = self.start.get_or_insert_with(|| samples.clone());
        let requests = samples.new.requests.saturating_sub(start.new.requests);
        let requests_old = samples.old.requests.saturating_sub(start.old.requests);
        let elapsed_ms = now_unix_ms.saturating_sub(self.since_unix_ms);
        let is_sampled = requests >= stage.samples_min && (!stage.is_concurrent() || requests_old >= stage.samples_min);
        let may_end = !matches!(self.state, State::Waiting { .. }) && self.hold.is_none();
        let is_closing = may_end && elapsed_ms >= stage.duration_ms && is_sampled;

        if self.unsettled.is_none() && elapsed_ms >= self.plan.analysis.settle_ms.min(stage.duration_ms / SETTLE_PART) {
            self.unsettled = Some((samples.old.latency.clone(), samples.new.latency.clone()));
        }
        let is_look_due = requests >= self.next_look_requests();
        let is_closing_look = is_closing && !self.has_closing_look && requests > self.looked_at_requests;
        if is_look_due || is_closing_look {
            self.look(samples, stage, requests);
            if let Some(breach) = self.worst().filter(|worst| worst.verdict == Verdict::Worse) {
                let reason = breach.text.clone();
                return self.enter(now_unix_ms, State::RolledBack, Change::RolledBack, reason);
            }
        }
        self.has_closing_look |= is_closing;
        let suspect = self.worst().filter(|worst| worst.verdict == Verdict::Suspect);
        if is_closing && suspect.is_none() {
            let reason = format!("{requests} requests in {} s, and nothing against it", elapsed_ms / 1_000);
            return self.pass(now_unix_ms, samples, stage, reason);
        }
        if may_end && elapsed_ms >= stage.duration_ms.saturating_add(self.plan.samples_wait_max_ms) {
            let reason = match suspect {
                Some(suspect) => format!("after {} s it is still open: {}", elapsed_ms / 1_000, suspect.text),
                None => format!(
                    "{requests} requests of the new revision and {requests_old} of the old one in {} s; {} are needed",
                    elapsed_ms / 1_000,
                    stage.samples_min
                ),
            };
            self.hold = Some(Hold::Stalled { since_unix_ms: now_unix_ms });
            return self.tell(now_unix_ms, Change::Stalled, reason);
        }
        Vec::new()
    }

    /// Keeps the rollout where it is. What is found worse is rolled back all the same.
    pub fn pause(&mut self, now_unix_ms: u64, why: &str) -> Result<Vec<Transition>, Refused> {
        if self.is_over() || matches!(self.hold, Some(Hold::Paused { .. })) {
            return Err(self.refused("paused"));
        }
        self.hold = Some(Hold::Paused { since_unix_ms: now_unix_ms });
        Ok(self.tell(now_unix_ms, Change::Paused, why.to_owned()))
    }

    /// Goes on with a rollout that is paused, or waits anew with one that is stalled.
    pub fn resume(&mut self, now_unix_ms: u64, why: &str) -> Result<Vec<Transition>, Refused> {
        let refused = self.refused("resumed");
        match self.hold.take().ok_or(refused)? {
            Hold::Paused { since_unix_ms } => {
                self.since_unix_ms += now_unix_ms.saturating_sub(since_unix_ms);
            }
            Hold::Stalled { .. } => self.since_unix_ms = now_unix_ms,
        }
        Ok(self.tell(now_unix_ms, Change::Resumed, why.to_owned()))
    }

    /// Goes to the next step without waiting for what is missing.
    pub fn promote(&mut self, now_unix_ms: u64, why: &str) -> Result<Vec<Transition>, Refused> {
        match self.state {
            State::Waiting { .. } if self.plan.steps() == 0 => Ok(self.go_to(now_unix_ms, 0, why.to_owned())),
            State::Step { index } | State::Waiting { index } => Ok(self.go_to(now_unix_ms, index + 1, why.to_owned())),
            State::Baking => self.promote_fully(now_unix_ms, why),
            _ => Err(self.refused("promoted")),
        }
    }

    /// Gives the new revision all traffic for good.
    pub fn promote_fully(&mut self, now_unix_ms: u64, why: &str) -> Result<Vec<Transition>, Refused> {
        if self.is_over() || self.state == State::Warming {
            return Err(self.refused("promoted"));
        }
        Ok(self.enter(now_unix_ms, State::Promoted, Change::Promoted, why.to_owned()))
    }

    /// Gives the old revision all traffic, because a person wants it.
    pub fn abort(&mut self, now_unix_ms: u64, why: &str) -> Result<Vec<Transition>, Refused> {
        if self.is_over() {
            return Err(self.refused("aborted"));
        }
        Ok(self.enter(now_unix_ms, State::Aborted, Change::Aborted, why.to_owned()))
    }

    /// The host has started again, so counters begin at zero: the step begins anew or all goes back, as planned. What
    /// was paused, stalled or waited for stays so.
    pub fn restarted(&mut self, now_unix_ms: u64) -> Vec<Transition> {
        if self.is_over() {
            return Vec::new();
        }
        if self.plan.on_restart == OnRestart::Rollback {
            let reason = "the host has restarted in the middle of the rollout".to_owned();
            return self.enter(now_unix_ms, State::RolledBack, Change::RolledBack, reason);
        }
        self.begin_window(now_unix_ms);
        // Not what the clock says now: counters that are at zero are what the first requests already add to.
        self.start = Some(Samples::default());
        if let Some(Hold::Paused { since_unix_ms } | Hold::Stalled { since_unix_ms }) = &mut self.hold {
            *since_unix_ms = now_unix_ms;
        }
        self.tell(now_unix_ms, Change::Restarted, "the host has restarted, and the step begins anew".to_owned())
    }

    /// The new revision's share of traffic now.
    pub fn weight_percent(&self) -> u8 {
        match self.state {
            State::Warming | State::RolledBack | State::Aborted => 0,
            State::Step { index } | State::Waiting { index } => {
                self.plan.stage(index).map_or(0, |stage| stage.weight_percent)
            }
            State::Baking | State::Promoted => 100,
        }
    }

    /// For each request: which revision answers it.
    pub fn share(&self) -> Share {
        Share::new(self.weight_percent(), self.salt)
    }

    /// Whether the new revision gets copies of GET requests.
    pub fn is_shadowing(&self) -> bool {
        let is_live = matches!(self.state, State::Step { .. } | State::Waiting { .. });
        is_live && matches!(self.plan.strategy, Strategy::Shadow { .. })
    }

    /// Whether nothing changes any more.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Promoted | State::RolledBack | State::Aborted)
    }

    /// What is planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it does not go on by itself, if something holds it.
    pub fn hold(&self) -> Option<Hold> {
        self.hold
    }

    /// When it began.
    pub fn began_unix_ms(&self) -> u64 {
        self.began_unix_ms
    }

    /// When its state began; later by as long as it was paused.
    pub fn since_unix_ms(&self) -> u64 {
        self.since_unix_ms
    }

    /// What the last look at this step found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The reason of the last transition.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What is compared in this state, if anything is.
    fn stage(&self) -> Option<Stage> {
        match self.state {
            State::Step { index } | State::Waiting { index } => self.plan.stage(index),
            State::Baking => self.plan.bake(),
            _ => None,
        }
    }

    fn next_look_requests(&self) -> u64 {
        let grown = self.looked_at_requests.saturating_add(self.looked_at_requests / LOOK_GROWTH + 1);
        grown.max(LOOK_REQUESTS_FIRST)
    }

    fn look(&mut self, samples: &Samples, stage: Stage, requests: u64) {
        let Some(start) = &self.start else { return };
        self.looks += 1;
        self.looked_at_requests = requests;
        let since = samples.since(start);
        let settled =
            self.unsettled.as_ref().map(|(old, new)| (samples.old.latency.since(old), samples.new.latency.since(new)));
        let analysis = &self.plan.analysis;
        let parts = self.plan.steps() + usize::from(self.plan.bake().is_some());
        let look = f64::from(self.looks);
        let look = Look {
            samples: &since,
            settled: settled.as_ref().map(|(old, new)| (old, new)),
            // Without a step in which both had traffic, the past is all that was counted until this one.
            past: (!stage.is_concurrent()).then(|| self.past.as_ref().unwrap_or(&start.old)),
            spend: analysis.false_rollback_ratio_max / parts as f64 / (look * (look + 1.0)),
        };
        self.findings = analysis.look(&look);
    }

    fn worst(&self) -> Option<&Finding> {
        // Of several, the first one: errors are what people ask for first.
        self.findings.iter().rev().max_by_key(|finding| finding.verdict)
    }

    /// The step has passed.
    fn pass(&mut self, now_unix_ms: u64, samples: &Samples, stage: Stage, reason: String) -> Vec<Transition> {
        if let Some(start) = &self.start
            && stage.is_concurrent()
        {
            self.past = Some(samples.since(start).old);
        }
        let transitions = match self.state {
            State::Step { index } if self.plan.gate(index) == Gate::Manual => self.wait(now_unix_ms, index, reason),
            State::Step { index } => self.go_to(now_unix_ms, index + 1, reason),
            _ => self.enter(now_unix_ms, State::Promoted, Change::Promoted, reason),
        };
        if !self.is_over() && !matches!(self.state, State::Waiting { .. }) {
            self.start = Some(samples.clone());
        }
        transitions
    }

    /// Begins the step with this index, or what comes after the last one.
    fn go_to(&mut self, now_unix_ms: u64, index: usize, reason: String) -> Vec<Transition> {
        let (state, change) = match (self.plan.stage(index), self.plan.bake()) {
            (Some(_), _) => (State::Step { index }, Change::StepBegan),
            (None, Some(_)) => (State::Baking, Change::Switched),
            (None, None) => (State::Promoted, Change::Promoted),
        };
        self.enter(now_unix_ms, state, change, reason)
    }

    /// Waits for a person. The comparison goes on where it is.
    fn wait(&mut self, now_unix_ms: u64, index: usize, reason: String) -> Vec<Transition> {
        self.state = State::Waiting { index };
        self.since_unix_ms = now_unix_ms;
        self.hold = None;
        self.tell(now_unix_ms, Change::GateReached, format!("{reason}; a person has to let it go on"))
    }

    fn enter(&mut self, now_unix_ms: u64, state: State, change: Change, reason: String) -> Vec<Transition> {
        self.state = state;
        self.hold = None;
        self.looks = 0;
        // What sent a revision back stays to be read.
        if !self.is_over() {
            self.findings.clear();
        }
        self.begin_window(now_unix_ms);
        self.tell(now_unix_ms, change, reason)
    }

    /// Forgets what was counted. The looks go on, so that a restart gives them no new chance to err; but a rollout is written
    /// down with its transitions, and the looks since the last one are not known after a restart.
    fn begin_window(&mut self, now_unix_ms: u64) {
        self.since_unix_ms = now_unix_ms;
        self.start = None;
        self.unsettled = None;
        self.looked_at_requests = 0;
        self.has_closing_look = false;
    }

    fn tell(&mut self, now_unix_ms: u64, change: Change, reason: String) -> Vec<Transition> {
        self.reason.clone_from(&reason);
        let weight_percent = self.weight_percent();
        vec![Transition { at_unix_ms: now_unix_ms, change, state: self.state, weight_percent, reason }]
    }

    fn refused(&self, action: &'static str) -> Refused {
        let state = match self.hold {
            Some(Hold::Paused { .. }) => "paused".to_owned(),
            _ => self.state.to_string(),
        };
        Refused::new(action, state)
    }
}
