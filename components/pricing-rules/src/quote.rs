//! What a cart costs.

use commerce::{Currency, Quantity};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::rate::PartsPerMillion;

/// What a cart costs.
///
/// `total` is the gross of all lines and of shipping. It is also `subtotal` - `discount_total` + `shipping_total`,
/// and + `tax_total` if prices do not include tax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The currency of all amounts.
    #[serde(with = "crate::currency")]
    pub currency: Currency,
    /// Whether `subtotal`, `discount_total` and `shipping_total` have their tax in them.
    pub prices_include_tax: bool,
    /// In the order of the cart's lines.
    pub lines: Vec<QuotedLine>,
    /// The chosen delivery, if there is one.
    pub shipping: Option<QuotedShipping>,
    /// What each promotion took off lines and shipping together, in the order in which they applied.
    pub discounts: Vec<Discount>,
    /// What each tax comes to over lines and shipping together, by name and rate.
    pub taxes: Vec<Tax>,
    /// The lines at their unit prices.
    pub subtotal: Amount,
    /// All that was taken off, of lines and of shipping.
    pub discount_total: Amount,
    /// The shipping before discounts.
    pub shipping_total: Amount,
    /// All taxes.
    pub tax_total: Amount,
    /// What the shopper pays.
    pub total: Amount,
    /// The entered codes that take nothing off, in the order in which they were entered.
    pub rejected_coupons: Vec<RejectedCoupon>,
}

/// What a line costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedLine {
    /// The key of the cart's line.
    pub id: String,
    /// How many.
    pub quantity: Quantity,
    /// What one costs.
    pub unit_price: Amount,
    /// `quantity` times `unit_price`.
    pub subtotal: Amount,
    /// What each promotion took off.
    pub discounts: Vec<Discount>,
    /// What all of them took off.
    pub discount_total: Amount,
    /// Without tax, after discounts.
    pub net: Amount,
    /// All taxes of the line.
    pub tax: Amount,
    /// `net` + `tax`.
    pub gross: Amount,
    /// What each tax comes to.
    pub taxes: Vec<Tax>,
}

/// What shipping costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedShipping {
    /// The caller's key of the delivery.
    pub method: String,
    /// Before discounts.
    pub price: Amount,
    /// What each promotion took off.
    pub discounts: Vec<Discount>,
    /// What all of them took off.
    pub discount_total: Amount,
    /// Without tax, after discounts.
    pub net: Amount,
    /// All taxes of shipping.
    pub tax: Amount,
    /// `net` + `tax`.
    pub gross: Amount,
    /// What each tax comes to.
    pub taxes: Vec<Tax>,
}

/// What a promotion took off; never zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    /// The promotion's id.
    pub promotion: String,
    /// The promotion's title.
    pub reason: String,
    /// The promotion's coupon, if it has one.
    pub coupon: Option<String>,
    /// How much.
    pub amount: Amount,
}

/// What a tax comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tax {
    /// As shown to the shopper.
    pub name: String,
    /// The rate.
    pub rate: PartsPerMillion,
    /// The net amount that is taxed.
    pub base: Amount,
    /// The tax; it may be zero.
    pub amount: Amount,
}

/// A code that takes nothing off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedCoupon {
    /// As it was entered.
    pub code: String,
    /// Why.
    #[serde(flatten)]
    pub reason: Rejection,
}

/// Why a code takes nothing off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Rejection {
    /// No promotion has it.
    Unknown,
    /// The promotion is yet to begin.
    NotStarted,
    /// The promotion is over.
    Ended,
    /// It is for other customers.
    OtherGroup,
    /// No line is in the promotion's scope.
    NothingInScope,
    /// The prices have to come to more.
    SubtotalBelow {
        /// To this.
        min: Amount,
    },
    /// More units in scope are needed.
    QuantityBelow {
        /// So many.
        min: u32,
    },
    /// What applies instead takes off as much or more, and does not go together with it.
    NotCombinable,
    /// There is nothing left to take off.
    WithoutEffect,
}
