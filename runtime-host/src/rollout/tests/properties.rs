//! What holds whatever happens.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;

/// Something that happens to a rollout.
#[derive(Debug, Clone)]
enum Event {
    Tick { ms: u64, new: (u64, u64), old: (u64, u64) },
    Pause,
    Resume,
    Promote,
    Restart,
    Abort,
}

fn requests() -> impl Strategy<Value = (u64, u64)> {
    (0_u64..400, prop_oneof![3 => Just(0_u64), 1 => 0_u64..40]).prop_map(|(of, failed)| (of, failed.min(of)))
}

fn event() -> impl Strategy<Value = Event> {
    let tick = (0..90 * SECOND, requests(), requests()).prop_map(|(ms, new, old)| Event::Tick { ms, new, old });
    prop_oneof![
        20 => tick,
        1 => Just(Event::Pause),
        2 => Just(Event::Resume),
        1 => Just(Event::Promote),
        1 => Just(Event::Restart),
        1 => Just(Event::Abort),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let gate = || prop_oneof![4 => Just(Gate::Automatic), 1 => Just(Gate::Manual)];
    let name = prop_oneof![
        Just(StrategyName::Rolling),
        Just(StrategyName::BlueGreen),
        Just(StrategyName::Canary),
        Just(StrategyName::Shadow)
    ];
    let plan = |(name, gate): (StrategyName, Gate)| Plan { gate, ..Plan::new(name.into()) };
    (name, gate()).prop_map(plan)
}

impl Run {
    fn happen(&mut self, event: &Event) -> Vec<Transition> {
        match *event {
            Event::Tick { ms, new, old } => {
                self.count(new, old);
                self.after(ms)
            }
            Event::Pause => self.rollout.pause(self.now, "").unwrap_or_default(),
            Event::Resume => self.rollout.resume(self.now, "").unwrap_or_default(),
            Event::Promote => self.rollout.promote(self.now, "").unwrap_or_default(),
            Event::Abort => self.rollout.abort(self.now, "").unwrap_or_default(),
            Event::Restart => {
                self.samples = Samples::default();
                self.rollout.restarted(self.now)
            }
        }
    }
}

proptest! {
    #[test]
    fn weights_only_grow_or_fall_to_zero_and_endings_are_final(
        plan in plan(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut run = Run::new(plan).warm();
        for event in &events {
            let (before, was_over) = (run.rollout.clone(), run.rollout.is_over());
            let transitions = run.happen(event);
            let weight = run.rollout.weight_percent();
            prop_assert!(weight == 0 || weight >= before.weight_percent(), "{before:?}\n{event:?}\n{:?}", run.rollout);
            prop_assert_eq!(run.rollout.state() == before.state() || !transitions.is_empty(), true);
            if was_over {
                prop_assert!(transitions.is_empty());
                prop_assert_eq!(&run.rollout, &before);
            }
            if let Some(last) = transitions.last() {
                prop_assert_eq!((last.state, last.weight_percent), (run.rollout.state(), weight));
                prop_assert_eq!(last.reason.as_str(), run.rollout.reason());
            }
        }
    }

    #[test]
    fn no_step_is_passed_by_itself_with_too_few_samples(
        plan in plan(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut run = Run::new(plan).warm();
        // Since the step began.
        let (mut new, mut old) = (0, 0);
        for event in &events {
            let before = run.rollout.clone();
            if let Event::Tick { new: (more_new, _), old: (more_old, _), .. } = event {
                new += more_new;
                old += more_old;
            }
            let transitions = run.happen(event);
            let is_passed = transitions.iter().any(|transition| {
                matches!(transition.change, Change::StepBegan | Change::GateReached | Change::Promoted)
            });
            let is_step = matches!(before.state(), State::Step { .. });
            if is_passed && is_step && matches!(event, Event::Tick { .. }) {
                let is_enough = new >= Step::SAMPLES_MIN && (before.weight_percent() == 100 || old >= Step::SAMPLES_MIN);
                prop_assert!(is_enough, "{new} and {old}: {before:?}");
            }
            if matches!(event, Event::Restart) || run.rollout.state() != before.state() {
                (new, old) = (0, 0);
            }
        }
    }

    #[test]
    fn who_reads_a_rollout_back_decides_as_before(
        plan in plan(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut run = Run::new(plan).warm();
        let mut read_back = Run::new(Plan::default());
        for event in &events {
            let text = serde_json::to_string(&run.rollout).unwrap();
            read_back.rollout = serde_json::from_str(&text).unwrap();
            read_back.samples = run.samples.clone();
            read_back.now = run.now;
            prop_assert_eq!(run.happen(event), read_back.happen(event));
        }
    }
}
