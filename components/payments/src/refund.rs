//! A refund: captured money on its way back. Pure.

use commerce::{Id, Money};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// On its way, or not known yet.
    Pending,
    /// The money is back.
    Succeeded,
    /// The money is still here.
    Failed,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether a report of `next` moves the refund. A bank may send money back that it had taken, so a refund
    /// that succeeded can still fail; one that failed has ended.
    pub(crate) fn moves_to(self, next: Self) -> bool {
        match self {
            Self::Pending => next != Self::Pending,
            Self::Succeeded => next == Self::Failed,
            Self::Failed => false,
        }
    }
}

/// A refund as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    /// The order's name of it.
    pub(crate) id: Id,
    pub(crate) state: State,
    pub(crate) amount: Money,
    pub(crate) reason: String,
    /// The provider's name of it, once it is known.
    pub(crate) reference: Option<String>,
    pub(crate) failure: Option<Failure>,
    pub(crate) created_at_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::State::{Failed, Pending, Succeeded};

    #[test]
    fn a_refund_never_comes_back_to_an_earlier_state() {
        let states = [Pending, Succeeded, Failed];
        let moves: Vec<_> = states
            .iter()
            .flat_map(|from| states.map(|to| (*from, to)))
            .filter(|(from, to)| from.moves_to(*to))
            .collect();
        assert_eq!(moves, [(Pending, Succeeded), (Pending, Failed), (Succeeded, Failed)]);
    }
}
