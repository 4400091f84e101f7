//! What only carts refuse, and the answer to each case.

use axum::http::{HeaderValue, StatusCode, header};
use commerce::{Problem, QUANTITY_MAX, Sku};
use pricing_client::{COUPONS_MAX, PricingError};
use service::Error;

use crate::store::StoreError;

/// Why a cart cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("send X-Cart-Token, which POST /api/cart gives, or the bearer token of an account")]
    NoOwner,
    #[error("there is no cart of this token, or its time is up; make a new one")]
    NoSuchCart,
    #[error("the cart is on its way into an account; repeat POST /api/cart/merge")]
    Merging,
    #[error("the shop does not sell {:?}", .0.as_str())]
    NotForSale(Sku),
    #[error("a cart has at most {0} lines")]
    Full(usize),
    #[error("a line has at most {QUANTITY_MAX} units")]
    QuantityExceeds,
    #[error("a cart has at most {COUPONS_MAX} coupons")]
    TooManyCoupons,
    #[error("others change the cart all the time; try again")]
    Busy,
    #[error("the cart was not priced: {0}")]
    Pricing(#[from] PricingError),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("there are no random bytes")]
    NoRandomness,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let problem = match refusal {
            Refusal::NoOwner => Problem::new(StatusCode::BAD_REQUEST, "no-cart-token", "The request names no cart"),
            Refusal::NoSuchCart => Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing is here"),
            Refusal::Merging => conflict("cart-merging", "The cart is being merged"),
            Refusal::NotForSale(sku) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-for-sale", "The shop does not sell this")
                    .member("sku", sku.as_str())
            }
            Refusal::Full(lines_max) => conflict("cart-full", "The cart is full").member("lines_max", lines_max),
            Refusal::QuantityExceeds => {
                conflict("quantity-exceeds", "That is too many").member("quantity_max", QUANTITY_MAX)
            }
            Refusal::TooManyCoupons => {
                conflict("too-many-coupons", "There are enough coupons").member("coupons_max", COUPONS_MAX)
            }
            Refusal::Busy => unavailable("cart-busy", "The cart is busy"),
            Refusal::Pricing(error) => {
                let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
                eprintln!("{detail}{}", source.unwrap_or_default());
                // What is wrong with the calculator or the shop's rules is for the log.
                return unavailable("pricing-failed", "The cart cannot be priced now").into();
            }
            Refusal::Store(_) | Refusal::NoRandomness => {
                eprintln!("the service failed: {detail}");
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed").into();
            }
        };
        problem.detail(detail).into()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Refusal::Store(error).into()
    }
}

fn unavailable(kind: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, title)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
