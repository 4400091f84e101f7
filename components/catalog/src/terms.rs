//! Terms: whatever a product can be filtered and counted by, as pairs of facet and value.

use std::collections::BTreeSet;

use commerce::{Currency, Money};

use crate::category::Taxonomy;
use crate::product::Product;

/// A facet and one of its values.
pub(crate) type Term = (String, String);

/// Facets with a meaning of their own. Attributes are facets too, after [`ATTRIBUTE_PREFIX`].
pub(crate) const CATEGORY: &str = "category";
pub(crate) const BRAND: &str = "brand";
pub(crate) const PRICE: &str = "price";
pub(crate) const IN_STOCK: &str = "in_stock";
pub(crate) const ATTRIBUTE_PREFIX: &str = "attr.";

/// The terms of a product: none while it is archived. A category brings its ancestors along, so that a filter
/// by a category finds its whole subtree.
pub(crate) fn terms(product: &Product, taxonomy: &Taxonomy) -> BTreeSet<Term> {
    let mut terms = BTreeSet::new();
    if product.archived {
        return terms;
    }
    let mut add = |facet: &str, value: &str| {
        terms.insert((facet.to_owned(), value.to_owned()));
    };
    for category in &product.categories {
        taxonomy.lineage(category.as_str()).for_each(|slug| add(CATEGORY, slug));
    }
    if let Some(brand) = &product.brand {
        add(BRAND, brand);
    }
    if let Some(price) = product.price() {
        add(PRICE, &price_range(price).0.to_string());
    }
    if product.in_stock() {
        add(IN_STOCK, "true");
    }
    for (name, value) in product.all_attributes() {
        add(&format!("{ATTRIBUTE_PREFIX}{name}"), value);
    }
    terms
}

/// The range that a price falls in, as its lower bound and the bound above it, in minor units.
///
/// Bounds are 0 and then 1, 2, 5, 10, 20, 50 ... whole units of the currency: fine for the cheap, coarse for
/// the dear, and the same in every catalogue.
pub(crate) fn price_range(price: Money) -> (i64, i64) {
    let mut lower = 0;
    for upper in bounds(price.currency()) {
        if price.minor() < upper {
            return (lower, upper);
        }
        lower = upper;
    }
    (lower, i64::MAX)
}

/// The bound above a range whose lower bound is given.
pub(crate) fn price_range_end(lower: i64, currency: Currency) -> Option<i64> {
    bounds(currency).find(|bound| *bound > lower)
}

fn bounds(currency: Currency) -> impl Iterator<Item = i64> {
    let unit = 10_i64.pow(currency.exponent().map_or(0, u32::from));
    (0..12).flat_map(move |power| [1, 2, 5].map(|step| step * 10_i64.pow(power) * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_ranges_meet_without_gap() {
        let range = |minor| price_range(Money::from_minor(minor, Currency::USD).unwrap());
        assert_eq!(range(0), (0, 100));
        assert_eq!(range(99), (0, 100));
        assert_eq!(range(100), (100, 200));
        assert_eq!(range(1999), (1000, 2000));
        assert_eq!(range(2000), (2000, 5000));
        assert_eq!(range(commerce::AMOUNT_MAX), (commerce::AMOUNT_MAX, 2 * commerce::AMOUNT_MAX));
        assert_eq!(price_range_end(1000, Currency::USD), Some(2000));
        assert_eq!(price_range(Money::from_minor(1999, Currency::JPY).unwrap()), (1000, 2000));
    }
}
