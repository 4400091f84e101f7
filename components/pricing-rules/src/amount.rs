//! An amount of the cart's currency that cannot be negative.

use commerce::AMOUNT_MAX;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// 0 to [`AMOUNT_MAX`] minor units; as JSON, a plain integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Amount(i64);

/// The number is not an amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount is 0 to {AMOUNT_MAX} minor units, not {0}")]
pub struct AmountError(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The number of minor units.
    pub fn minor(self) -> i64 {
        self.0
    }

    /// Whether it is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount that a computation came to.
    pub(crate) fn computed(minor: i128) -> Result<Self, Problem> {
        match i64::try_from(minor) {
            Ok(minor @ 0..=AMOUNT_MAX) => Ok(Self(minor)),
            _ => Err(Problem::Overflow),
        }
    }

    /// The sum of two.
    pub(crate) fn plus(self, other: Self) -> Result<Self, Problem> {
        Self::computed(i128::from(self.0) + i128::from(other.0))
    }

    /// What is left without `part`; nothing if that is more.
    pub(crate) fn less(self, part: Self) -> Self {
        Self((self.0 - part.0).max(0))
    }

    /// So many times the amount.
    pub(crate) fn times(self, count: u32) -> Result<Self, Problem> {
        Self::computed(i128::from(self.0) * i128::from(count))
    }

    /// The sum of all.
    pub(crate) fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, Problem> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl TryFrom<i64> for Amount {
    type Error = AmountError;

    fn try_from(minor: i64) -> Result<Self, AmountError> {
        match minor {
            0..=AMOUNT_MAX => Ok(Self(minor)),
            _ => Err(AmountError(minor)),
        }
    }
}

impl From<Amount> for i64 {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}
