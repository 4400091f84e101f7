//! The order of computing: discounts, then taxes, then sums.

use std::collections::BTreeMap;

use crate::amount::Amount;
use crate::cart::{Basket, Cart, Line};
use crate::problem::Problem;
use crate::promotion::Promotion;
use crate::quote::{Discount, Quote, QuotedLine, QuotedShipping};
use crate::reward::Amounts;
use crate::stacking::{Reduction, reduce};
use crate::tax::{TaxTable, summary};

/// Prices a cart. The same cart has the same quote, in whatever order its parts are listed.
pub fn price(cart: &Cart) -> Result<Quote, Problem> {
    cart.check()?;
    let basket = Basket::new(cart);
    let (reduction, rejected_coupons) = reduce(&basket)?;
    let table = TaxTable::new(&cart.tax_rates, cart.destination.as_ref(), cart.prices_include_tax);

    let mut lines = BTreeMap::new();
    for (index, line) in basket.lines.iter().enumerate() {
        lines.insert(line.id.as_str(), quoted_line(line, index, &reduction, &table)?);
    }
    let lines: Vec<_> = cart.lines.iter().filter_map(|line| lines.remove(line.id.as_str())).collect();
    let shipping = quoted_shipping(cart, &reduction, &table)?;
    let discounts = discounts(&reduction, Amounts::total)?;

    let taxes = lines.iter().flat_map(|line| &line.taxes);
    let taxes = summary(taxes.chain(shipping.iter().flat_map(|shipping| &shipping.taxes)))?;
    let gross = lines.iter().map(|line| line.gross).chain(shipping.iter().map(|shipping| shipping.gross));
    Ok(Quote {
        currency: cart.currency,
        prices_include_tax: cart.prices_include_tax,
        subtotal: Amount::sum(lines.iter().map(|line| line.subtotal))?,
        discount_total: total(&discounts)?,
        shipping_total: shipping.as_ref().map_or(Amount::ZERO, |shipping| shipping.price),
        tax_total: Amount::sum(taxes.iter().map(|tax| tax.amount))?,
        total: Amount::sum(gross)?,
        lines,
        shipping,
        discounts,
        taxes,
        rejected_coupons,
    })
}

fn quoted_line(
    line: &Line,
    index: usize,
    reduction: &Reduction<'_>,
    table: &TaxTable<'_>,
) -> Result<QuotedLine, Problem> {
    let discounts = discounts(reduction, |taken| Ok(taken.lines[index]))?;
    let taxed = table.line(reduction.left.lines[index], &line.tax_class)?;
    Ok(QuotedLine {
        id: line.id.clone(),
        quantity: line.quantity,
        unit_price: line.unit_price,
        subtotal: line.subtotal()?,
        discount_total: total(&discounts)?,
        discounts,
        net: taxed.net,
        tax: taxed.tax,
        gross: taxed.gross,
        taxes: taxed.taxes,
    })
}

fn quoted_shipping(
    cart: &Cart,
    reduction: &Reduction<'_>,
    table: &TaxTable<'_>,
) -> Result<Option<QuotedShipping>, Problem> {
    let Some(shipping) = &cart.shipping else { return Ok(None) };
    let discounts = discounts(reduction, |taken| Ok(taken.shipping))?;
    let taxed = table.shipping(reduction.left.shipping, &shipping.tax_class)?;
    Ok(Some(QuotedShipping {
        method: shipping.method.clone(),
        price: shipping.price,
        discount_total: total(&discounts)?,
        discounts,
        net: taxed.net,
        tax: taxed.tax,
        gross: taxed.gross,
        taxes: taxed.taxes,
    }))
}

/// What each promotion took off, by `part` of what it took off in all.
fn discounts(
    reduction: &Reduction<'_>,
    part: impl Fn(&Amounts) -> Result<Amount, Problem>,
) -> Result<Vec<Discount>, Problem> {
    let mut discounts = Vec::new();
    for (promotion, taken) in &reduction.applied {
        let amount = part(taken)?;
        if !amount.is_zero() {
            discounts.push(discount(promotion, amount));
        }
    }
    Ok(discounts)
}

fn discount(promotion: &Promotion, amount: Amount) -> Discount {
    Discount {
        promotion: promotion.id.clone(),
        reason: promotion.title.clone(),
        coupon: promotion.coupon.clone(),
        amount,
    }
}

fn total(discounts: &[Discount]) -> Result<Amount, Problem> {
    Amount::sum(discounts.iter().map(|discount| discount.amount))
}
