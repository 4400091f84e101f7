//! Wishes held against offers.

use std::sync::Arc;

use commerce::{Currency, Money};
use pricing_client::{Amount, Shipping, price};
use serde_json::{Value, json};

use super::{euro, rules, variant};
use crate::{Fault, Offer, ParcelError, Terms, Wish};

fn offer(variants: Value) -> Offer {
    let variants = serde_json::from_value(variants).unwrap();
    Offer::new(Currency::EUR, variants, Arc::new(serde_json::from_value(rules()).unwrap()))
}

fn wish(sku: &str, quantity: u32) -> Wish {
    Wish { sku: sku.to_owned().try_into().unwrap(), quantity: quantity.try_into().unwrap(), seen_price: None }
}

fn money(value: Value) -> Money {
    serde_json::from_value(value).unwrap()
}

#[test]
fn each_line_is_told_what_is_wrong_with_it() {
    let offer = offer(json!([
        variant("GOOD", json!({})),
        variant("LAST", json!({"available": 2})),
        variant("GONE", json!({"available": 0})),
        variant("OLD", json!({"archived": true})),
        variant("FOREIGN", json!({"price": {"amount": 5000, "currency": "USD"}})),
    ]));
    let lines = offer.check(["GOOD", "LAST", "GONE", "OLD", "FOREIGN", "NONE"].map(|sku| wish(sku, 3)));
    let found: Vec<_> = lines.iter().map(|line| (line.faults.clone(), line.is_sold(), line.can_be_ordered())).collect();
    assert_eq!(
        found,
        [
            (vec![], true, true),
            (vec![Fault::Short { available: 2 }], true, false),
            (vec![Fault::SoldOut], true, false),
            (vec![Fault::Archived], false, false),
            (vec![Fault::NoPrice], false, false),
            (vec![Fault::Unknown], false, false),
        ]
    );
    assert_eq!(serde_json::to_value(&lines[1].faults).unwrap(), json!([{"kind": "short", "available": 2}]));
    assert_eq!(lines[0].variant.as_ref().unwrap().attributes["size"], "42");

    for line in &lines {
        assert_eq!(offer.price(&line.sku).is_some(), line.is_sold(), "{:?}", line.sku);
    }
    assert_eq!(offer.price(&lines[0].sku), Some(money(euro(5000))));

    // What the shop does not sell has no price, and the others are priced as wanted.
    let cart = offer.cart(&lines, Terms::default());
    let ids: Vec<_> = cart.lines.iter().map(|line| line.id.as_str()).collect();
    assert_eq!(ids, ["GOOD", "LAST", "GONE"]);
    assert_eq!(price(&cart).unwrap().total.minor(), 9 * 5000);
}

#[test]
fn a_price_that_changed_is_told_and_hinders_nothing() {
    let offer = offer(json!([variant("A", json!({"price": euro(5500)})), variant("B", json!({"available": 0}))]));
    let seen = |sku, amount| Wish { seen_price: Some(money(euro(amount))), ..wish(sku, 1) };
    let lines = offer.check([seen("A", 5000), seen("B", 4000)]);
    let changed = |from, to| Fault::PriceChanged { from: money(euro(from)), to: money(euro(to)) };
    assert_eq!(lines[0].faults, [changed(5000, 5500)]);
    assert!(lines[0].can_be_ordered());
    assert_eq!(lines[1].faults, [Fault::SoldOut, changed(4000, 5000)]);
    assert_eq!(offer.check([seen("A", 5500)])[0].faults, []);
    let told = serde_json::to_value(&lines[0].faults[0]).unwrap();
    assert_eq!(told, json!({"kind": "price_changed", "from": euro(5000), "to": euro(5500)}));
}

#[test]
fn a_cart_is_priced_by_the_rules_of_the_place() {
    let offer = offer(json!([variant("A", json!({}))]));
    let lines = offer.check([wish("A", 2)]);
    let to = |destination: Value| {
        let terms = Terms {
            destination: serde_json::from_value(destination).unwrap(),
            coupons: vec!["ten".to_owned(), "nope".to_owned()],
            ..Terms::default()
        };
        price(&offer.cart(&lines, terms)).unwrap()
    };
    let germany = to(json!({"country": "DE"}));
    assert_eq!((germany.subtotal.minor(), germany.discount_total.minor()), (10_000, 1000));
    // 19 % within 90.00.
    assert_eq!((germany.total.minor(), germany.tax_total.minor(), germany.prices_include_tax), (9000, 1437, true));
    assert_eq!(germany.rejected_coupons[0].code, "nope");

    for (destination, included) in [
        (json!(null), false),
        (json!({"country": "AT"}), false),
        (json!({"country": "US", "region": "ny"}), true),
        (json!({"country": "US", "region": "CA"}), false),
        (json!({"country": "US"}), false),
    ] {
        let quote = to(destination.clone());
        assert_eq!((quote.prices_include_tax, quote.tax_total.minor()), (included, 0), "{destination}");
    }
}

#[test]
fn shipping_is_part_of_the_price() {
    let offer = offer(json!([variant("A", json!({}))]));
    let shipping =
        Shipping { method: "post".to_owned(), price: Amount::try_from(490).unwrap(), tax_class: "standard".to_owned() };
    let terms = Terms { shipping: Some(shipping), ..Terms::default() };
    assert_eq!(price(&offer.cart(&offer.check([wish("A", 1)]), terms)).unwrap().total.minor(), 5490);
}

#[test]
fn what_the_catalog_may_add_one_day_does_no_harm() {
    let offer = offer(json!([variant("A", json!({"barcode": "4006381333931"}))]));
    assert!(offer.check([wish("A", 1)])[0].can_be_ordered());
}

#[test]
fn a_parcel_is_what_the_shop_sells_of_the_lines() {
    let offer = offer(json!([
        variant("A", json!({})),
        variant("SHORT", json!({"weight_g": 50, "price": euro(100), "available": 0})),
        variant("OLD", json!({"archived": true})),
        variant("HEAVY", json!({"weight_g": u32::MAX})),
        variant("DEAR", json!({"price": euro(commerce::AMOUNT_MAX)})),
    ]));
    let parcel = |skus: &[&str]| offer.parcel(&offer.check(skus.iter().map(|sku| wish(sku, 3))));
    let found = serde_json::to_value(parcel(&["A", "SHORT", "OLD", "NONE"]).unwrap()).unwrap();
    assert_eq!(found, json!({"weight_g": 3 * 950, "value": euro(3 * 5100)}));
    assert_eq!(parcel(&[]).unwrap().weight_g, 0);
    assert_eq!(parcel(&["A", "HEAVY"]), Err(ParcelError::Weight));
    assert_eq!(parcel(&["A", "DEAR"]), Err(ParcelError::Value));
}
