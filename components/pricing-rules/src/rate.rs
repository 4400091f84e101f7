//! Rates as integers: what a promotion takes off, and what a tax adds.

use serde::{Deserialize, Serialize};

/// A rate that does not exist.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// A discount of nothing, or of more than everything.
    #[error("a discount is 1 to {max} basis points, not {0}", max = BasisPoints::WHOLE)]
    BasisPoints(u32),
    /// A tax of more than the price.
    #[error("a tax rate is 0 to {max} parts per million, not {0}", max = PartsPerMillion::WHOLE)]
    PartsPerMillion(u32),
}

/// A discount in hundredths of a percent, 1 to 10,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct BasisPoints(u32);

impl BasisPoints {
    /// All of it, in basis points.
    pub const WHOLE: u32 = 10_000;

    /// The number of basis points.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for BasisPoints {
    type Error = RateError;

    fn try_from(points: u32) -> Result<Self, RateError> {
        match points {
            1..=Self::WHOLE => Ok(Self(points)),
            _ => Err(RateError::BasisPoints(points)),
        }
    }
}

impl From<BasisPoints> for u32 {
    fn from(rate: BasisPoints) -> Self {
        rate.0
    }
}

/// A tax rate in parts per million, 0 to 1,000,000: 88,750 is 8.875 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartsPerMillion(u32);

impl PartsPerMillion {
    /// All of it, in parts per million.
    pub const WHOLE: u32 = 1_000_000;

    /// The number of parts per million.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for PartsPerMillion {
    type Error = RateError;

    fn try_from(parts: u32) -> Result<Self, RateError> {
        match parts {
            0..=Self::WHOLE => Ok(Self(parts)),
            _ => Err(RateError::PartsPerMillion(parts)),
        }
    }
}

impl From<PartsPerMillion> for u32 {
    fn from(rate: PartsPerMillion) -> Self {
        rate.0
    }
}
