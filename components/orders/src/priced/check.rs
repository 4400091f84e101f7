//! Whether what was sold comes to its total: it is made a quote again, and checked as one. Pure.

use commerce::{Currency, Money};
use pricing_client::{Amount, AmountError, Discount, Inconsistency, Quote, QuotedLine, QuotedShipping, Tax};

use super::{Priced, SoldDiscount, SoldTax};

/// How figures that were sold at contradict each other.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("an amount is in {}, and the total in {}", .found.code(), .expected.code())]
    Currency { expected: Currency, found: Currency },
    #[error(transparent)]
    Amount(#[from] AmountError),
    #[error(transparent)]
    Sum(#[from] Inconsistency),
}

impl Priced {
    /// Whether lines, discounts, taxes and the delivery add up to the total.
    pub(crate) fn adds_up(&self) -> Result<(), Wrong> {
        Ok(self.quote()?.adds_up()?)
    }

    /// The quote that it was made of, but for the codes that took nothing off.
    fn quote(&self) -> Result<Quote, Wrong> {
        let totals = &self.totals;
        let currency = totals.total.currency();
        let of = Of(currency);
        let lines = self.lines.iter().map(|line| {
            Ok(QuotedLine {
                id: line.sku.as_str().to_owned(),
                quantity: line.quantity,
                unit_price: of.amount(line.unit_price)?,
                subtotal: of.amount(line.subtotal)?,
                discounts: of.discounts(&line.discounts)?,
                discount_total: of.amount(line.discount_total)?,
                net: of.amount(line.net)?,
                tax: of.amount(line.tax)?,
                gross: of.amount(line.gross)?,
                taxes: of.taxes(&line.taxes)?,
            })
        });
        let shipping = &self.shipping;
        Ok(Quote {
            currency,
            prices_include_tax: totals.prices_include_tax,
            lines: lines.collect::<Result<_, Wrong>>()?,
            shipping: Some(QuotedShipping {
                method: shipping.method.to_string(),
                price: of.amount(shipping.price)?,
                discounts: of.discounts(&shipping.discounts)?,
                discount_total: of.amount(shipping.discount_total)?,
                net: of.amount(shipping.net)?,
                tax: of.amount(shipping.tax)?,
                gross: of.amount(shipping.gross)?,
                taxes: of.taxes(&shipping.taxes)?,
            }),
            discounts: of.discounts(&self.discounts)?,
            taxes: of.taxes(&self.taxes)?,
            subtotal: of.amount(totals.subtotal)?,
            discount_total: of.amount(totals.discount_total)?,
            shipping_total: of.amount(totals.shipping_total)?,
            tax_total: of.amount(totals.tax_total)?,
            total: of.amount(totals.total)?,
            rejected_coupons: Vec::new(),
        })
    }
}

/// Amounts of one currency.
struct Of(Currency);

impl Of {
    fn amount(&self, money: Money) -> Result<Amount, Wrong> {
        match money.currency() == self.0 {
            true => Ok(Amount::try_from(money.minor())?),
            false => Err(Wrong::Currency { expected: self.0, found: money.currency() }),
        }
    }

    fn discounts(&self, discounts: &[SoldDiscount]) -> Result<Vec<Discount>, Wrong> {
        let discount = |discount: &SoldDiscount| {
            Ok(Discount {
                promotion: discount.promotion.clone(),
                reason: discount.reason.clone(),
                coupon: discount.coupon.clone(),
                amount: self.amount(discount.amount)?,
            })
        };
        discounts.iter().map(discount).collect()
    }

    fn taxes(&self, taxes: &[SoldTax]) -> Result<Vec<Tax>, Wrong> {
        let tax = |tax: &SoldTax| {
            let (base, amount) = (self.amount(tax.base)?, self.amount(tax.amount)?);
            Ok(Tax { name: tax.name.clone(), rate: tax.rate, base, amount })
        };
        taxes.iter().map(tax).collect()
    }
}
