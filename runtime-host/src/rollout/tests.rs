//! The states, one after the other.

mod properties;

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

/// A canary of one step of half of the traffic and one of all.
fn two_steps(first_gate: Option<Gate>) -> Plan {
    let steps = vec![Step { gate: first_gate, ..Step::new(50) }, Step::new(100)];
    Plan::new(Strategy::Canary { steps, sticky: Sticky::User })
}

#[test]
fn a_step_waits_for_its_samples_and_stalls_when_they_do_not_come() {
    let mut run = Run::new(two_steps(None)).warm();
    run.count((199, 0), (1_000, 0));
    assert!(run.after(MINUTE).is_empty());
    let [stalled] = &run.after(60 * MINUTE)[..] else { panic!("{:?}", run.rollout) };
    assert_eq!((stalled.change, stalled.state), (Change::Stalled, State::Step { index: 0 }));
    assert_eq!(stalled.reason, "199 requests of the new revision and 1000 of the old one in 3660 s; 200 are needed");
    // They come after all, but nobody has asked for them any more.
    run.count((1_000, 0), (1_000, 0));
    assert!(run.after(MINUTE).is_empty());
    assert_eq!(changes(&run.rollout.resume(run.now, "the sale begins").unwrap()), [Change::Resumed]);
    assert!(run.after(MINUTE - 1).is_empty());
    assert_eq!(changes(&run.after(1)), [Change::StepBegan]);
}

#[test]
fn the_old_revision_needs_samples_as_well_while_it_has_traffic() {
    let mut run = Run::new(two_steps(None)).warm();
    run.count((1_000, 0), (199, 0));
    assert!(run.after(MINUTE).is_empty());
    run.count((1, 0), (1, 0));
    assert_eq!(changes(&run.after(SECOND)), [Change::StepBegan]);
    run.count((200, 0), (0, 0));
    assert_eq!(changes(&run.after(MINUTE)), [Change::Promoted]);
}

#[test]
fn a_suspicion_keeps_a_step_from_ending_until_it_goes_away() {
    let mut run = Run::new(two_steps(None)).warm();
    run.count((200, 6), (1_000, 5));
    assert!(run.after(MINUTE).is_empty());
    assert_eq!(run.rollout.findings()[0].verdict, Verdict::Suspect);
    run.count((800, 0), (1_000, 5));
    assert_eq!(changes(&run.after(SECOND)), [Change::StepBegan]);
}

#[test]
fn a_pause_stops_the_clock_but_not_the_way_back() {
    let mut run = Run::new(two_steps(None)).warm();
    run.count((500, 0), (500, 0));
    run.after(MINUTE / 2);
    assert_eq!(changes(&run.rollout.pause(run.now, "lunch").unwrap()), [Change::Paused]);
    let twice = run.rollout.pause(run.now, "lunch").unwrap_err().to_string();
    assert_eq!(twice, "the rollout cannot be paused: it is paused");
    assert!(run.after(10 * MINUTE).is_empty());
    run.rollout.resume(run.now, "back").unwrap();
    assert!(run.after(MINUTE / 2 - 1).is_empty());
    assert_eq!(changes(&run.after(1)), [Change::StepBegan]);

    run.rollout.pause(run.now, "tea").unwrap();
    run.count((500, 250), (0, 0));
    assert_eq!(changes(&run.after(SECOND)), [Change::RolledBack]);
}

#[test]
fn a_gate_is_passed_by_a_person_and_watched_meanwhile() {
    let mut run = Run::new(two_steps(Some(Gate::Manual))).warm();
    run.count((500, 0), (500, 0));
    assert_eq!(changes(&run.after(MINUTE)), [Change::GateReached]);
    assert_eq!(run.state(), (State::Waiting { index: 0 }, 50));
    let mut worse = Rollout::clone(&run.rollout);
    assert!(run.after(24 * 60 * MINUTE).is_empty());
    assert_eq!(changes(&run.rollout.promote(run.now, "ann: looks good").unwrap()), [Change::StepBegan]);
    assert_eq!(run.state(), (State::Step { index: 1 }, 100));

    run.count((500, 100), (500, 0));
    assert_eq!(changes(&worse.advance(run.now, &run.samples)), [Change::RolledBack]);
}

#[test]
fn blue_green_bakes_against_the_past_of_the_old_one() {
    let mut run = Run::of(StrategyName::BlueGreen);
    run.count((0, 0), (10_000, 100));
    assert_eq!(changes(&run.rollout.warmed(0)), [Change::Switched]);
    assert_eq!(run.state(), (State::Baking, 100));
    run.advance();
    // Twice as many errors as before are within what times change.
    run.count((1_000, 20), (0, 0));
    assert!(run.after(SECOND).is_empty());
    let mut healthy = Rollout::clone(&run.rollout);
    run.count((1_000, 100), (0, 0));
    let [back] = &run.after(SECOND)[..] else { panic!("{:?}", run.rollout) };
    assert_eq!((back.change, back.weight_percent), (Change::RolledBack, 0));
    assert!(back.reason.starts_with("error ratio 6.0 % of 2,000 requests against 1.0 % of 10,000 before"), "{back:?}");

    run.samples.new.failures -= 100;
    assert_eq!(changes(&healthy.advance(5 * MINUTE, &run.samples)), [Change::Promoted]);
}

#[test]
fn a_revision_without_a_past_to_compare_with_may_not_fail_often() {
    let mut run = Run::of(StrategyName::BlueGreen).warm();
    run.count((200, 0), (0, 0));
    assert!(run.after(SECOND).is_empty());
    run.count((100, 50), (0, 0));
    assert_eq!(changes(&run.after(SECOND)), [Change::RolledBack]);
}

#[test]
fn a_shadow_has_no_traffic_and_waits_for_a_person() {
    let mut run = Run::of(StrategyName::Shadow).warm();
    assert_eq!((run.state(), run.rollout.is_shadowing()), ((State::Step { index: 0 }, 0), true));
    run.count((500, 0), (500, 0));
    assert_eq!(changes(&run.after(MINUTE)), [Change::GateReached]);
    assert_eq!((run.rollout.weight_percent(), run.rollout.is_shadowing()), (0, true));
    assert_eq!(changes(&run.rollout.promote(run.now, "ann").unwrap()), [Change::Promoted]);
    assert_eq!((run.rollout.weight_percent(), run.rollout.is_shadowing()), (100, false));
}

#[test]
fn a_switch_waits_at_a_manual_gate() {
    for (name, after) in [(StrategyName::Rolling, State::Promoted), (StrategyName::BlueGreen, State::Baking)] {
        let mut run = Run::new(Plan { gate: Gate::Manual, ..Plan::new(name.into()) }).warm();
        assert_eq!(run.state(), (State::Waiting { index: 0 }, 0));
        assert!(run.after(MINUTE).is_empty());
        run.rollout.promote(run.now, "ann").unwrap();
        assert_eq!(run.state(), (after, 100));
    }
}

#[test]
fn a_revision_that_does_not_get_ready_goes_back() {
    let mut run = Run::of(StrategyName::Canary);
    assert!(run.after(WARMING_MAX_MS).is_empty());
    let [back] = &run.after(1)[..] else { panic!("{:?}", run.rollout) };
    assert_eq!((back.change, back.reason.as_str()), (Change::RolledBack, "the new revision was not ready in 60 s"));

    let mut run = Run::of(StrategyName::Canary);
    let [back] = &run.rollout.fail(5, "smoke: 500")[..] else { panic!("{:?}", run.rollout) };
    assert_eq!((back.change, back.reason.as_str()), (Change::RolledBack, "smoke: 500"));
}

#[test]
fn after_a_restart_the_step_begins_anew_or_all_goes_back() {
    let mut run = Run::new(two_steps(None)).warm();
    run.count((500, 0), (500, 0));
    run.after(MINUTE - 1);
    let mut rolled_back = Rollout::new(Plan { on_restart: OnRestart::Rollback, ..two_steps(None) }, 0, 1);
    rolled_back.warmed(0);
    assert_eq!(changes(&rolled_back.restarted(SECOND)), [Change::RolledBack]);

    assert_eq!(changes(&run.rollout.restarted(run.now)), [Change::Restarted]);
    run.samples = Samples::default();
    // The first requests after it count, even if nobody has looked before they came.
    run.count((200, 0), (200, 0));
    assert!(run.after(MINUTE - 1).is_empty());
    assert_eq!(run.state(), (State::Step { index: 0 }, 50));
    assert_eq!(changes(&run.after(1)), [Change::StepBegan]);
}

#[test]
fn people_are_told_what_does_not_fit() {
    let mut run = Run::of(StrategyName::Rolling);
    let refused = |result: Result<Vec<Transition>, Refused>| result.unwrap_err().to_string();
    assert_eq!(refused(run.rollout.promote(0, "")), "the rollout cannot be promoted: it is warming");
    assert_eq!(refused(run.rollout.resume(0, "")), "the rollout cannot be resumed: it is warming");
    run.rollout.warmed(0);
    assert_eq!(refused(run.rollout.abort(0, "")), "the rollout cannot be aborted: it is promoted");
    let mut run = Run::of(StrategyName::Canary).warm();
    assert_eq!(changes(&run.rollout.abort(0, "ann: wrong file").unwrap()), [Change::Aborted]);
    assert_eq!((run.state(), run.rollout.reason()), ((State::Aborted, 0), "ann: wrong file"));
}

/// A blue-green rollout whose old revision has answered so many requests without an error, after a restart of the host.
fn baking_after_a_restart(old: Window) -> Run {
    let mut run = Run::of(StrategyName::BlueGreen);
    run.rollout.remember(&old);
    run.rollout.warmed(run.now);
    let recorded = serde_json::to_string(&run.rollout).unwrap();
    run.rollout = serde_json::from_str(&recorded).unwrap();
    assert_eq!(changes(&run.rollout.restarted(run.now)), [Change::Restarted]);
    run
}

#[test]
fn a_bake_is_held_against_the_recorded_past_after_a_restart() {
    let mut run = baking_after_a_restart(Window { requests: 10_000, failures: 2, ..Window::default() });
    run.count((500, 25), (0, 0));
    let [back] = &run.after(SECOND)[..] else { panic!("{:?}", run.rollout) };
    assert!(back.change == Change::RolledBack && back.reason.contains("of 10,000 before"), "{back:?}");
    let mut run = baking_after_a_restart(Window { requests: 10_000, failures: 2, ..Window::default() });
    run.count((500, 0), (0, 0));
    assert!(run.after(5 * MINUTE - 1).is_empty());
    assert_eq!(changes(&run.after(1)), [Change::Promoted]);
}
