//! Has carts priced by the calculator behind `bodega:pricing/calculator@1.0.0`, and checks what it answers.
//!
//! In a component that is whatever the application is composed with (`cart` writes the cart down, `quote` parses the
//! answer). Natively, where tests run, it is `pricing-rules` itself.

#[cfg(target_family = "wasm")]
mod cart;
mod error;
#[cfg(target_family = "wasm")]
mod quote;

pub use error::PricingError;
pub use pricing_rules::{
    AMOUNT_MAX, Amount, AmountError, BasisPoints, COUPONS_MAX, Cart, Country, Currency, Destination, Discount,
    Inconsistency, LINES_MAX, Line, PROMOTIONS_MAX, PartsPerMillion, PlaceError, Postcode, Problem, Promotion,
    Quantity, Quote, QuotedLine, QuotedShipping, RateError, Region, RejectedCoupon, Rejection, Reward, Scope, Shipping,
    Sku, Stacking, TAX_RATES_MAX, Tax, TaxRate, Timestamp, TimestampError,
};

/// Prices a cart.
///
/// A quote that does not add up, or that is about something else, is refused as [`PricingError::Inconsistent`].
pub fn price(cart: &Cart) -> Result<Quote, PricingError> {
    let quote = calculate(cart)?;
    quote.verify(cart)?;
    Ok(quote)
}

#[cfg(not(target_family = "wasm"))]
use pricing_rules::price as calculate;

#[cfg(target_family = "wasm")]
fn calculate(cart: &Cart) -> Result<Quote, PricingError> {
    Ok(wit::price(&cart.into()).map_err(Problem::from)?.try_into()?)
}

#[cfg(target_family = "wasm")]
use bindings::bodega::pricing::calculator as wit;

#[cfg(target_family = "wasm")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit/bodega-pricing@1.0.0", world: "priced" });
}
