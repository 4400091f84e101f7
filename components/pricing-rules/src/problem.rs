//! Why a cart has no quote.

/// Why a cart has no quote, as the interface has it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The cart contradicts the interface; a mistake of the caller or of who keeps the rules.
    #[error("the cart cannot be priced: {0}")]
    InvalidInput(String),
    /// An amount of the quote would be above [`commerce::AMOUNT_MAX`].
    #[error("an amount of the quote would be above {} minor units", commerce::AMOUNT_MAX)]
    Overflow,
    /// Not an ISO 4217 code.
    #[error("{0:?} is not an ISO 4217 currency code")]
    UnknownCurrency(String),
}
