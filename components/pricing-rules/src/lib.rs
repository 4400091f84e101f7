//! What a cart costs: a pure function from a cart and the shop's rules to a quote.
//!
//! `price` (the order of computing) -> `stacking` (which promotions apply together) -> `reward` (what one takes off)
//! and `tax`. They compute with `amount`, `rate`, `rounding` and `allocation`, over what `cart`, `promotion`, `place`
//! and `time` describe. `verify` checks a quote, whoever made it.
//!
//! The rules are told once, for all implementations, in `wit/bodega-pricing@1.0.0/pricing.wit`. As JSON, amounts are
//! integers of minor units, and times RFC 3339.

mod allocation;
mod amount;
mod cart;
mod currency;
mod place;
mod price;
mod problem;
mod promotion;
mod quote;
mod rate;
mod reward;
mod rounding;
mod stacking;
mod tax;
#[cfg(test)]
mod tests;
mod time;
mod verify;

pub use amount::{Amount, AmountError};
pub use cart::{COUPONS_MAX, Cart, LINES_MAX, Line, PROMOTIONS_MAX, Shipping, TAX_RATES_MAX};
pub use place::{Country, Destination, PlaceError, Postcode, Region};
pub use price::price;
pub use problem::Problem;
pub use promotion::{Promotion, Reward, Scope, Stacking};
pub use quote::{Discount, Quote, QuotedLine, QuotedShipping, RejectedCoupon, Rejection, Tax};
pub use rate::{BasisPoints, PartsPerMillion, RateError};
pub use tax::TaxRate;
pub use time::{Timestamp, TimestampError};
pub use verify::Inconsistency;

// What callers need to fill in a cart.
pub use commerce::{AMOUNT_MAX, Currency, Quantity, Sku};
