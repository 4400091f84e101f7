//! A cart as a shopper sees it: what its lines are, what they cost now, and what is wrong with them.

use catalog_client::{Line, Offer, Parcel, Terms};
use commerce::{Currency, rfc3339};
use pricing_client::{Amount, Discount, PricingError, Problem, Quote, QuotedLine, RejectedCoupon, Rejection, Tax};
use serde_json::{Value, json};
use service::Error;
use sha2::{Digest as _, Sha256};

use crate::cart::Cart;
use crate::error::Refusal;
use crate::owner::Owner;

/// Bytes of the digest that tells two representations of one version apart.
const TAG_BYTES: usize = 8;

/// A cart as it is shown.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) cart: Value,
    /// `"<version>-<digest>"`: the version is what updates are held against, and the digest also covers what the
    /// catalog says, so that a cart whose prices have changed is not the one that was read.
    pub(crate) etag: String,
}

/// Has the cart of an owner priced, and shows it.
pub(crate) fn shown(cart: &Cart, owner: &Owner, offer: &Offer) -> Result<Shown, Error> {
    let lines = offer.check(cart.wishes());
    let terms = Terms {
        customer_group: owner.customer_group().to_owned(),
        destination: cart.destination.clone(),
        coupons: cart.coupons.clone(),
        ..Terms::default()
    };
    let quote = match pricing_client::price(&offer.cart(&lines, terms)) {
        Ok(quote) => Some(quote),
        // A shopper may wish for more than any amount of money. It is shown, so that it can be changed.
        Err(PricingError::Problem(Problem::Overflow)) => None,
        Err(error) => return Err(Refusal::Pricing(error).into()),
    };
    let parcel = offer.parcel(&lines).ok();
    let cart_json = describe(cart, &lines, parcel, quote.as_ref(), Money(offer.currency()));
    let digest = Sha256::digest(cart_json.to_string());
    Ok(Shown { cart: cart_json, etag: format!("\"{}-{}\"", cart.version, hex::encode(&digest[..TAG_BYTES])) })
}

/// Writes amounts of one currency.
#[derive(Clone, Copy)]
struct Money(Currency);

impl Money {
    fn of(self, amount: Amount) -> Value {
        json!({"amount": amount.minor(), "currency": self.0.code()})
    }
}

fn describe(cart: &Cart, lines: &[Line], parcel: Option<Parcel>, quote: Option<&Quote>, money: Money) -> Value {
    let quoted = |line: &Line| quote?.lines.iter().find(|quoted| quoted.id == line.sku.as_str());
    let units: u64 = cart.lines.iter().map(|line| u64::from(line.quantity.get())).sum();
    let orderable = quote.is_some() && !lines.is_empty() && lines.iter().all(Line::can_be_ordered);
    json!({
        "currency": money.0.code(),
        "lines": lines.iter().map(|line| described(line, quoted(line), money)).collect::<Vec<_>>(),
        "units": units,
        "coupons": cart.coupons,
        "rejected_coupons": list(quote.map(|quote| &quote.rejected_coupons), |coupon| rejected(coupon, money)),
        "destination": cart.destination,
        // What shipping is asked about; there is none of what is too much for any.
        "parcel": parcel,
        // It is chosen at checkout.
        "shipping": null,
        "discounts": list(quote.map(|quote| &quote.discounts), |one| discount(one, money)),
        "taxes": list(quote.map(|quote| &quote.taxes), |one| tax(one, money)),
        "totals": quote.map(|quote| totals(quote, money)),
        "problems": if quote.is_some() { json!([]) } else { json!([{"kind": "total_too_large"}]) },
        "can_be_ordered": orderable,
        "expires_at": (cart.version != 0).then(|| rfc3339(cart.expires_at_ms())),
    })
}

fn described(line: &Line, quoted: Option<&QuotedLine>, money: Money) -> Value {
    let product = line.variant.as_ref().map(|variant| {
        json!({
            "id": variant.product_id,
            "slug": variant.slug,
            "title": variant.title,
            "image": variant.image,
            "attributes": variant.attributes,
        })
    });
    json!({
        "sku": line.sku,
        "quantity": line.quantity,
        "product": product,
        "available": line.variant.as_ref().filter(|_| line.is_sold()).map_or(0, |variant| variant.available),
        "unit_price": line.variant.as_ref().filter(|_| line.is_sold()).map(|variant| variant.price),
        "amounts": quoted.map(|quoted| amounts(quoted, money)),
        "problems": line.faults,
    })
}

fn amounts(line: &QuotedLine, money: Money) -> Value {
    json!({
        "subtotal": money.of(line.subtotal),
        "discounts": list(Some(&line.discounts), |one| discount(one, money)),
        "discount_total": money.of(line.discount_total),
        "net": money.of(line.net),
        "tax": money.of(line.tax),
        "gross": money.of(line.gross),
        "taxes": list(Some(&line.taxes), |one| tax(one, money)),
    })
}

fn totals(quote: &Quote, money: Money) -> Value {
    json!({
        "prices_include_tax": quote.prices_include_tax,
        "subtotal": money.of(quote.subtotal),
        "discount_total": money.of(quote.discount_total),
        "shipping_total": money.of(quote.shipping_total),
        "tax_total": money.of(quote.tax_total),
        "total": money.of(quote.total),
    })
}

fn discount(discount: &Discount, money: Money) -> Value {
    json!({
        "promotion": discount.promotion,
        "reason": discount.reason,
        "coupon": discount.coupon,
        "amount": money.of(discount.amount),
    })
}

fn tax(tax: &Tax, money: Money) -> Value {
    json!({"name": tax.name, "rate": tax.rate, "base": money.of(tax.base), "amount": money.of(tax.amount)})
}

/// What is missing is told beside the reason: an amount, or a number of units.
fn rejected(coupon: &RejectedCoupon, money: Money) -> Value {
    let mut rejected = json!(coupon);
    if let Rejection::SubtotalBelow { min } = coupon.reason {
        rejected["min"] = money.of(min);
    }
    rejected
}

fn list<T>(items: Option<&Vec<T>>, describe: impl Fn(&T) -> Value) -> Vec<Value> {
    items.into_iter().flatten().map(describe).collect()
}
