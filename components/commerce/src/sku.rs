//! A stock keeping unit and how many of it.

use serde::{Deserialize, Serialize};

/// Longest SKU that is accepted, in bytes.
pub const SKU_BYTES_MAX: usize = 64;
/// Most units that one line or one stock figure may name.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// The merchant's own key of a sellable variant: visible ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

/// The text is not a SKU.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a SKU is 1 to {SKU_BYTES_MAX} visible ASCII characters without spaces, not {0:?}")]
pub struct SkuError(String);

impl Sku {
    /// The text of the SKU.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sku {
    type Error = SkuError;

    fn try_from(text: String) -> Result<Self, SkuError> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > SKU_BYTES_MAX || !visible {
            return Err(SkuError(text.chars().take(SKU_BYTES_MAX).collect()));
        }
        Ok(Self(text))
    }
}

impl From<Sku> for String {
    fn from(sku: Sku) -> Self {
        sku.0
    }
}

/// A count of at least one and at most [`QUANTITY_MAX`] units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// The number is not a quantity.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is 1 to {QUANTITY_MAX}, not {0}")]
pub struct QuantityError(u32);

impl Quantity {
    /// The number of units.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Quantity {
    type Error = QuantityError;

    fn try_from(count: u32) -> Result<Self, QuantityError> {
        match count {
            1..=QUANTITY_MAX => Ok(Self(count)),
            _ => Err(QuantityError(count)),
        }
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_of_a_sku() {
        assert!(Sku::try_from("BOOT-42/red".to_owned()).is_ok());
        for bad in [String::new(), "a b".into(), "é".into(), "a\n".into(), "x".repeat(SKU_BYTES_MAX + 1)] {
            assert!(Sku::try_from(bad).is_err());
        }
    }

    #[test]
    fn edges_of_a_quantity() {
        assert!(Quantity::try_from(0).is_err());
        assert!(Quantity::try_from(1).is_ok());
        assert!(Quantity::try_from(QUANTITY_MAX).is_ok());
        assert!(Quantity::try_from(QUANTITY_MAX + 1).is_err());
        assert!(serde_json::from_str::<Quantity>("-1").is_err());
    }
}
