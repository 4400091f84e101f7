//! What shipping has to know of lines to say what it costs to send them.

use commerce::{Currency, Money};
use serde::Serialize;

use crate::Line;

/// What is to be carried, in the form in which shipping is asked about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parcel {
    /// Of all units, in grams.
    pub weight_g: u32,
    /// What they cost by the list, before discounts and taxes.
    pub value: Money,
}

/// The lines are more than any parcel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParcelError {
    /// In grams.
    #[error("the weight is too large")]
    Weight,
    /// In minor units.
    #[error("the value is too large")]
    Value,
}

impl Parcel {
    pub(crate) fn of(lines: &[Line], currency: Currency) -> Result<Self, ParcelError> {
        let (mut weight_g, mut value) = (0_u64, 0_i128);
        let sold = lines.iter().filter(|line| line.is_sold());
        for (line, variant) in sold.filter_map(|line| Some((line, line.variant.as_ref()?))) {
            weight_g += u64::from(variant.weight_g) * u64::from(line.quantity.get());
            value += i128::from(variant.price.minor()) * i128::from(line.quantity.get());
        }
        let value = i64::try_from(value).ok().and_then(|value| Money::from_minor(value, currency).ok());
        Ok(Self {
            weight_g: u32::try_from(weight_g).map_err(|_| ParcelError::Weight)?,
            value: value.ok_or(ParcelError::Value)?,
        })
    }
}
