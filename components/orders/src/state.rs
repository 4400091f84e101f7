//! Where an order stands, and where it can go from there. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Placed; the checkout has yet to end.
    Pending,
    /// The stock is sold and the money is taken.
    Paid,
    Packed,
    Shipped,
    Delivered,
    /// Called off. What was taken is given back.
    Cancelled,
    /// All the money was given back.
    Refunded,
    /// The checkout came to nothing.
    Failed,
}

/// On whose behalf an order is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Owner,
    Staff,
}

impl State {
    /// All of them, in the order of an order's life.
    pub(crate) const ALL: [Self; 8] = [
        Self::Pending,
        Self::Paid,
        Self::Packed,
        Self::Shipped,
        Self::Delivered,
        Self::Cancelled,
        Self::Refunded,
        Self::Failed,
    ];

    /// Where it can be next.
    pub(crate) fn next(self) -> &'static [Self] {
        match self {
            Self::Pending => &[Self::Paid, Self::Cancelled, Self::Failed],
            Self::Paid => &[Self::Packed, Self::Cancelled, Self::Refunded],
            Self::Packed => &[Self::Shipped, Self::Cancelled, Self::Refunded],
            Self::Shipped => &[Self::Delivered, Self::Refunded],
            Self::Delivered => &[Self::Refunded],
            Self::Cancelled | Self::Refunded | Self::Failed => &[],
        }
    }

    pub(crate) fn can_become(self, next: Self) -> bool {
        self.next().contains(&next)
    }

    /// Whether it can be called off. Once it is packed the shop decides, and once it is under way nobody does.
    pub(crate) fn can_be_cancelled_by(self, side: Side) -> bool {
        match side {
            Side::Owner => matches!(self, Self::Pending | Self::Paid),
            Side::Staff => self.can_become(Self::Cancelled),
        }
    }

    /// Whether the parcel has yet to leave the house.
    pub(crate) fn is_before_shipping(self) -> bool {
        matches!(self, Self::Paid | Self::Packed)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Packed => "packed",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
            Self::Refunded => "refunded",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(State::parse("lost"), None);
    }

    #[test]
    fn who_may_call_an_order_off() {
        let by = |side| State::ALL.into_iter().filter(|state| state.can_be_cancelled_by(side)).collect::<Vec<_>>();
        assert_eq!(by(Side::Owner), [State::Pending, State::Paid]);
        assert_eq!(by(Side::Staff), [State::Pending, State::Paid, State::Packed]);
    }

    proptest! {
        /// Whatever is wished for in whatever order: nothing is sent before it is paid, and what is over stays over.
        #[test]
        fn an_order_keeps_to_its_way(wishes in prop::collection::vec(prop::sample::select(State::ALL.to_vec()), 0..30)) {
            let mut been = vec![State::Pending];
            for wish in wishes {
                let state = *been.last().unwrap();
                if state.can_become(wish) {
                    been.push(wish);
                }
            }
            let at = |wanted: State| been.iter().position(|state| *state == wanted);
            for (earlier, later) in [(State::Paid, State::Packed), (State::Packed, State::Shipped), (State::Shipped, State::Delivered)] {
                prop_assert!(at(later).is_none() || at(earlier) < at(later));
            }
            prop_assert!(at(State::Refunded).is_none() || at(State::Paid).is_some());
            prop_assert!(at(State::Failed).is_none() || at(State::Paid).is_none());
            prop_assert!(at(State::Shipped).is_none() || at(State::Cancelled).is_none());
            let distinct: std::collections::BTreeSet<_> = been.iter().map(|state| state.as_str()).collect();
            prop_assert_eq!(distinct.len(), been.len(), "no state comes twice");
            prop_assert!(been.iter().rev().skip(1).all(|state| !state.next().is_empty()));
        }
    }
}
