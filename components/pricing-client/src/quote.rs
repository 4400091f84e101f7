//! Parses what the calculator answers; it may be a merchant's own, so nothing is taken on trust.

use pricing_rules::{
    Discount, Inconsistency, Problem, Quote, QuotedLine, QuotedShipping, RejectedCoupon, Rejection, Tax,
};

use crate::wit;

impl From<wit::Problem> for Problem {
    fn from(problem: wit::Problem) -> Self {
        match problem {
            wit::Problem::InvalidInput(reason) => Self::InvalidInput(reason),
            wit::Problem::Overflow => Self::Overflow,
            wit::Problem::UnknownCurrency(code) => Self::UnknownCurrency(code),
        }
    }
}

impl TryFrom<wit::Quote> for Quote {
    type Error = Inconsistency;

    fn try_from(quote: wit::Quote) -> Result<Self, Inconsistency> {
        Ok(Self {
            currency: commerce::parse_currency(&quote.currency).map_err(unreadable)?,
            prices_include_tax: quote.prices_include_tax,
            lines: all(quote.lines)?,
            shipping: quote.shipping.map(QuotedShipping::try_from).transpose()?,
            discounts: all(quote.discounts)?,
            taxes: all(quote.taxes)?,
            subtotal: parse(quote.subtotal)?,
            discount_total: parse(quote.discount_total)?,
            shipping_total: parse(quote.shipping_total)?,
            tax_total: parse(quote.tax_total)?,
            total: parse(quote.total)?,
            rejected_coupons: all(quote.rejected_coupons)?,
        })
    }
}

impl TryFrom<wit::QuotedLine> for QuotedLine {
    type Error = Inconsistency;

    fn try_from(line: wit::QuotedLine) -> Result<Self, Inconsistency> {
        Ok(Self {
            id: line.id,
            quantity: parse(line.quantity)?,
            unit_price: parse(line.unit_price)?,
            subtotal: parse(line.subtotal)?,
            discounts: all(line.discounts)?,
            discount_total: parse(line.discount_total)?,
            net: parse(line.net)?,
            tax: parse(line.tax)?,
            gross: parse(line.gross)?,
            taxes: all(line.taxes)?,
        })
    }
}

impl TryFrom<wit::QuotedShipping> for QuotedShipping {
    type Error = Inconsistency;

    fn try_from(shipping: wit::QuotedShipping) -> Result<Self, Inconsistency> {
        Ok(Self {
            method: shipping.method,
            price: parse(shipping.price)?,
            discounts: all(shipping.discounts)?,
            discount_total: parse(shipping.discount_total)?,
            net: parse(shipping.net)?,
            tax: parse(shipping.tax)?,
            gross: parse(shipping.gross)?,
            taxes: all(shipping.taxes)?,
        })
    }
}

impl TryFrom<wit::Discount> for Discount {
    type Error = Inconsistency;

    fn try_from(discount: wit::Discount) -> Result<Self, Inconsistency> {
        Ok(Self {
            promotion: discount.promotion,
            reason: discount.reason,
            coupon: discount.coupon,
            amount: parse(discount.amount)?,
        })
    }
}

impl TryFrom<wit::Tax> for Tax {
    type Error = Inconsistency;

    fn try_from(tax: wit::Tax) -> Result<Self, Inconsistency> {
        Ok(Self { name: tax.name, rate: parse(tax.rate)?, base: parse(tax.base)?, amount: parse(tax.amount)? })
    }
}

impl TryFrom<wit::RejectedCoupon> for RejectedCoupon {
    type Error = Inconsistency;

    fn try_from(coupon: wit::RejectedCoupon) -> Result<Self, Inconsistency> {
        Ok(Self { code: coupon.code, reason: coupon.reason.try_into()? })
    }
}

impl TryFrom<wit::Rejection> for Rejection {
    type Error = Inconsistency;

    fn try_from(rejection: wit::Rejection) -> Result<Self, Inconsistency> {
        Ok(match rejection {
            wit::Rejection::Unknown => Self::Unknown,
            wit::Rejection::NotStarted => Self::NotStarted,
            wit::Rejection::Ended => Self::Ended,
            wit::Rejection::OtherGroup => Self::OtherGroup,
            wit::Rejection::NothingInScope => Self::NothingInScope,
            wit::Rejection::SubtotalBelow(min) => Self::SubtotalBelow { min: parse(min)? },
            wit::Rejection::QuantityBelow(min) => Self::QuantityBelow { min },
            wit::Rejection::NotCombinable => Self::NotCombinable,
            wit::Rejection::WithoutEffect => Self::WithoutEffect,
        })
    }
}

fn all<T, P: TryFrom<T, Error = Inconsistency>>(items: Vec<T>) -> Result<Vec<P>, Inconsistency> {
    items.into_iter().map(P::try_from).collect()
}

/// Parses a value whose error says by itself what is wrong.
fn parse<T, P: TryFrom<T, Error: std::fmt::Display>>(value: T) -> Result<P, Inconsistency> {
    P::try_from(value).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> Inconsistency {
    Inconsistency::Unreadable(error.to_string())
}
