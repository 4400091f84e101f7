//! What is planned for one rollout.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Analysis;

/// The most steps that a canary has.
pub const STEPS_MAX: usize = 20;

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;

/// What is in force for one rollout. The default is that of a component that configures nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How traffic moves to the new revision.
    pub strategy: Strategy,
    /// What makes the new revision worse than the old one.
    pub analysis: Analysis,
    /// Who lets a rollout go on, where a step does not say it.
    pub gate: Gate,
    /// What becomes of the rollout when the host stops in the middle of it.
    pub on_restart: OnRestart,
    /// How much longer than its duration a step waits for its samples until it is stalled.
    pub samples_wait_max_ms: u64,
}

/// How traffic moves to the new revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Strategy {
    /// New requests go to the new revision at once.
    Rolling,
    /// All requests move in one step, after which the new revision is compared with the old one's past.
    BlueGreen {
        /// How long the old revision is kept for the way back.
        bake_ms: u64,
    },
    /// Step by step.
    Canary {
        /// In order of their weights; after the last one the new revision has all traffic.
        steps: Vec<Step>,
        /// What keeps a shopper on one revision.
        sticky: Sticky,
    },
    /// The new revision gets copies of GET requests, whose answers nobody sees. Its gate is manual unless the plan
    /// says otherwise: what follows is all traffic at once.
    Shadow {
        /// How long it is compared.
        duration_ms: u64,
        /// The fewest copied requests to judge by.
        samples_min: u64,
    },
}

/// One step of a canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The new revision's share of traffic, 1 to 100.
    pub weight_percent: u8,
    /// The shortest that the step takes.
    pub duration_ms: u64,
    /// The fewest requests of the new revision, and of the old one where it has traffic, to judge by.
    pub samples_min: u64,
    /// Who ends the step; the plan's gate if the step says nothing.
    pub gate: Option<Gate>,
}

/// Who lets a rollout go on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The comparison alone.
    #[default]
    Automatic,
    /// A person, once the comparison has nothing against it.
    Manual,
}

/// What becomes of a rollout when the host stops in the middle of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnRestart {
    /// Its step begins anew.
    #[default]
    Resume,
    /// The old revision gets all traffic.
    Rollback,
}

/// What keeps a shopper on one revision. A shopper that has no such key is given one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// Who the request is authenticated as.
    #[default]
    User,
    /// The value of the cookie with this name.
    Cookie(String),
    /// The value of the header with this name.
    Header(String),
    /// Nothing: each request is chosen for by chance.
    None,
}

/// The name of a [`Strategy`], as it stands in the manifest and on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the strategy of its name")]
pub enum StrategyName {
    #[default]
    Rolling,
    BlueGreen,
    Canary,
    Shadow,
}

/// A part of a rollout with a weight of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) weight_percent: u8,
    pub(super) duration_ms: u64,
    pub(super) samples_min: u64,
}

impl Stage {
    /// Whether old and new are compared over the same requests' time.
    pub(super) fn is_concurrent(self) -> bool {
        self.weight_percent < 100
    }
}

impl Plan {
    /// The default settings with this strategy.
    pub fn new(strategy: Strategy) -> Self {
        let gate = if matches!(strategy, Strategy::Shadow { .. }) { Gate::Manual } else { Gate::Automatic };
        Self {
            strategy,
            analysis: Analysis::default(),
            gate,
            on_restart: OnRestart::default(),
            samples_wait_max_ms: Self::SAMPLES_WAIT_MAX_MS,
        }
    }

    /// How long a step waits for samples, where nothing else is configured: an hour.
    pub const SAMPLES_WAIT_MAX_MS: u64 = 60 * MINUTE_MS;

    /// The parts before the new revision has all traffic for good; rolling and blue-green have none.
    pub(super) fn stage(&self, index: usize) -> Option<Stage> {
        match &self.strategy {
            Strategy::Rolling | Strategy::BlueGreen { .. } => None,
            Strategy::Canary { steps, .. } => steps.get(index).map(|step| Stage {
                weight_percent: step.weight_percent,
                duration_ms: step.duration_ms,
                samples_min: step.samples_min,
            }),
            Strategy::Shadow { duration_ms, samples_min } => (index == 0).then_some(Stage {
                weight_percent: 0,
                duration_ms: *duration_ms,
                samples_min: *samples_min,
            }),
        }
    }

    /// The time after a switch of all traffic, if the strategy has one.
    pub(super) fn bake(&self) -> Option<Stage> {
        match self.strategy {
            Strategy::BlueGreen { bake_ms } => {
                Some(Stage { weight_percent: 100, duration_ms: bake_ms, samples_min: 0 })
            }
            _ => None,
        }
    }

    /// How many steps there are to show.
    pub fn steps(&self) -> usize {
        match &self.strategy {
            Strategy::Rolling | Strategy::BlueGreen { .. } => 0,
            Strategy::Canary { steps, .. } => steps.len(),
            Strategy::Shadow { .. } => 1,
        }
    }

    pub(super) fn gate(&self, index: usize) -> Gate {
        match &self.strategy {
            Strategy::Canary { steps, .. } => steps.get(index).and_then(|step| step.gate).unwrap_or(self.gate),
            _ => self.gate,
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self::new(Strategy::Rolling)
    }
}

impl Strategy {
    /// How long a blue-green rollout bakes by default: five minutes.
    pub const BAKE_MS: u64 = 5 * MINUTE_MS;

    /// Which of the strategies it is.
    pub fn name(&self) -> StrategyName {
        match self {
            Self::Rolling => StrategyName::Rolling,
            Self::BlueGreen { .. } => StrategyName::BlueGreen,
            Self::Canary { .. } => StrategyName::Canary,
            Self::Shadow { .. } => StrategyName::Shadow,
        }
    }
}

impl From<StrategyName> for Strategy {
    /// The strategy with its defaults.
    fn from(name: StrategyName) -> Self {
        match name {
            StrategyName::Rolling => Self::Rolling,
            StrategyName::BlueGreen => Self::BlueGreen { bake_ms: Self::BAKE_MS },
            StrategyName::Canary => {
                Self::Canary { steps: Step::WEIGHTS_PERCENT.map(Step::new).to_vec(), sticky: Sticky::default() }
            }
            StrategyName::Shadow => Self::Shadow { duration_ms: Step::DURATION_MS, samples_min: Step::SAMPLES_MIN },
        }
    }
}

impl Step {
    /// The shares of a canary, where no others are configured.
    pub const WEIGHTS_PERCENT: [u8; 4] = [10, 25, 50, 100];
    /// How long a step takes by default: a minute.
    pub const DURATION_MS: u64 = MINUTE_MS;
    /// The fewest requests of a step by default. One of 200 that fails is hardly chance where it is one of 1000
    /// otherwise, and of the 10 that fail in a revision with 5 % errors nearly always more than one is there.
    pub const SAMPLES_MIN: u64 = 200;

    /// A step with this share and the defaults.
    pub fn new(weight_percent: u8) -> Self {
        Self { weight_percent, duration_ms: Self::DURATION_MS, samples_min: Self::SAMPLES_MIN, gate: None }
    }
}

/// Checks that the steps of a canary are there and that each gives the new revision more than the one before;
/// the error is a whole sentence.
pub fn check_steps(steps: &[Step]) -> Result<(), String> {
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(format!("there are {} steps; expected 1 to {STEPS_MAX}", steps.len()));
    }
    let mut before = 0;
    for Step { weight_percent, samples_min, .. } in steps {
        if *weight_percent <= before || *weight_percent > 100 {
            let more = before + 1;
            return Err(format!("a step has the weight {weight_percent} %; expected {more} to 100, more than before"));
        }
        if *samples_min == 0 {
            return Err("a step has a `samples_min` of 0; expected at least 1".into());
        }
        before = *weight_percent;
    }
    Ok(())
}

impl StrategyName {
    const NAMES: [(Self, &str); 4] = [
        (Self::Rolling, "rolling"),
        (Self::BlueGreen, "blue-green"),
        (Self::Canary, "canary"),
        (Self::Shadow, "shadow"),
    ];
}

impl Display for StrategyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = Self::NAMES[*self as usize];
        f.write_str(name)
    }
}

impl FromStr for StrategyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.into_iter().find(|(_, name)| *name == text);
        found
            .map(|(strategy, _)| strategy)
            .ok_or_else(|| format!("unknown strategy `{text}`; expected `rolling`, `blue-green`, `canary` or `shadow`"))
    }
}
