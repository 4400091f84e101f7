//! What only the catalog refuses, and the answer to each case.

use axum::http::StatusCode;
use commerce::{Problem, Sku};
use serde::Serialize;
use service::Error;

use crate::redemption::RefusedCoupon;

/// A SKU of which less is left than was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Short {
    pub(crate) sku: String,
    pub(crate) requested: u32,
    pub(crate) available: u32,
}

/// Why stock or coupons cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("units of {0:?} are reserved by open orders")]
    Reserved(String),
    #[error("only {available} of {sku:?} can be taken away")]
    StockShort { sku: String, available: u32 },
    #[error("{} SKUs are short", .0.len())]
    OutOfStock(Vec<Short>),
    #[error("the order {0:?} reserved other lines")]
    ReservationDiffers(String),
    #[error("the order gave back other lines as {0:?}")]
    RestockDiffers(String),
    #[error("the reservation is {0}, and only what was sold can be given back")]
    NotCommitted(&'static str),
    #[error("{} SKUs would be given back more often than they were sold", .0.len())]
    RestockExceedsOrder(Vec<Sku>),
    #[error("the order {0:?} redeemed other coupons")]
    RedemptionDiffers(String),
    #[error("{} coupons cannot be used", .0.len())]
    CouponsRefused(Vec<RefusedCoupon>),
    #[error("the reservation is {0} and cannot become {1}")]
    ReservationClosed(String, &'static str),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let problem = match refusal {
            Refusal::Reserved(_) => conflict("stock-reserved", "Stock is reserved"),
            Refusal::StockShort { available, .. } => {
                conflict("stock-short", "There is not that much stock").member("available", available)
            }
            Refusal::OutOfStock(short) => conflict("out-of-stock", "Not enough stock")
                .member("short", serde_json::to_value(short).unwrap_or_default()),
            Refusal::ReservationDiffers(_) => conflict("reservation-differs", "The order has another reservation"),
            Refusal::RestockDiffers(_) => conflict("restock-differs", "The restock has other lines"),
            Refusal::NotCommitted(state) => {
                conflict("reservation-not-committed", "The order was not sold").member("state", state)
            }
            Refusal::RestockExceedsOrder(skus) => conflict("restock-exceeds-order", "More than was sold")
                .member("skus", serde_json::to_value(skus).unwrap_or_default()),
            Refusal::RedemptionDiffers(_) => conflict("redemption-differs", "The order has another redemption"),
            Refusal::CouponsRefused(coupons) => conflict("coupons-refused", "A coupon cannot be used")
                .member("coupons", serde_json::to_value(coupons).unwrap_or_default()),
            Refusal::ReservationClosed(state, _) => {
                conflict("reservation-closed", "The reservation has ended").member("state", state)
            }
        };
        problem.detail(detail).into()
    }
}
