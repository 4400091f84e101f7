//! Carts that have no quote.

use super::*;
use crate::{COUPONS_MAX, LINES_MAX, PROMOTIONS_MAX, Problem, TAX_RATES_MAX};

fn reason(cart: Cart) -> String {
    match price(&cart) {
        Err(Problem::InvalidInput(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_key_is_used_once() {
    let mut twice = cart(&[(1, 1), (1, 1)]);
    twice.lines[1].id = "a".to_owned();
    assert_eq!(reason(twice), r#"the line "a" is there twice"#);
    let promotions = vec![percentage("p", 1), percentage("p", 2)];
    assert_eq!(reason(Cart { promotions, ..cart(&[]) }), r#"the promotion "p" is there twice"#);
    let tax_rates = vec![tax("VAT", "DE", "", "", 1), tax("VAT", "DE", "", "", 2)];
    assert!(reason(Cart { tax_rates, ..cart(&[]) }).contains("tax rate"));
}

#[test]
fn there_is_a_most_of_everything() {
    let mut lines = cart(&[(1, 1)]);
    lines.lines = vec![lines.lines[0].clone(); LINES_MAX + 1];
    assert_eq!(reason(lines), "there are 501 lines, and at most 500 are allowed");
    assert!(reason(Cart { coupons: vec![String::new(); COUPONS_MAX + 1], ..cart(&[]) }).contains("coupons"));
    let promotions = vec![percentage("p", 1); PROMOTIONS_MAX + 1];
    assert!(reason(Cart { promotions, ..cart(&[]) }).contains("promotions"));
    let tax_rates = vec![tax("VAT", "DE", "", "", 1); TAX_RATES_MAX + 1];
    assert!(reason(Cart { tax_rates, ..cart(&[]) }).contains("tax rates"));
}

#[test]
fn amounts_beyond_the_bound_are_refused() {
    let max = commerce::AMOUNT_MAX;
    assert_eq!(quote(&cart(&[(max, 1)])).total, amount(max));
    assert_eq!(price(&cart(&[(max, 2)])), Err(Problem::Overflow));
    assert_eq!(price(&cart(&[(max, 1), (1, 1)])), Err(Problem::Overflow));
    assert_eq!(price(&cart(&[(max, 1_000_000)])), Err(Problem::Overflow));
    let taxed = Cart {
        destination: Some(destination("DE", "", "")),
        tax_rates: vec![tax("VAT", "DE", "", "", 1)],
        ..cart(&[(max, 1)])
    };
    assert_eq!(price(&taxed), Err(Problem::Overflow));
    assert_eq!(price(&Cart { shipping: Some(shipping(1)), ..cart(&[(max, 1)]) }), Err(Problem::Overflow));
}

#[test]
fn an_empty_cart_costs_its_shipping() {
    assert_eq!(quote(&cart(&[])).total, Amount::ZERO);
    assert_eq!(quote(&Cart { shipping: Some(shipping(490)), ..cart(&[]) }).total, amount(490));
}
