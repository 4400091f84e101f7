//! Rollouts of made-up revisions, thousands of them, from a seed: how often the right thing happens, and who pays.
//!
//! Each [`Scenario`] has a new revision with a known flaw, or none, and is run by the default canary second by second,
//! as the host would, with requests that come at random. [`run`] tells how the runs ended.

mod scenario;
mod world;

use serde::{Deserialize, Serialize};

pub use scenario::{Ending, SCENARIOS, Scenario};

use super::{Hold, Plan, Rollout, State, StrategyName};
use world::World;

/// How often the rollout looks.
const TICK_S: f64 = 1.0;
const MS_PER_S: f64 = 1_000.0;
/// A run that is not over by then counts as stalled.
const SIMULATED_S_MAX: f64 = 6.0 * 3_600.0;

/// How the runs of one scenario ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was simulated.
    pub scenario: String,
    /// How each run should end.
    pub expected: Ending,
    /// How many runs there were.
    pub runs: usize,
    /// How many ended with all traffic on the new revision,
    pub promoted: usize,
    /// with all on the old one,
    pub rolled_back: usize,
    /// or in between.
    pub stalled: usize,
    /// Of those that were rolled back, the ones that never left the first step.
    pub rolled_back_in_first_step: usize,
    /// How long a run took.
    pub seconds: Spread,
    /// Requests that the new revision had answered by then.
    pub requests: Spread,
    /// Those that failed.
    pub failures: Spread,
    /// Shoppers out of [`SHOPPERS`] who saw one of them.
    pub shoppers_hit: Spread,
}

/// A figure over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the runs have no more.
    pub median: u64,
    /// 99 of 100 runs have no more.
    pub p99: u64,
}

/// How many shoppers the requests of a run come from.
pub const SHOPPERS: usize = 1_000;

/// One run.
struct Run {
    ending: Ending,
    is_in_first_step: bool,
    seconds: u64,
    requests: u64,
    failures: u64,
    shoppers_hit: u64,
}

/// Simulates `runs` rollouts of each scenario. The same seed gives the same outcomes.
pub fn run(runs: usize, seed: u64) -> Vec<Outcome> {
    let plan = Plan::new(StrategyName::Canary.into());
    let plan = &plan;
    std::thread::scope(|scope| {
        let threads =
            SCENARIOS.each_ref().map(|scenario| scope.spawn(move || run_scenario(scenario, plan, runs, seed)));
        let outcomes = threads.into_iter().map(|thread| thread.join());
        outcomes.map(|outcome| outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn run_scenario(scenario: &Scenario, plan: &Plan, runs: usize, seed: u64) -> Outcome {
    let plan = &scenario.plan(plan);
    let mut random = fastrand::Rng::with_seed(seed);
    let world = World::new(scenario, &mut random);
    let runs: Vec<Run> = (0..runs).map(|_| run_once(plan, world.clone(), random.fork())).collect();
    let ended = |ending: Ending| runs.iter().filter(move |run| run.ending == ending);
    let spread = |figure: fn(&Run) -> u64| Spread::of(runs.iter().map(figure).collect());
    Outcome {
        scenario: scenario.name.to_owned(),
        expected: scenario.expected,
        runs: runs.len(),
        promoted: ended(Ending::Promoted).count(),
        rolled_back: ended(Ending::RolledBack).count(),
        stalled: ended(Ending::Stalled).count(),
        rolled_back_in_first_step: ended(Ending::RolledBack).filter(|run| run.is_in_first_step).count(),
        seconds: spread(|run| run.seconds),
        requests: spread(|run| run.requests),
        failures: spread(|run| run.failures),
        shoppers_hit: spread(|run| run.shoppers_hit),
    }
}

fn run_once(plan: &Plan, mut world: World, mut random: fastrand::Rng) -> Run {
    let mut rollout = Rollout::new(plan.clone(), 0, random.u64(..));
    world.begin(&mut random);
    rollout.warmed(0);
    rollout.advance(0, world.samples());
    let mut now_s = 0.0;
    let mut is_in_first_step = true;
    while !rollout.is_over() && !matches!(rollout.hold(), Some(Hold::Stalled { .. })) && now_s < SIMULATED_S_MAX {
        now_s += TICK_S;
        world.until(now_s, rollout.share(), &mut random);
        is_in_first_step = rollout.state() == State::Step { index: 0 };
        rollout.advance((now_s * MS_PER_S) as u64, world.samples());
    }
    let ending = match rollout.state() {
        State::Promoted => Ending::Promoted,
        State::RolledBack => Ending::RolledBack,
        _ => Ending::Stalled,
    };
    let new = &world.samples().new;
    Run {
        ending,
        is_in_first_step,
        seconds: now_s as u64,
        requests: new.requests,
        failures: new.failures,
        shoppers_hit: world.shoppers_hit(),
    }
}

impl Outcome {
    /// The part of the runs that ended as they should.
    pub fn right(&self) -> f64 {
        let right = match self.expected {
            Ending::Promoted => self.promoted,
            Ending::RolledBack => self.rolled_back,
            Ending::Stalled => self.stalled,
        };
        right as f64 / self.runs as f64
    }
}

impl Spread {
    fn of(mut figures: Vec<u64>) -> Self {
        figures.sort_unstable();
        let at =
            |part: f64| figures.get((figures.len() as f64 * part) as usize).or(figures.last()).copied().unwrap_or(0);
        Self { median: at(0.5), p99: at(0.99) }
    }
}

#[cfg(test)]
mod tests;
