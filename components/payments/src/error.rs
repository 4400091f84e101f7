//! What only payments refuse, and the answer to each case.

use axum::http::StatusCode;
use commerce::Problem;
use service::Error;

/// Why money cannot move.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the order {0} has an intent over another amount")]
    IntentDiffers(String),
    #[error("the intent is {state} and cannot be {wanted}")]
    IntentState { state: &'static str, wanted: &'static str },
    #[error("the refund {0} has another amount")]
    RefundDiffers(String),
    #[error("{refundable} minor units may still be refunded")]
    RefundExceeds { refundable: i64 },
    #[error("the signature is {0}")]
    Signature(&'static str),
    #[error("the provider {0:?} is not set up")]
    NoProvider(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let problem = match refusal {
            Refusal::IntentDiffers(_) => conflict("intent-differs", "The order has another intent"),
            Refusal::IntentState { state, .. } => {
                conflict("intent-state", "The state of the intent does not allow this").member("state", state)
            }
            Refusal::RefundDiffers(_) => conflict("refund-differs", "The refund is another one"),
            Refusal::RefundExceeds { refundable } => {
                conflict("refund-exceeds", "More than what is left of the capture").member("refundable", refundable)
            }
            Refusal::Signature(_) => {
                Problem::new(StatusCode::BAD_REQUEST, "bad-signature", "The signature does not hold")
            }
            Refusal::NoProvider(_) => {
                Problem::new(StatusCode::NOT_FOUND, "no-such-provider", "The provider is not set up")
            }
        };
        problem.detail(detail).into()
    }
}
