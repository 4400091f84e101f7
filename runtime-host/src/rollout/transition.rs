//! Where a rollout can be, and what is told when it moves.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

/// Where a rollout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum State {
    /// The new revision gets ready and has no traffic, except from who asks for it.
    Warming,
    /// A step of a canary, or a shadow as step 0, with its share of traffic.
    Step {
        /// Counted from zero.
        index: usize,
    },
    /// The step has passed, and a person has to let it go on. Without any step it is before the switch.
    Waiting {
        /// Counted from zero.
        index: usize,
    },
    /// The new revision has all traffic, and the old one is kept for the way back.
    Baking,
    /// The new revision has all traffic, for good.
    Promoted,
    /// The new revision was worse, or could not get ready.
    RolledBack,
    /// A person has ended it.
    Aborted,
}

/// Why a state is not left by itself, although a comparison still rolls back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Hold {
    /// A person has paused it.
    Paused {
        /// When.
        since_unix_ms: u64,
    },
    /// The samples that it needs have not come. It is never promoted by itself, not even when they come later.
    Stalled {
        /// When that was found.
        since_unix_ms: u64,
    },
}

/// Something that has changed: for the log, the audit and webhooks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at_unix_ms: u64,
    /// What.
    pub change: Change,
    /// Where the rollout is now.
    pub state: State,
    /// The new revision's share of traffic now.
    pub weight_percent: u8,
    /// Why, with the numbers.
    pub reason: String,
}

/// The kind of a [`Transition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the change of its name")]
pub enum Change {
    StepBegan,
    /// A person is waited for.
    GateReached,
    /// All traffic has moved, and the time to bake begins.
    Switched,
    Paused,
    Resumed,
    Stalled,
    /// The host has stopped in between, and the step begins anew.
    Restarted,
    Promoted,
    RolledBack,
    Aborted,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::StepBegan,
        Self::GateReached,
        Self::Switched,
        Self::Paused,
        Self::Resumed,
        Self::Stalled,
        Self::Restarted,
        Self::Promoted,
        Self::RolledBack,
        Self::Aborted,
    ];

    /// One word, in metrics, in the log of actions and for webhooks.
    pub fn name(self) -> &'static str {
        match self {
            Self::StepBegan => "step-began",
            Self::GateReached => "gate-reached",
            Self::Switched => "switched",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Stalled => "stalled",
            Self::Restarted => "restarted",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Aborted => "aborted",
        }
    }
}

/// What a person asked for does not fit where the rollout is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rollout cannot be {action}: it is {state}")]
pub struct Refused {
    action: &'static str,
    state: String,
}

impl Refused {
    pub(super) fn new(action: &'static str, state: String) -> Self {
        Self { action, state }
    }
}

impl Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Warming => f.write_str("warming"),
            Self::Step { index } => write!(f, "in step {}", index + 1),
            Self::Waiting { .. } => f.write_str("waiting for a person"),
            Self::Baking => f.write_str("baking"),
            Self::Promoted => f.write_str("promoted"),
            Self::RolledBack => f.write_str("rolled back"),
            Self::Aborted => f.write_str("aborted"),
        }
    }
}
