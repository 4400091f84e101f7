//! What is to be priced, and by which rules.

use std::collections::BTreeSet;

use commerce::{Currency, Quantity, Sku};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::place::Destination;
use crate::problem::Problem;
use crate::promotion::Promotion;
use crate::tax::TaxRate;
use crate::time::Timestamp;

/// Most lines of a cart.
pub const LINES_MAX: usize = 500;
/// Most coupons that may be entered for one cart.
pub const COUPONS_MAX: usize = 20;
/// Most promotions that a shop may have at a time.
pub const PROMOTIONS_MAX: usize = 500;
/// Most tax rates that may come with one cart.
pub const TAX_RATES_MAX: usize = 5_000;

/// What is to be priced, and by which rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cart {
    /// The currency of all amounts.
    #[serde(with = "crate::currency")]
    pub currency: Currency,
    /// At most [`LINES_MAX`].
    pub lines: Vec<Line>,
    /// The group that the shopper belongs to; empty for none.
    #[serde(default)]
    pub customer_group: String,
    /// Where the goods go. While it is not known, no tax is due.
    #[serde(default)]
    pub destination: Option<Destination>,
    /// The codes that the shopper has entered, at most [`COUPONS_MAX`].
    #[serde(default)]
    pub coupons: Vec<String>,
    /// The delivery that the shopper has chosen.
    #[serde(default)]
    pub shipping: Option<Shipping>,
    /// All that the shop has, whether they apply or not; at most [`PROMOTIONS_MAX`].
    #[serde(default)]
    pub promotions: Vec<Promotion>,
    /// All that the shop knows, whether they apply or not; at most [`TAX_RATES_MAX`].
    #[serde(default)]
    pub tax_rates: Vec<TaxRate>,
    /// Whether prices, shipping and fixed discounts have their tax in them.
    #[serde(default)]
    pub prices_include_tax: bool,
    /// When the cart is priced.
    pub now: Timestamp,
}

/// A number of units of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The caller's key, by which the quote names the line; each is used once.
    pub id: String,
    /// The merchant's key of the thing.
    pub sku: Sku,
    /// The product that the SKU is a variant of; empty if it does not matter.
    #[serde(default)]
    pub product: String,
    /// The categories of the product, as paths such as `shoes/boots`.
    #[serde(default)]
    pub categories: Vec<String>,
    /// How many.
    pub quantity: Quantity,
    /// What one costs.
    pub unit_price: Amount,
    /// Which tax rates apply.
    pub tax_class: String,
}

/// The delivery that the shopper has chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shipping {
    /// The caller's key.
    pub method: String,
    /// What it costs.
    pub price: Amount,
    /// Which tax rates apply.
    pub tax_class: String,
}

/// A cart with its lines in an order of their own, so that nothing depends on how they are listed.
pub(crate) struct Basket<'a> {
    pub(crate) cart: &'a Cart,
    /// By id.
    pub(crate) lines: Vec<&'a Line>,
}

impl<'a> Basket<'a> {
    pub(crate) fn new(cart: &'a Cart) -> Self {
        let mut lines: Vec<_> = cart.lines.iter().collect();
        lines.sort_by_key(|line| &line.id);
        Self { cart, lines }
    }
}

impl Line {
    /// The listed price of all units.
    pub(crate) fn subtotal(&self) -> Result<Amount, Problem> {
        self.unit_price.times(self.quantity.get())
    }
}

impl Cart {
    /// What its parts cannot check by themselves: how many there are, and that each is there once.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        at_most("lines", self.lines.len(), LINES_MAX)?;
        at_most("coupons", self.coupons.len(), COUPONS_MAX)?;
        at_most("promotions", self.promotions.len(), PROMOTIONS_MAX)?;
        at_most("tax rates", self.tax_rates.len(), TAX_RATES_MAX)?;
        once("line", self.lines.iter().map(|line| &line.id))?;
        once("promotion", self.promotions.iter().map(|promotion| &promotion.id))?;
        once("tax rate", self.tax_rates.iter().map(TaxRate::key))
    }
}

fn at_most(what: &str, count: usize, max: usize) -> Result<(), Problem> {
    if count > max {
        return Err(Problem::InvalidInput(format!("there are {count} {what}, and at most {max} are allowed")));
    }
    Ok(())
}

fn once<K: Ord + std::fmt::Debug>(what: &str, keys: impl Iterator<Item = K>) -> Result<(), Problem> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if let Some(key) = seen.replace(key) {
            return Err(Problem::InvalidInput(format!("the {what} {key:?} is there twice")));
        }
    }
    Ok(())
}
