//! What a quote is asked for.

use commerce::{Currency, Money};
use serde::Deserialize;
use service::Violation;

/// Heaviest parcel, in grams.
pub(crate) const WEIGHT_G_MAX: u32 = 10_000_000;

/// What is to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parcel {
    pub(crate) weight_g: u32,
    pub(crate) value: Money,
}

impl Parcel {
    /// Says all that is wrong.
    pub(crate) fn checked(self, currency: Currency) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        if self.weight_g > WEIGHT_G_MAX {
            wrong.push(Violation::new("parcel.weight_g", format!("at most {WEIGHT_G_MAX} grams")));
        }
        if self.value.minor() < 0 || self.value.currency() != currency {
            wrong.push(Violation::new("parcel.value", format!("0 or more {}", currency.code())));
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }
}
