//! What was sold at which prices: the cart as the calculator priced it, with all that a receipt shows. It is an order's
//! own record, whatever becomes of the catalog later. Pure.

mod check;

use std::collections::BTreeMap;

use catalog_client::Line;
use commerce::{Currency, Id, Money, MoneyError, Quantity, Sku};
use pricing_client::{Amount, Discount, PartsPerMillion, Quote, QuotedLine, RejectedCoupon, Rejection, Tax};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A priced cart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Priced {
    pub(crate) lines: Vec<SoldLine>,
    pub(crate) shipping: SoldShipping,
    /// What each promotion took off, of lines and of shipping together.
    pub(crate) discounts: Vec<SoldDiscount>,
    /// What each tax comes to, over lines and shipping together.
    pub(crate) taxes: Vec<SoldTax>,
    /// The codes that took something off.
    pub(crate) coupons: Vec<String>,
    pub(crate) totals: Totals,
}

/// What all of it comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) subtotal: Money,
    pub(crate) discount_total: Money,
    pub(crate) shipping_total: Money,
    pub(crate) tax_total: Money,
    pub(crate) total: Money,
    pub(crate) prices_include_tax: bool,
}

/// Units of one variant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoldLine {
    pub(crate) sku: Sku,
    pub(crate) product_id: Id,
    pub(crate) slug: String,
    pub(crate) title: String,
    pub(crate) image: Option<String>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) quantity: Quantity,
    pub(crate) unit_price: Money,
    pub(crate) subtotal: Money,
    pub(crate) discounts: Vec<SoldDiscount>,
    pub(crate) discount_total: Money,
    pub(crate) net: Money,
    pub(crate) tax: Money,
    pub(crate) taxes: Vec<SoldTax>,
    /// What the shopper pays for the line.
    pub(crate) gross: Money,
}

/// The delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoldShipping {
    pub(crate) method: Id,
    pub(crate) name: String,
    pub(crate) delivery: Delivery,
    pub(crate) price: Money,
    pub(crate) discounts: Vec<SoldDiscount>,
    pub(crate) discount_total: Money,
    pub(crate) net: Money,
    pub(crate) tax: Money,
    pub(crate) taxes: Vec<SoldTax>,
    /// What the shopper pays for it.
    pub(crate) gross: Money,
}

/// When a parcel arrives, as dates such as `2026-03-02`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) earliest: String,
    pub(crate) latest: String,
}

/// What shipping promised.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Promise {
    pub(crate) method: Id,
    pub(crate) name: String,
    pub(crate) price: Money,
    pub(crate) tax_class: String,
    pub(crate) delivery: Delivery,
}

/// What a promotion took off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoldDiscount {
    pub(crate) promotion: String,
    /// As the shopper sees it.
    pub(crate) reason: String,
    pub(crate) coupon: Option<String>,
    pub(crate) amount: Money,
}

/// What a tax comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SoldTax {
    pub(crate) name: String,
    /// In millionths.
    pub(crate) rate: PartsPerMillion,
    pub(crate) base: Money,
    pub(crate) amount: Money,
}

/// What cannot be told of a price.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// The quote is about something else than the lines.
    #[error("the quote has other lines than the cart, or no shipping")]
    Lines,
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl Priced {
    /// The lines and the delivery at the prices of a quote for them.
    pub(crate) fn new(lines: &[Line], promise: &Promise, quote: &Quote) -> Result<Self, Mismatch> {
        let in_currency = InCurrency(quote.currency);
        let shipping = quote.shipping.as_ref().ok_or(Mismatch::Lines)?;
        let mut coupons: Vec<String> = quote.discounts.iter().filter_map(|discount| discount.coupon.clone()).collect();
        coupons.sort();
        coupons.dedup();
        Ok(Self {
            lines: in_currency.lines(lines, quote)?,
            shipping: SoldShipping {
                method: promise.method,
                name: promise.name.clone(),
                delivery: promise.delivery.clone(),
                price: in_currency.money(shipping.price)?,
                discounts: in_currency.discounts(&shipping.discounts)?,
                discount_total: in_currency.money(shipping.discount_total)?,
                net: in_currency.money(shipping.net)?,
                tax: in_currency.money(shipping.tax)?,
                taxes: in_currency.taxes(&shipping.taxes)?,
                gross: in_currency.money(shipping.gross)?,
            },
            discounts: in_currency.discounts(&quote.discounts)?,
            taxes: in_currency.taxes(&quote.taxes)?,
            coupons,
            totals: Totals {
                subtotal: in_currency.money(quote.subtotal)?,
                discount_total: in_currency.money(quote.discount_total)?,
                shipping_total: in_currency.money(quote.shipping_total)?,
                tax_total: in_currency.money(quote.tax_total)?,
                total: in_currency.money(quote.total)?,
                prices_include_tax: quote.prices_include_tax,
            },
        })
    }
}

/// The codes that take nothing off, as JSON. What is missing is told beside the reason: an amount, or a number of units.
pub(crate) fn rejected(coupons: &[RejectedCoupon], currency: Currency) -> Vec<Value> {
    let rejected = |coupon: &RejectedCoupon| {
        let mut rejected = json!(coupon);
        if let Rejection::SubtotalBelow { min } = coupon.reason {
            rejected["min"] = json!({"amount": min, "currency": currency.code()});
        }
        rejected
    };
    coupons.iter().map(rejected).collect()
}

/// Amounts of a quote as money.
struct InCurrency(Currency);

impl InCurrency {
    fn money(&self, amount: Amount) -> Result<Money, MoneyError> {
        Money::from_minor(amount.minor(), self.0)
    }

    fn lines(&self, lines: &[Line], quote: &Quote) -> Result<Vec<SoldLine>, Mismatch> {
        if lines.len() != quote.lines.len() {
            return Err(Mismatch::Lines);
        }
        let line = |(line, quoted): (&Line, &QuotedLine)| {
            let variant = line.variant.as_ref().filter(|_| line.sku.as_str() == quoted.id).ok_or(Mismatch::Lines)?;
            Ok(SoldLine {
                sku: line.sku.clone(),
                product_id: variant.product_id,
                slug: variant.slug.clone(),
                title: variant.title.clone(),
                image: variant.image.clone(),
                attributes: variant.attributes.clone(),
                quantity: quoted.quantity,
                unit_price: self.money(quoted.unit_price)?,
                subtotal: self.money(quoted.subtotal)?,
                discounts: self.discounts(&quoted.discounts)?,
                discount_total: self.money(quoted.discount_total)?,
                net: self.money(quoted.net)?,
                tax: self.money(quoted.tax)?,
                taxes: self.taxes(&quoted.taxes)?,
                gross: self.money(quoted.gross)?,
            })
        };
        lines.iter().zip(&quote.lines).map(line).collect()
    }

    fn discounts(&self, discounts: &[Discount]) -> Result<Vec<SoldDiscount>, MoneyError> {
        let discount = |discount: &Discount| {
            Ok(SoldDiscount {
                promotion: discount.promotion.clone(),
                reason: discount.reason.clone(),
                coupon: discount.coupon.clone(),
                amount: self.money(discount.amount)?,
            })
        };
        discounts.iter().map(discount).collect()
    }

    fn taxes(&self, taxes: &[Tax]) -> Result<Vec<SoldTax>, MoneyError> {
        let tax = |tax: &Tax| {
            let (base, amount) = (self.money(tax.base)?, self.money(tax.amount)?);
            Ok(SoldTax { name: tax.name.clone(), rate: tax.rate, base, amount })
        };
        taxes.iter().map(tax).collect()
    }
}
