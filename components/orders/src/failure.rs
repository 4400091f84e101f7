//! Why a checkout came to nothing, as it is kept with the order and told to the shopper.

use axum::http::StatusCode;
use commerce::Problem;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Why a checkout came to nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(crate) enum Failure {
    /// Somebody else was quicker.
    OutOfStock {
        /// What is short, as the catalog told it.
        short: Value,
    },
    /// A coupon was used too often.
    CouponRefused {
        /// Which, and why, as the catalog told it.
        coupons: Value,
    },
    /// The bank or the payment provider refused.
    Payment {
        /// Stable, as payments told it.
        reason: String,
        /// For the shopper.
        message: String,
    },
}

impl Failure {
    /// Stable.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::OutOfStock { .. } => "out_of_stock",
            Self::CouponRefused { .. } => "coupon_refused",
            Self::Payment { reason, .. } => reason,
        }
    }

    /// In words for the shopper.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::OutOfStock { .. } => "Something in the cart is sold out. Nothing was charged.",
            Self::CouponRefused { .. } => "A coupon can no longer be used. Nothing was charged.",
            Self::Payment { message, .. } => message,
        }
    }

    /// The answer to who wanted to check out; the same one whenever they ask.
    pub(crate) fn problem(&self) -> Problem {
        let problem = match self {
            Self::OutOfStock { short } => out_of_stock(short.clone()),
            Self::CouponRefused { coupons } => {
                Problem::new(StatusCode::CONFLICT, "coupon-refused", "A coupon cannot be used")
                    .member("coupons", coupons.clone())
            }
            Self::Payment { reason, .. } => {
                Problem::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", "The payment was refused")
                    .member("code", reason.as_str())
            }
        };
        problem.detail(self.message())
    }
}

/// The answer where less is left than was wanted.
pub(crate) fn out_of_stock(short: Value) -> Problem {
    Problem::new(StatusCode::CONFLICT, "out-of-stock", "Not enough stock").member("short", short)
}

/// The answer to who wanted to check out, when the order was called off before it was paid.
pub(crate) fn called_off() -> Problem {
    Problem::new(StatusCode::CONFLICT, "order-cancelled", "The order was cancelled")
        .detail("the order was cancelled before it was paid; to buy, check out with a new key")
}
