//! What only orders refuse, and the answer to each case.

use axum::http::{HeaderValue, StatusCode, header};
use commerce::Problem;
use service::Error;

use crate::number::RandomError;
use crate::state::State;

/// Why an order cannot be placed or changed so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the checkout with this key is being worked on; ask again in a moment")]
    InProgress,
    #[error("there is nothing in the cart")]
    EmptyCart,
    #[error("there is no cart of this token, or its time is up")]
    NoCart,
    #[error("{} lines cannot be ordered", .0.as_array().map_or(0, Vec::len))]
    NotForSale(serde_json::Value),
    #[error("an order that is {from} cannot become {to}")]
    NotThere { from: State, to: State },
    #[error("an order that is {0} is called off by the shop alone, or no longer")]
    NotCancellable(State),
    #[error("{refundable} minor units may still be refunded")]
    RefundExceeds { refundable: i64 },
    #[error("{left} units of {sku:?} may still be refunded")]
    UnitsExceed { sku: String, left: u32 },
    #[error("the delivery was refunded before")]
    ShippingRefunded,
    #[error("an order has at most {0} refunds")]
    TooManyRefunds(u32),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let order_state = |state: State| {
            let next: Vec<&str> = state.next().iter().map(|state| state.as_str()).collect();
            conflict("order-state", "The state of the order does not allow this")
                .member("state", state.as_str())
                .member("next", next)
        };
        let problem = match refusal {
            Refusal::InProgress => conflict("checkout-in-progress", "The checkout is being worked on")
                .header(header::RETRY_AFTER, HeaderValue::from_static("1")),
            Refusal::EmptyCart => conflict("cart-empty", "The cart is empty"),
            Refusal::NoCart => conflict("cart-gone", "There is no such cart"),
            Refusal::NotForSale(lines) => {
                conflict("not-for-sale", "The shop does not sell this").member("lines", lines)
            }
            Refusal::NotThere { from, .. } => order_state(from),
            Refusal::NotCancellable(state) => order_state(state),
            Refusal::RefundExceeds { refundable } => {
                conflict("refund-exceeds", "More than what is left of the order").member("refundable", refundable)
            }
            Refusal::UnitsExceed { sku, left } => {
                conflict("refund-units-exceed", "More units than are left").member("sku", sku).member("left", left)
            }
            Refusal::ShippingRefunded => conflict("shipping-refunded", "The delivery was refunded before"),
            Refusal::TooManyRefunds(_) => conflict("too-many-refunds", "The order has too many refunds"),
            Refusal::Random(_) => {
                eprintln!("the service failed: {detail}");
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed").into();
            }
        };
        problem.detail(detail).into()
    }
}
