//! What holds for every cart.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::{Discount, QuotedLine};

fn any_line() -> impl Strategy<Value = (i64, u32, &'static str, &'static str)> {
    // Small amounts are where rounding hurts, and equal ones where the odd unit could go to either.
    let price = prop_oneof![Just(33_i64), 0..200_i64, 0..200_000_i64];
    (price, 1..6_u32, select(vec!["standard", "reduced", "exempt"]), select(vec!["shoes", "shoes/boots", "hats"]))
}

fn any_reward() -> impl Strategy<Value = Reward> {
    let points = || prop_oneof![1..=10_000_u32, Just(10_000)].prop_map(points);
    let small = || prop_oneof![0..50_i64, 0..50_000_i64].prop_map(amount);
    prop_oneof![
        points().prop_map(|basis_points| Reward::Percentage { basis_points }),
        small().prop_map(|amount| Reward::FixedTotal { amount }),
        small().prop_map(|amount| Reward::FixedEach { amount }),
        (1..4_u32, 1..4_u32, points()).prop_map(|(buy, get, basis_points)| Reward::BuyXGetY {
            buy: count(buy),
            get: count(get),
            basis_points
        }),
        (small(), points()).prop_map(|(min, basis_points)| Reward::ThresholdPercentage { min, basis_points }),
        (small(), small()).prop_map(|(min, amount)| Reward::ThresholdFixed { min, amount }),
        Just(Reward::FreeShipping {}),
    ]
}

fn any_promotion() -> impl Strategy<Value = Promotion> {
    let scope = prop_oneof![
        Just(Scope::All),
        select(vec!["A", "B", "C"]).prop_map(|sku| only(&[sku], percentage("", 1)).scope),
        select(vec!["shoes", "shoes/boots"])
            .prop_map(|path| Scope::Categories { categories: [path.to_owned()].into() }),
    ];
    let stacking = prop_oneof![
        3 => Just(Stacking::Stackable),
        1 => Just(Stacking::Exclusive),
        1 => select(vec!["g", "h"]).prop_map(|group| Stacking::BestOf { group: group.to_owned() }),
    ];
    let coupon = proptest::option::of(select(vec!["ONE".to_owned(), "TWO".to_owned()]));
    let min_subtotal = proptest::option::of((0..100_000_i64).prop_map(amount));
    (any_reward(), scope, stacking, coupon, min_subtotal, -1..2_i32).prop_map(
        |(reward, scope, stacking, coupon, min_subtotal, priority)| Promotion {
            scope,
            stacking,
            coupon,
            min_subtotal,
            priority,
            ..promotion("", reward)
        },
    )
}

fn any_tax() -> impl Strategy<Value = TaxRate> {
    let place = (select(vec!["", "NY"]), select(vec!["", "1", "10"]));
    let class = select(vec!["standard", "reduced"]);
    (select(vec!["State", "City"]), place, class, 0..=300_000_u32, any::<bool>()).prop_map(
        |(name, (region, prefix), class, rate, applies_to_shipping)| TaxRate {
            tax_class: class.to_owned(),
            applies_to_shipping,
            ..tax(name, "US", region, prefix, rate)
        },
    )
}

prop_compose! {
    fn any_cart()(
        lines in prop::collection::vec(any_line(), 0..7),
        mut promotions in prop::collection::vec(any_promotion(), 0..6),
        tax_rates in prop::collection::vec(any_tax(), 0..8),
        coupons in prop::collection::vec(select(vec!["one", "TWO", "three"]), 0..3),
        shipping_price in proptest::option::of(0..5_000_i64),
        place in proptest::option::of((select(vec!["NY", "NJ"]), select(vec!["10001", "14201"]))),
        currency in select(vec![Currency::USD, Currency::JPY, Currency::KWD]),
        prices_include_tax in any::<bool>(),
    ) -> Cart {
        let mut cart = cart(&lines.iter().map(|(price, quantity, ..)| (*price, *quantity)).collect::<Vec<_>>());
        for (line, (_, _, class, category)) in cart.lines.iter_mut().zip(&lines) {
            line.tax_class = (*class).to_owned();
            line.categories = vec![(*category).to_owned()];
        }
        for (index, promotion) in promotions.iter_mut().enumerate() {
            promotion.id = format!("p{index}");
        }
        // A rate is there once for each place.
        let tax_rates: BTreeMap<_, _> = tax_rates.iter().map(|rate| (rate.key(), rate.clone())).collect();
        Cart {
            currency,
            destination: place.map(|(region, postcode)| destination("US", region, postcode)),
            coupons: coupons.into_iter().map(str::to_owned).collect(),
            shipping: shipping_price.map(shipping),
            tax_rates: tax_rates.into_values().collect(),
            promotions,
            prices_include_tax,
            ..cart
        }
    }
}

/// Sums up a quote the long way, from its smallest parts.
fn sum<'a>(amounts: impl IntoIterator<Item = &'a Amount>) -> i64 {
    amounts.into_iter().map(|amount| amount.minor()).sum()
}

proptest! {
    #[test]
    fn everything_adds_up(cart in any_cart()) {
        let quote = price(&cart).unwrap();
        let shipping = quote.shipping.as_ref();
        prop_assert_eq!(
            sum(quote.lines.iter().map(|line| &line.gross)) + shipping.map_or(0, |shipping| shipping.gross.minor()),
            quote.total.minor()
        );
        let tax_on_top = if cart.prices_include_tax { 0 } else { quote.tax_total.minor() };
        prop_assert_eq!(
            quote.subtotal.minor() - quote.discount_total.minor() + quote.shipping_total.minor() + tax_on_top,
            quote.total.minor()
        );
        prop_assert_eq!(sum(quote.taxes.iter().map(|tax| &tax.amount)), quote.tax_total.minor());
        prop_assert_eq!(sum(quote.discounts.iter().map(|discount| &discount.amount)), quote.discount_total.minor());
        prop_assert_eq!(quote.verify(&cart), Ok(()));
    }

    #[test]
    fn the_taxes_of_the_lines_are_those_of_the_quote(cart in any_cart()) {
        let quote = price(&cart).unwrap();
        let mut sums: BTreeMap<_, (i64, i64)> = BTreeMap::new();
        let shipping = quote.shipping.iter().flat_map(|shipping| &shipping.taxes);
        for tax in quote.lines.iter().flat_map(|line| &line.taxes).chain(shipping) {
            let sum = sums.entry((tax.name.clone(), tax.rate)).or_default();
            *sum = (sum.0 + tax.base.minor(), sum.1 + tax.amount.minor());
        }
        let found: BTreeMap<_, _> =
            quote.taxes.iter().map(|tax| ((tax.name.clone(), tax.rate), (tax.base.minor(), tax.amount.minor()))).collect();
        prop_assert_eq!(found, sums);
    }

    #[test]
    fn no_discount_exceeds_its_line_and_none_is_empty(cart in any_cart()) {
        let quote = price(&cart).unwrap();
        for line in &quote.lines {
            prop_assert!(line.discount_total <= line.subtotal);
            prop_assert!(line.discounts.iter().all(|discount| !discount.amount.is_zero()));
        }
        if let Some(shipping) = &quote.shipping {
            prop_assert!(shipping.discount_total <= shipping.price);
        }
    }

    #[test]
    fn tax_is_within_a_unit_of_its_rate(cart in any_cart()) {
        let quote = price(&cart).unwrap();
        for line in &quote.lines {
            let rate: i64 = line.taxes.iter().map(|tax| i64::from(tax.rate.get())).sum();
            // Of the exact tax, computed from the rounded net price: half a unit for each of the two.
            let distance = line.tax.minor() * 1_000_000 - line.net.minor() * rate;
            prop_assert!(distance.abs() <= 1_000_000, "{line:?}");
            for tax in &line.taxes {
                let share = tax.amount.minor() * rate - line.tax.minor() * i64::from(tax.rate.get());
                prop_assert!(share.abs() < rate.max(1), "{line:?}");
            }
        }
    }

    #[test]
    fn the_order_of_lines_rules_and_codes_does_not_matter(
        (cart, shuffled) in any_cart().prop_flat_map(|cart| {
            let shuffled = (
                Just(cart.lines.clone()).prop_shuffle(),
                Just(cart.promotions.clone()).prop_shuffle(),
                Just(cart.tax_rates.clone()).prop_shuffle(),
                Just(cart.coupons.clone()).prop_shuffle(),
            );
            let other = cart.clone();
            let shuffled = shuffled.prop_map(move |(lines, promotions, tax_rates, coupons)| {
                Cart { lines, promotions, tax_rates, coupons, ..other.clone() }
            });
            (Just(cart), shuffled)
        })
    ) {
        let (mut first, mut second) = (price(&cart).unwrap(), price(&shuffled).unwrap());
        let ids: Vec<_> = second.lines.iter().map(|line| &line.id).collect();
        prop_assert_eq!(ids, shuffled.lines.iter().map(|line| &line.id).collect::<Vec<_>>());
        for quote in [&mut first, &mut second] {
            quote.lines.sort_by(|a: &QuotedLine, b| a.id.cmp(&b.id));
            quote.rejected_coupons.sort_by(|a, b| a.code.cmp(&b.code));
        }
        prop_assert_eq!(first, second);
    }

    #[test]
    fn the_same_cart_has_the_same_quote(cart in any_cart()) {
        prop_assert_eq!(price(&cart), price(&cart));
    }

    #[test]
    fn nothing_applies_beside_an_exclusive_promotion(cart in any_cart()) {
        let quote = price(&cart).unwrap();
        let rule = |discount: &Discount| cart.promotions.iter().find(|rule| rule.id == discount.promotion).unwrap().stacking.clone();
        let applied: Vec<_> = quote.discounts.iter().map(rule).collect();
        if applied.contains(&Stacking::Exclusive) {
            prop_assert_eq!(applied.len(), 1);
        }
        for group in ["g", "h"] {
            let of_group = applied.iter().filter(|rule| **rule == Stacking::BestOf { group: group.to_owned() });
            prop_assert!(of_group.count() <= 1);
        }
    }

    #[test]
    fn one_more_promotion_alone_never_costs_more(cart in any_cart(), extra in any_promotion()) {
        // Only of exclusive ones: in a combination, a promotion changes what the later ones apply to.
        let before = price(&cart).unwrap();
        let mut more = cart.clone();
        more.promotions.push(Promotion { id: "extra".to_owned(), stacking: Stacking::Exclusive, ..extra });
        prop_assert!(price(&more).unwrap().discount_total >= before.discount_total);
    }
}
