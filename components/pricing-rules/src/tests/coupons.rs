//! Codes that are entered, and what the shopper hears about those that do nothing.

use super::*;
use crate::Rejection;

/// What happened to the codes, as text: `code: reason`.
fn rejected(cart: &Cart) -> Vec<(String, Rejection)> {
    quote(cart).rejected_coupons.into_iter().map(|coupon| (coupon.code, coupon.reason)).collect()
}

fn entered(codes: &[&str], promotions: Vec<Promotion>) -> Cart {
    Cart { coupons: codes.iter().map(|code| code.to_string()).collect(), promotions, ..cart(&[(10_000, 1)]) }
}

fn reason(promotion: Promotion) -> Rejection {
    let rejected = rejected(&entered(&["CODE"], vec![with_coupon("CODE", promotion)]));
    assert_eq!(rejected.len(), 1);
    rejected[0].1
}

#[test]
fn a_code_has_to_be_entered() {
    let rule = || vec![with_coupon("Spring", percentage("p", 1000))];
    assert_eq!(quote(&entered(&[], rule())).discount_total, Amount::ZERO);
    let quote = quote(&entered(&[" SPRING "], rule()));
    assert_eq!(quote.discount_total, amount(1000));
    assert_eq!(quote.discounts[0].coupon.as_deref(), Some("Spring"));
    assert_eq!(quote.rejected_coupons, []);
}

#[test]
fn a_code_counts_once() {
    let cart = entered(&["SPRING", "spring"], vec![with_coupon("SPRING", percentage("p", 1000))]);
    assert_eq!(quote(&cart).discount_total, amount(1000));
    assert_eq!(rejected(&entered(&["no", "NO"], vec![])), [("no".to_owned(), Rejection::Unknown)]);
}

#[test]
fn each_reason_is_told() {
    let rule = || percentage("p", 1000);
    assert_eq!(
        reason(Promotion { starts_at: Some(Timestamp::from_unix_s(NOW_S + 1)), ..rule() }),
        Rejection::NotStarted
    );
    assert_eq!(reason(Promotion { ends_at: Some(Timestamp::from_unix_s(NOW_S)), ..rule() }), Rejection::Ended);
    assert_eq!(reason(Promotion { customer_groups: vec!["trade".into()], ..rule() }), Rejection::OtherGroup);
    assert_eq!(reason(only(&["Z"], rule())), Rejection::NothingInScope);
    let min = amount(10_001);
    assert_eq!(reason(Promotion { min_subtotal: Some(min), ..rule() }), Rejection::SubtotalBelow { min });
    let threshold = Reward::ThresholdFixed { min, amount: amount(1) };
    assert_eq!(reason(promotion("p", threshold)), Rejection::SubtotalBelow { min });
    let pairs = Reward::BuyXGetY { buy: count(1), get: count(1), basis_points: points(5000) };
    assert_eq!(reason(promotion("p", pairs)), Rejection::QuantityBelow { min: 2 });
    assert_eq!(reason(promotion("p", Reward::FixedTotal { amount: Amount::ZERO })), Rejection::WithoutEffect);
}

#[test]
fn a_code_that_lost_against_something_better_says_so() {
    let alone = Promotion { stacking: Stacking::Exclusive, ..percentage("alone", 5000) };
    let cart = entered(&["ten", "half"], vec![with_coupon("TEN", percentage("p", 1000)), with_coupon("HALF", alone)]);
    assert_eq!(quote(&cart).discount_total, amount(5000));
    assert_eq!(rejected(&cart), [("ten".to_owned(), Rejection::NotCombinable)]);
}

#[test]
fn a_code_of_several_promotions_is_good_if_one_applies() {
    let gone = Promotion { ends_at: Some(Timestamp::from_unix_s(1)), priority: 2, ..percentage("gone", 1000) };
    let other = Promotion { customer_groups: vec!["trade".into()], priority: 1, ..percentage("other", 1000) };
    let (gone, other) = (with_coupon("CODE", gone), with_coupon("CODE", other));
    let both = entered(&["CODE"], vec![other.clone(), gone.clone()]);
    assert_eq!(rejected(&both), [("CODE".to_owned(), Rejection::Ended)], "that of the highest priority");
    let one = entered(&["CODE"], vec![other, gone, with_coupon("CODE", percentage("good", 1000))]);
    assert_eq!(rejected(&one), []);
}

#[test]
fn free_shipping_waits_for_the_delivery_to_be_chosen() {
    let free = with_coupon("FREE", promotion("p", Reward::FreeShipping {}));
    let cart = entered(&["FREE"], vec![free]);
    assert_eq!(rejected(&cart), []);
    let cart = Cart { shipping: Some(shipping(0)), ..cart };
    assert_eq!(rejected(&cart), [("FREE".to_owned(), Rejection::WithoutEffect)]);
}
