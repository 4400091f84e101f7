//! A task: something that is still to be done for an order, there until its outcome is known. Pure.

use commerce::Id;
use service::Retry;

use crate::saga::Undo;

/// How long whoever works on a task has it for themselves. It is short, so that what a dead one leaves is taken up soon;
/// two at once do no harm.
pub(crate) const LEASE_MS: i64 = 5_000;
/// How long after an attempt without an outcome the next one may come.
const RETRY: Retry = Retry { first_ms: 1_000, max_ms: 60_000 };
/// How long a call of somebody who died may still be on its way. Until then "there is nothing" is no answer to who
/// undoes: it may come about yet.
pub(crate) const CALL_SETTLES_MS: i64 = 15_000;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The next step of the checkout.
    Checkout,
    /// Release the money, or give it back if it was taken.
    Money,
    /// Release the stock, or take it back if it was sold.
    Stock,
    /// Give the uses of the coupons back.
    Coupons,
    /// Give a part of the money back; the task's reference is the refund.
    Refund,
    /// Take the units of a refund back into stock; the task's reference is the refund.
    Restock,
    /// Take what was ordered out of the cart.
    Cart,
    /// Have the parcel made.
    Shipment,
    /// Tell shipping where the parcel is; the task's reference is the order's state.
    Parcel,
    /// Have the parcel not sent.
    Recall,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Checkout,
        Self::Money,
        Self::Stock,
        Self::Coupons,
        Self::Refund,
        Self::Restock,
        Self::Cart,
        Self::Shipment,
        Self::Parcel,
        Self::Recall,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Money => "money",
            Self::Stock => "stock",
            Self::Coupons => "coupons",
            Self::Refund => "refund",
            Self::Restock => "restock",
            Self::Cart => "cart",
            Self::Shipment => "shipment",
            Self::Parcel => "parcel",
            Self::Recall => "recall",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Tasks of one lane are done one after the other: a parcel is made before it is sent or called back.
    pub(crate) fn lane(self) -> &'static str {
        match self {
            Self::Shipment | Self::Parcel | Self::Recall => "parcel",
            other => other.as_str(),
        }
    }
}

impl Undo {
    /// The tasks that undo.
    pub(crate) fn tasks(self) -> impl Iterator<Item = Kind> {
        let kinds = [(self.stock, Kind::Stock), (self.coupons, Kind::Coupons), (self.money, Kind::Money)];
        kinds.into_iter().filter_map(|(wanted, kind)| wanted.then_some(kind))
    }
}

/// A task that its holder is to work on.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) seq: i64,
    pub(crate) order: Id,
    pub(crate) kind: Kind,
    /// Which of several; empty where an order has one of the kind.
    pub(crate) reference: String,
    /// What only this task needs to know, as JSON; it goes with the task.
    pub(crate) data: Option<String>,
    /// Tells its holder from the one after it.
    pub(crate) holder: i64,
    /// How often it was begun, this time included.
    pub(crate) attempts: u32,
    pub(crate) created_at_ms: i64,
}

impl Task {
    /// When to try again after an attempt without an outcome.
    pub(crate) fn retry_at_ms(&self, now_ms: i64) -> i64 {
        RETRY.at_ms(self.attempts, now_ms)
    }

    /// Whether "there is nothing" is an answer.
    pub(crate) fn is_settled(&self, now_ms: i64) -> bool {
        now_ms - self.created_at_ms >= CALL_SETTLES_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("all"), None);
    }
}
