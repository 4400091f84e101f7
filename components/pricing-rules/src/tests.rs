//! Carts with quotes that were computed by hand, and what holds for every cart.

mod coupons;
mod json;
mod limits;
mod promotions;
mod properties;
mod stacking;
mod taxes;
mod verify;

use commerce::{Currency, Quantity};

use crate::{
    Amount, BasisPoints, Cart, Destination, Line, PartsPerMillion, Postcode, Promotion, Quote, Region, Reward, Scope,
    Shipping, Stacking, TaxRate, Timestamp, price,
};

const NOW_S: u64 = 1_800_000_000;

fn amount(minor: i64) -> Amount {
    Amount::try_from(minor).unwrap()
}

fn points(points: u32) -> BasisPoints {
    BasisPoints::try_from(points).unwrap()
}

fn count(count: u32) -> Quantity {
    Quantity::try_from(count).unwrap()
}

/// A cart of dollars with a line for each unit price and quantity; the ids are `a`, `b` and so on, the SKUs `A`, `B`.
fn cart(lines: &[(i64, u32)]) -> Cart {
    let line = |(index, (price, quantity)): (usize, &(i64, u32))| {
        let id = char::from(b'a' + u8::try_from(index).unwrap()).to_string();
        Line {
            sku: id.to_uppercase().try_into().unwrap(),
            product: String::new(),
            categories: Vec::new(),
            quantity: count(*quantity),
            unit_price: amount(*price),
            tax_class: "standard".to_owned(),
            id,
        }
    };
    Cart {
        currency: Currency::USD,
        lines: lines.iter().enumerate().map(line).collect(),
        customer_group: String::new(),
        destination: None,
        coupons: Vec::new(),
        shipping: None,
        promotions: Vec::new(),
        tax_rates: Vec::new(),
        prices_include_tax: false,
        now: Timestamp::from_unix_s(NOW_S),
    }
}

/// A promotion for everybody and everything.
fn promotion(id: &str, reward: Reward) -> Promotion {
    Promotion {
        id: id.to_owned(),
        title: format!("Because of {id}"),
        coupon: None,
        reward,
        scope: Scope::All,
        customer_groups: Vec::new(),
        min_subtotal: None,
        starts_at: None,
        ends_at: None,
        priority: 0,
        stacking: Stacking::Stackable,
    }
}

fn percentage(id: &str, basis_points: u32) -> Promotion {
    promotion(id, Reward::Percentage { basis_points: points(basis_points) })
}

fn only(skus: &[&str], mut promotion: Promotion) -> Promotion {
    let skus = skus.iter().map(|sku| sku.to_string().try_into().unwrap()).collect();
    promotion.scope = Scope::Skus { skus };
    promotion
}

fn with_coupon(code: &str, mut promotion: Promotion) -> Promotion {
    promotion.coupon = Some(code.to_owned());
    promotion
}

fn shipping(price: i64) -> Shipping {
    Shipping { method: "post".to_owned(), price: amount(price), tax_class: "standard".to_owned() }
}

fn destination(country: &str, region: &str, postcode: &str) -> Destination {
    Destination {
        country: country.to_owned().try_into().unwrap(),
        region: Region::try_from(region.to_owned()).ok(),
        postcode: Postcode::try_from(postcode.to_owned()).ok(),
    }
}

/// A rate of tax class `standard`, on shipping too; an empty region or prefix is none.
fn tax(name: &str, country: &str, region: &str, prefix: &str, parts_per_million: u32) -> TaxRate {
    let place = destination(country, region, prefix);
    TaxRate {
        name: name.to_owned(),
        country: place.country,
        region: place.region,
        postcode_prefix: place.postcode,
        tax_class: "standard".to_owned(),
        rate: PartsPerMillion::try_from(parts_per_million).unwrap(),
        applies_to_shipping: true,
    }
}

/// Prices a cart, and checks that the quote adds up.
fn quote(cart: &Cart) -> Quote {
    let quote = price(cart).unwrap();
    quote.verify(cart).unwrap();
    quote
}

/// What was taken off each line.
fn off(quote: &Quote) -> Vec<i64> {
    quote.lines.iter().map(|line| line.discount_total.minor()).collect()
}
