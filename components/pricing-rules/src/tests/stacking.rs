//! Which promotions apply together.

use super::*;

fn ids(cart: &Cart) -> Vec<String> {
    quote(cart).discounts.into_iter().map(|discount| discount.promotion).collect()
}

fn exclusive(mut promotion: Promotion) -> Promotion {
    promotion.stacking = Stacking::Exclusive;
    promotion
}

fn best_of(group: &str, mut promotion: Promotion) -> Promotion {
    promotion.stacking = Stacking::BestOf { group: group.to_owned() };
    promotion
}

fn prioritized(priority: i32, mut promotion: Promotion) -> Promotion {
    promotion.priority = priority;
    promotion
}

fn with(promotions: Vec<Promotion>) -> Cart {
    Cart { promotions, ..cart(&[(10_000, 1)]) }
}

#[test]
fn stackable_promotions_apply_to_what_is_left() {
    let fixed = promotion("fixed", Reward::FixedTotal { amount: amount(1000) });
    // 100.00 less 10.00, less 10 % of 90.00.
    let fixed_first = with(vec![percentage("part", 1000), prioritized(1, fixed.clone())]);
    assert_eq!((ids(&fixed_first), quote(&fixed_first).total), (vec!["fixed".into(), "part".into()], amount(8100)));
    // 100.00 less 10 %, less 10.00.
    let part_first = with(vec![fixed.clone(), prioritized(1, percentage("part", 1000))]);
    assert_eq!((ids(&part_first), quote(&part_first).total), (vec!["part".into(), "fixed".into()], amount(8000)));
    // Equal priorities go by id.
    assert_eq!(ids(&with(vec![percentage("part", 1000), fixed])), ["fixed", "part"]);
}

#[test]
fn what_is_used_up_takes_nothing_more() {
    let cart = with(vec![percentage("a", 10_000), percentage("b", 1000)]);
    assert_eq!((ids(&cart), quote(&cart).total), (vec!["a".into()], Amount::ZERO));
}

#[test]
fn an_exclusive_promotion_applies_alone_if_it_takes_off_most() {
    let stackable = || vec![percentage("a", 1000), percentage("b", 1000)];
    let mut promotions = stackable();
    promotions.push(exclusive(percentage("alone", 2000)));
    assert_eq!(ids(&with(promotions)), ["alone"], "20.00 is more than 19.00");
    let mut promotions = stackable();
    promotions.push(exclusive(percentage("alone", 1900)));
    assert_eq!(ids(&with(promotions)), ["a", "b"], "19.00 is not more than 19.00");
    let both = vec![exclusive(percentage("less", 1500)), exclusive(percentage("more", 2500))];
    assert_eq!(ids(&with(both)), ["more"]);
    let equal = vec![exclusive(percentage("low", 1500)), prioritized(1, exclusive(percentage("top", 1500)))];
    assert_eq!(ids(&with(equal)), ["top"]);
}

#[test]
fn free_shipping_counts_in_the_comparison() {
    let cart = Cart {
        shipping: Some(shipping(900)),
        ..with(vec![percentage("part", 500), exclusive(promotion("free", Reward::FreeShipping {}))])
    };
    assert_eq!(ids(&cart), ["free"], "9.00 is more than 5.00");
}

#[test]
fn of_a_group_the_best_applies_with_others() {
    let promotions = vec![
        best_of("season", percentage("spring", 1000)),
        best_of("season", percentage("easter", 1500)),
        best_of("loyalty", percentage("friend", 500)),
        percentage("everybody", 100),
    ];
    assert_eq!(ids(&with(promotions)), ["easter", "everybody", "friend"]);
    let equal = vec![best_of("g", percentage("b", 1000)), best_of("g", percentage("a", 1000))];
    assert_eq!(ids(&with(equal)), ["a"]);
    let equal = vec![prioritized(1, best_of("g", percentage("b", 1000))), best_of("g", percentage("a", 1000))];
    assert_eq!(ids(&with(equal)), ["b"]);
}
