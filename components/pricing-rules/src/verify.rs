//! Checks a quote against itself and its cart, whoever made it: a shop may bring its own calculator.

use std::collections::BTreeMap;

use crate::amount::Amount;
use crate::cart::Cart;
use crate::quote::{Discount, Quote, Tax};
use crate::rate::PartsPerMillion;

/// How a quote contradicts itself or its cart.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// A value that no quote may have.
    #[error("the quote is not readable: {0}")]
    Unreadable(String),
    /// It is about something else than the cart.
    #[error("the quote is for another {0} than the cart")]
    OtherThanCart(&'static str),
    /// The list of the whole differs from those of its parts.
    #[error("the {0} of the quote are not those of its lines and shipping")]
    OtherThanItsParts(&'static str),
    /// Figures that do not add up.
    #[error("{what} of the quote should be {expected} minor units and is {found}")]
    Sum {
        /// Which figure.
        what: &'static str,
        /// What it should be.
        expected: i128,
        /// What it is.
        found: i128,
    },
}

/// What the parts of a quote have in common: a line, or shipping.
struct Part<'a> {
    listed: Amount,
    discounts: &'a [Discount],
    discount_total: Amount,
    net: Amount,
    tax: Amount,
    gross: Amount,
    taxes: &'a [Tax],
}

impl Quote {
    /// Whether everything adds up, and is about `cart`. Prices and rates are the calculator's own affair.
    pub fn verify(&self, cart: &Cart) -> Result<(), Inconsistency> {
        self.is_about(cart)?;
        self.adds_up()
    }

    /// Whether every figure is what its parts come to, where the cart is no longer known.
    pub fn adds_up(&self) -> Result<(), Inconsistency> {
        for line in &self.lines {
            let product = i128::from(line.unit_price.minor()) * i128::from(line.quantity.get());
            same("the subtotal of a line", product, line.subtotal)?;
        }
        let parts: Vec<_> = self.parts().collect();
        for part in &parts {
            part.verify(self.prices_include_tax)?;
        }

        let lines = || self.lines.iter();
        same("the subtotal", sum(lines().map(|line| line.subtotal)), self.subtotal)?;
        same("the discount total", sum(parts.iter().map(|part| part.discount_total)), self.discount_total)?;
        same("the shipping total", sum(self.shipping.iter().map(|shipping| shipping.price)), self.shipping_total)?;
        same("the tax total", sum(parts.iter().map(|part| part.tax)), self.tax_total)?;
        same("the total", sum(parts.iter().map(|part| part.gross)), self.total)?;

        if by_promotion(&self.discounts) != by_promotion(parts.iter().flat_map(|part| part.discounts)) {
            return Err(Inconsistency::OtherThanItsParts("discounts"));
        }
        if by_rate(&self.taxes) != by_rate(parts.iter().flat_map(|part| part.taxes)) {
            return Err(Inconsistency::OtherThanItsParts("taxes"));
        }
        Ok(())
    }

    fn is_about(&self, cart: &Cart) -> Result<(), Inconsistency> {
        let quoted = self.lines.iter().map(|line| (&line.id, line.quantity));
        let methods = (
            self.shipping.as_ref().map(|shipping| &shipping.method),
            cart.shipping.as_ref().map(|shipping| &shipping.method),
        );
        if self.currency != cart.currency {
            return Err(Inconsistency::OtherThanCart("currency"));
        }
        if self.prices_include_tax != cart.prices_include_tax {
            return Err(Inconsistency::OtherThanCart("kind of prices"));
        }
        if !quoted.eq(cart.lines.iter().map(|line| (&line.id, line.quantity))) {
            return Err(Inconsistency::OtherThanCart("list of lines"));
        }
        if methods.0 != methods.1 {
            return Err(Inconsistency::OtherThanCart("shipping method"));
        }
        Ok(())
    }

    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let lines = self.lines.iter().map(|line| Part {
            listed: line.subtotal,
            discounts: &line.discounts,
            discount_total: line.discount_total,
            net: line.net,
            tax: line.tax,
            gross: line.gross,
            taxes: &line.taxes,
        });
        let shipping = self.shipping.iter().map(|shipping| Part {
            listed: shipping.price,
            discounts: &shipping.discounts,
            discount_total: shipping.discount_total,
            net: shipping.net,
            tax: shipping.tax,
            gross: shipping.gross,
            taxes: &shipping.taxes,
        });
        lines.chain(shipping)
    }
}

impl Part<'_> {
    fn verify(&self, prices_include_tax: bool) -> Result<(), Inconsistency> {
        same(
            "the discount of a line or of shipping",
            sum(self.discounts.iter().map(|discount| discount.amount)),
            self.discount_total,
        )?;
        same("the tax of a line or of shipping", sum(self.taxes.iter().map(|tax| tax.amount)), self.tax)?;
        same("the gross of a line or of shipping", sum([self.net, self.tax]), self.gross)?;
        let discounted = i128::from(self.listed.minor()) - i128::from(self.discount_total.minor());
        match prices_include_tax {
            true => same("the gross of a line or of shipping", discounted, self.gross),
            false => same("the net of a line or of shipping", discounted, self.net),
        }
    }
}

/// Wider than an amount, so that no quote can make it overflow.
fn sum(amounts: impl IntoIterator<Item = Amount>) -> i128 {
    amounts.into_iter().map(|amount| i128::from(amount.minor())).sum()
}

fn by_promotion<'a>(discounts: impl IntoIterator<Item = &'a Discount>) -> BTreeMap<&'a str, i128> {
    let mut sums = BTreeMap::new();
    for discount in discounts {
        *sums.entry(discount.promotion.as_str()).or_default() += i128::from(discount.amount.minor());
    }
    sums
}

/// The base and the amount of each tax.
fn by_rate<'a>(taxes: impl IntoIterator<Item = &'a Tax>) -> BTreeMap<(&'a str, PartsPerMillion), (i128, i128)> {
    let mut sums = BTreeMap::new();
    for tax in taxes {
        let (base, amount): &mut (i128, i128) = sums.entry((tax.name.as_str(), tax.rate)).or_default();
        *base += i128::from(tax.base.minor());
        *amount += i128::from(tax.amount.minor());
    }
    sums
}

fn same(what: &'static str, expected: i128, found: Amount) -> Result<(), Inconsistency> {
    match i128::from(found.minor()) {
        found if found == expected => Ok(()),
        found => Err(Inconsistency::Sum { what, expected, found }),
    }
}
