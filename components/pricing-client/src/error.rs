//! Why a cart could not be priced.

use pricing_rules::{Inconsistency, Problem};

/// Why a cart could not be priced.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PricingError {
    /// The calculator refused the cart.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The calculator's quote contradicts itself or the cart; nothing may be sold by it.
    #[error("the calculator is not to be trusted")]
    Inconsistent(#[from] Inconsistency),
}
