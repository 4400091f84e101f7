//! What each kind of promotion takes off, and when it holds.

use super::*;

/// What one promotion takes off each line.
fn taken(lines: &[(i64, u32)], promotion: Promotion) -> Vec<i64> {
    let cart = Cart { promotions: vec![promotion], ..cart(lines) };
    off(&quote(&cart))
}

#[test]
fn a_percentage_is_rounded_once_and_spread() {
    // 10 % of 29.97 is 2.997, so 3.00 in all; a line by itself would have 1.00.
    assert_eq!(taken(&[(999, 1), (999, 1), (999, 1)], percentage("p", 1000)), [100, 100, 100]);
    // 10 % of 0.15 is 0.015, so 0.02; the exact shares are 0.67 each.
    assert_eq!(taken(&[(5, 1), (5, 1), (5, 1)], percentage("p", 1000)), [1, 1, 0]);
    // A half goes up: 12.5 % of 1.00 is 0.125.
    assert_eq!(taken(&[(100, 1)], percentage("p", 1250)), [13]);
    assert_eq!(taken(&[(100, 3), (250, 2)], percentage("p", 10_000)), [300, 500]);
}

#[test]
fn a_fixed_amount_comes_off_once() {
    let fixed = |off| promotion("p", Reward::FixedTotal { amount: amount(off) });
    // 10.00 over 20.00 and 10.00: shares 6.666 and 3.333.
    assert_eq!(taken(&[(2000, 1), (500, 2)], fixed(1000)), [667, 333]);
    assert_eq!(taken(&[(2000, 1), (500, 2)], fixed(5000)), [2000, 1000], "never more than the price");
    assert_eq!(taken(&[(2000, 1), (500, 2)], only(&["B"], fixed(1500))), [0, 1000], "of what is in scope");
}

#[test]
fn a_fixed_amount_for_each_unit() {
    let fixed = |off| promotion("p", Reward::FixedEach { amount: amount(off) });
    assert_eq!(taken(&[(2000, 1), (500, 3)], fixed(150)), [150, 450]);
    assert_eq!(taken(&[(2000, 1), (500, 3)], fixed(600)), [600, 1500]);
    assert_eq!(taken(&[(2000, 1), (500, 3)], only(&["A"], fixed(150))), [150, 0]);
    assert_eq!(taken(&[(2000, 1000)], fixed(commerce::AMOUNT_MAX)), [2_000_000]);
}

#[test]
fn the_cheapest_units_of_each_full_set() {
    let rule = |buy, get, basis_points| {
        promotion("p", Reward::BuyXGetY { buy: count(buy), get: count(get), basis_points: points(basis_points) })
    };
    // Two and one free: seven units are two sets, so the two cheapest are free.
    assert_eq!(taken(&[(300, 4), (100, 1), (200, 2)], rule(2, 1, 10_000)), [0, 100, 200]);
    // One and one at half price: four units, two cheaper.
    assert_eq!(taken(&[(1000, 2), (501, 2)], rule(1, 1, 5000)), [0, 501]);
    // 50 % of one unit of 5.01 is 2.505.
    assert_eq!(taken(&[(1000, 2), (501, 1)], rule(2, 1, 5000)), [0, 251]);
    // Units out of scope neither count nor become cheaper.
    assert_eq!(taken(&[(1000, 2), (10, 3)], only(&["A"], rule(1, 1, 10_000))), [1000, 0]);
    assert_eq!(taken(&[(1000, 2)], rule(2, 1, 10_000)), [0], "the set is not full");
    assert_eq!(taken(&[(7, 1_000_000)], rule(999_999, 1, 10_000)), [7]);
}

#[test]
fn the_cheapest_units_cost_what_earlier_promotions_left_of_them() {
    let free = Reward::BuyXGetY { buy: count(2), get: count(1), basis_points: points(10_000) };
    let mut first = percentage("first", 1000);
    first.priority = 1;
    let cart = Cart { promotions: vec![promotion("free", free), first], ..cart(&[(1000, 3)]) };
    // 30.00 less 10 % leaves 27.00, of which one of three units is 9.00.
    let quote = quote(&cart);
    assert_eq!(quote.lines[0].discounts.iter().map(|d| d.amount.minor()).collect::<Vec<_>>(), [300, 900]);
    assert_eq!(quote.total, amount(1800));
}

#[test]
fn thresholds_are_reached_by_listed_prices_in_scope() {
    let part = |min| promotion("p", Reward::ThresholdPercentage { min: amount(min), basis_points: points(2000) });
    let fixed = |min| promotion("p", Reward::ThresholdFixed { min: amount(min), amount: amount(500) });
    let lines = [(3000, 1), (2000, 1)];
    assert_eq!(taken(&lines, part(5000)), [600, 400]);
    assert_eq!(taken(&lines, part(5001)), [0, 0]);
    assert_eq!(taken(&lines, fixed(5000)), [300, 200]);
    assert_eq!(taken(&lines, fixed(5001)), [0, 0]);
    assert_eq!(taken(&lines, only(&["A"], fixed(3000))), [500, 0]);
    assert_eq!(taken(&lines, only(&["A"], fixed(3001))), [0, 0], "the other line does not count");
    // An earlier discount does not take a threshold away.
    let mut first = percentage("first", 5000);
    first.priority = 1;
    let cart = Cart { promotions: vec![first, fixed(5000)], ..cart(&lines) };
    assert_eq!(quote(&cart).discount_total, amount(3000));
}

#[test]
fn free_shipping_needs_a_line_in_scope() {
    let free = |skus: &[&str]| {
        let free = only(skus, promotion("p", Reward::FreeShipping {}));
        let cart = Cart { promotions: vec![free], shipping: Some(shipping(490)), ..cart(&[(1000, 1)]) };
        quote(&cart)
    };
    let quote = free(&["A"]);
    let shipping = quote.shipping.as_ref().unwrap();
    assert_eq!((shipping.price, shipping.discount_total, shipping.gross), (amount(490), amount(490), Amount::ZERO));
    assert_eq!((quote.shipping_total, quote.discount_total, quote.total), (amount(490), amount(490), amount(1000)));
    assert_eq!(free(&["Z"]).total, amount(1490));
}

#[test]
fn a_scope_of_categories_has_those_below() {
    let mut rule = percentage("p", 1000);
    rule.scope = Scope::Categories { categories: ["shoes".to_owned()].into() };
    let mut cart = Cart { promotions: vec![rule], ..cart(&[(1000, 1), (1000, 1), (1000, 1)]) };
    cart.lines[0].categories = vec!["sale".to_owned(), "shoes/boots".to_owned()];
    cart.lines[1].categories = vec!["shoes-and-bags".to_owned()];
    cart.lines[2].categories = vec!["shoes".to_owned()];
    assert_eq!(off(&quote(&cart)), [100, 0, 100]);
}

#[test]
fn validity_group_and_minimum_decide_whether_it_holds() {
    let holds = |change: fn(&mut Promotion), group: &str| {
        let mut rule = percentage("p", 1000);
        change(&mut rule);
        let cart = Cart { promotions: vec![rule], customer_group: group.to_owned(), ..cart(&[(1000, 1)]) };
        quote(&cart).discount_total == amount(100)
    };
    assert!(holds(|rule| rule.starts_at = Some(Timestamp::from_unix_s(NOW_S)), ""));
    assert!(!holds(|rule| rule.starts_at = Some(Timestamp::from_unix_s(NOW_S + 1)), ""));
    assert!(holds(|rule| rule.ends_at = Some(Timestamp::from_unix_s(NOW_S + 1)), ""));
    assert!(!holds(|rule| rule.ends_at = Some(Timestamp::from_unix_s(NOW_S)), ""));
    assert!(holds(|rule| rule.customer_groups = vec!["trade".into(), "staff".into()], "staff"));
    assert!(!holds(|rule| rule.customer_groups = vec!["trade".into()], ""));
    assert!(holds(|rule| rule.min_subtotal = Some(amount(1000)), ""));
    assert!(!holds(|rule| rule.min_subtotal = Some(amount(1001)), ""));
}

#[test]
fn the_shopper_reads_why_something_is_cheaper() {
    let cart = Cart { promotions: vec![percentage("spring", 1000)], ..cart(&[(1000, 1), (500, 1)]) };
    let quote = quote(&cart);
    let discount = &quote.discounts[0];
    assert_eq!((discount.promotion.as_str(), discount.reason.as_str()), ("spring", "Because of spring"));
    assert_eq!(discount.amount, amount(150));
    assert_eq!(quote.lines[0].discounts[0].amount, amount(100));
    assert_eq!(quote.lines[1].discounts[0].amount, amount(50));
}
