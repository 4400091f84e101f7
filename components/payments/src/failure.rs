//! Why money did not move, in words that a shopper may read.

use serde::{Deserialize, Serialize};

/// Why money did not come, in words that a shopper may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: &str, message: &str) -> Self {
        Self { code: code.to_owned(), message: message.to_owned() }
    }

    /// The bank said no, and why is not for the shopper to know.
    pub(crate) fn declined() -> Self {
        Self::new("declined", "The card was declined. Use another one, or ask your bank.")
    }

    pub(crate) fn insufficient_funds() -> Self {
        Self::new("insufficient_funds", "There is not enough money on the card. Use another one.")
    }

    pub(crate) fn authentication_failed() -> Self {
        Self::new(
            "authentication_failed",
            "Your bank could not confirm that it is you. Try again, or use another card.",
        )
    }

    pub(crate) fn invalid_payment_method() -> Self {
        Self::new("invalid_payment_method", "The payment details cannot be used. Enter them again.")
    }

    /// Not the shopper's fault.
    pub(crate) fn provider() -> Self {
        Self::new("provider_error", "The payment could not be made. Nothing was charged.")
    }

    /// What was held could not be taken.
    pub(crate) fn capture() -> Self {
        Self::new("capture_failed", "The payment could not be completed. Nothing was charged.")
    }
}
