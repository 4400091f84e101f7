//! The states, one after the other.

use super::*;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// A rollout with its clock and counters.
struct Run {
    rollout: Rollout,
    now: u64,
    samples: Samples,
}

impl Run {
    fn new(plan: Plan) -> Self {
        Self { rollout: Rollout::new(plan, 0, 42), now: 0, samples: Samples::default() }
    }

    fn of(name: StrategyName) -> Self {
        Self::new(Plan::new(name.into()))
    }

    fn warm(mut self) -> Self {
        self.rollout.warmed(self.now);
        self.advance();
        self
    }

    /// So many requests of each revision come, of which so many fail.
    fn count(&mut self, (new, new_failures): (u64, u64), (old, old_failures): (u64, u64)) {
        self.samples.new.requests += new;
        self.samples.new.failures += new_failures;
        self.samples.old.requests += old;
        self.samples.old.failures += old_failures;
    }

    fn advance(&mut self) -> Vec<Transition> {
        self.rollout.advance(self.now, &self.samples)
    }

    fn after(&mut self, ms: u64) -> Vec<Transition> {
        self.now += ms;
        self.advance()
    }

    fn state(&self) -> (State, u8) {
        (self.rollout.state(), self.rollout.weight_percent())
    }
}

fn changes(transitions: &[Transition]) -> Vec<Change> {
    transitions.iter().map(|transition| transition.change).collect()
}

#[test]
fn a_rolling_rollout_is_over_when_the_revision_is_ready() {
    let mut run = Run::of(StrategyName::Rolling);
    assert_eq!(run.state(), (State::Warming, 0));
    assert_eq!(changes(&run.rollout.warmed(0)), [Change::Promoted]);
    assert_eq!(run.state(), (State::Promoted, 100));
    assert!(run.rollout.warmed(1).is_empty() && run.advance().is_empty());
}

#[test]
fn a_healthy_canary_goes_through_its_steps() {
    let mut run = Run::of(StrategyName::Canary).warm();
    for (index, weight) in [10, 25, 50, 100].into_iter().enumerate() {
        assert_eq!(run.state(), (State::Step { index }, weight));
        run.count((250, 0), (1_000, 1));
        assert!(run.after(MINUTE - 1).is_empty());
        assert_eq!(run.after(1).len(), 1);
    }
    assert_eq!(run.state(), (State::Promoted, 100));
}

#[test]
fn errors_send_a_canary_back_at_once_and_the_reason_has_the_numbers() {
    let mut run = Run::of(StrategyName::Canary).warm();
    run.count((830, 43), (7_400, 7));
    let [back] = &run.after(SECOND)[..] else { panic!("{:?}", run.rollout) };
    assert_eq!((back.change, back.state, back.weight_percent), (Change::RolledBack, State::RolledBack, 0));
    let reason = "error ratio 5.2 % of 830 requests against 0.095 % of 7,400: worse with p = 3e-36";
    assert_eq!(back.reason, reason);
    assert!(run.after(MINUTE).is_empty());
}
