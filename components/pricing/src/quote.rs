//! Writes a quote down as the interface has it.

use pricing_rules::{Discount, Problem, Quote, QuotedLine, QuotedShipping, RejectedCoupon, Rejection, Tax};

use crate::wit;

impl From<Quote> for wit::Quote {
    fn from(quote: Quote) -> Self {
        Self {
            currency: quote.currency.code().to_owned(),
            prices_include_tax: quote.prices_include_tax,
            lines: all(quote.lines),
            shipping: quote.shipping.map(Into::into),
            discounts: all(quote.discounts),
            taxes: all(quote.taxes),
            subtotal: quote.subtotal.minor(),
            discount_total: quote.discount_total.minor(),
            shipping_total: quote.shipping_total.minor(),
            tax_total: quote.tax_total.minor(),
            total: quote.total.minor(),
            rejected_coupons: all(quote.rejected_coupons),
        }
    }
}

impl From<QuotedLine> for wit::QuotedLine {
    fn from(line: QuotedLine) -> Self {
        Self {
            id: line.id,
            quantity: line.quantity.get(),
            unit_price: line.unit_price.minor(),
            subtotal: line.subtotal.minor(),
            discounts: all(line.discounts),
            discount_total: line.discount_total.minor(),
            net: line.net.minor(),
            tax: line.tax.minor(),
            gross: line.gross.minor(),
            taxes: all(line.taxes),
        }
    }
}

impl From<QuotedShipping> for wit::QuotedShipping {
    fn from(shipping: QuotedShipping) -> Self {
        Self {
            method: shipping.method,
            price: shipping.price.minor(),
            discounts: all(shipping.discounts),
            discount_total: shipping.discount_total.minor(),
            net: shipping.net.minor(),
            tax: shipping.tax.minor(),
            gross: shipping.gross.minor(),
            taxes: all(shipping.taxes),
        }
    }
}

impl From<Discount> for wit::Discount {
    fn from(discount: Discount) -> Self {
        Self {
            promotion: discount.promotion,
            reason: discount.reason,
            coupon: discount.coupon,
            amount: discount.amount.minor(),
        }
    }
}

impl From<Tax> for wit::Tax {
    fn from(tax: Tax) -> Self {
        Self { name: tax.name, rate: tax.rate.get(), base: tax.base.minor(), amount: tax.amount.minor() }
    }
}

impl From<RejectedCoupon> for wit::RejectedCoupon {
    fn from(coupon: RejectedCoupon) -> Self {
        Self { code: coupon.code, reason: coupon.reason.into() }
    }
}

impl From<Rejection> for wit::Rejection {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unknown => Self::Unknown,
            Rejection::NotStarted => Self::NotStarted,
            Rejection::Ended => Self::Ended,
            Rejection::OtherGroup => Self::OtherGroup,
            Rejection::NothingInScope => Self::NothingInScope,
            Rejection::SubtotalBelow { min } => Self::SubtotalBelow(min.minor()),
            Rejection::QuantityBelow { min } => Self::QuantityBelow(min),
            Rejection::NotCombinable => Self::NotCombinable,
            Rejection::WithoutEffect => Self::WithoutEffect,
        }
    }
}

impl From<Problem> for wit::Problem {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::InvalidInput(reason) => Self::InvalidInput(reason),
            Problem::Overflow => Self::Overflow,
            Problem::UnknownCurrency(code) => Self::UnknownCurrency(code),
        }
    }
}

fn all<T, W: From<T>>(items: Vec<T>) -> Vec<W> {
    items.into_iter().map(W::from).collect()
}
