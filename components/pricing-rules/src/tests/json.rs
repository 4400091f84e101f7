//! The JSON of carts, rules and quotes.

use serde_json::{Value, json};

use super::*;

fn whole_cart() -> Value {
    json!({
        "currency": "EUR",
        "lines": [{
            "id": "1", "sku": "BOOT-42", "product": "p1", "categories": ["shoes/boots"],
            "quantity": 2, "unit_price": 5000, "tax_class": "standard"
        }],
        "customer_group": "trade",
        "destination": { "country": "DE", "region": null, "postcode": "10115" },
        "coupons": ["TEN", "LOST"],
        "shipping": { "method": "post", "price": 490, "tax_class": "standard" },
        "promotions": [
            {
                "id": "a", "title": "10 % off boots", "coupon": "TEN",
                "reward": { "kind": "percentage", "basis_points": 1000 },
                "scope": { "kind": "categories", "categories": ["shoes"] },
                "customer_groups": ["trade"], "min_subtotal": 1000,
                "starts_at": "2026-01-01T00:00:00.000Z", "ends_at": "2027-02-01T00:00:00.000Z",
                "priority": -1, "stacking": { "kind": "best_of", "group": "season" }
            },
            { "id": "b", "title": "5.00 off", "reward": { "kind": "fixed_total", "amount": 500 } },
            { "id": "c", "title": "1.00 off each", "reward": { "kind": "fixed_each", "amount": 100 },
              "scope": { "kind": "skus", "skus": ["OTHER"] }, "stacking": { "kind": "exclusive" } },
            { "id": "d", "title": "3 for 2", "coupon": "LOST",
              "reward": { "kind": "buy_x_get_y", "buy": 2, "get": 1, "basis_points": 10000 } },
            { "id": "e", "title": "From 500.00", "scope": { "kind": "all" },
              "reward": { "kind": "threshold_percentage", "min": 50000, "basis_points": 500 } },
            { "id": "f", "title": "From 400.00", "reward": { "kind": "threshold_fixed", "min": 40000, "amount": 5 } },
            { "id": "g", "title": "Free shipping", "reward": { "kind": "free_shipping" } }
        ],
        "tax_rates": [{
            "name": "VAT", "country": "DE", "region": null, "postcode_prefix": null,
            "tax_class": "standard", "rate": 190000, "applies_to_shipping": true
        }],
        "prices_include_tax": true,
        "now": "2027-01-15T08:00:00.000Z"
    })
}

#[test]
fn a_cart_and_its_quote() {
    let cart: Cart = serde_json::from_value(whole_cart()).unwrap();
    assert_eq!(cart.now, Timestamp::from_unix_s(NOW_S));
    // By id "b" would apply before "g", and "a" comes last since its priority is lower: 5.00 off, then 10 % of 95.00.
    let vat = json!({ "name": "VAT", "rate": 190000, "base": 7185, "amount": 1365 });
    let (ten, five) = (
        json!({ "promotion": "a", "reason": "10 % off boots", "coupon": "TEN", "amount": 950 }),
        json!({ "promotion": "b", "reason": "5.00 off", "coupon": null, "amount": 500 }),
    );
    let free = json!({ "promotion": "g", "reason": "Free shipping", "coupon": null, "amount": 490 });
    let none = json!({ "name": "VAT", "rate": 190000, "base": 0, "amount": 0 });
    let expected = json!({
        "currency": "EUR",
        "prices_include_tax": true,
        "lines": [{
            "id": "1", "quantity": 2, "unit_price": 5000, "subtotal": 10000,
            "discounts": [&five, &ten], "discount_total": 1450,
            "net": 7185, "tax": 1365, "gross": 8550, "taxes": [&vat]
        }],
        "shipping": {
            "method": "post", "price": 490, "discounts": [&free], "discount_total": 490,
            "net": 0, "tax": 0, "gross": 0, "taxes": [none]
        },
        "discounts": [&five, &free, &ten],
        "taxes": [&vat],
        "subtotal": 10000, "discount_total": 1940, "shipping_total": 490, "tax_total": 1365, "total": 8550,
        "rejected_coupons": [{ "code": "LOST", "reason": "quantity_below", "min": 3 }]
    });
    let quote = quote(&cart);
    assert_eq!(serde_json::to_value(&quote).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Quote>(expected).unwrap(), quote);
}

#[test]
fn a_cart_is_written_as_it_is_read() {
    let cart: Cart = serde_json::from_value(whole_cart()).unwrap();
    let written = serde_json::to_value(&cart).unwrap();
    assert_eq!(serde_json::from_value::<Cart>(written.clone()).unwrap(), cart);
    assert_eq!(written["promotions"][0], whole_cart()["promotions"][0]);
    assert_eq!(written["tax_rates"], whole_cart()["tax_rates"]);
}

#[test]
fn what_cannot_be_does_not_parse() {
    let cases = [
        ("/currency", json!("XXY")),
        ("/lines/0/sku", json!("")),
        ("/lines/0/quantity", json!(0)),
        ("/lines/0/unit_price", json!(-1)),
        ("/lines/0/unit_price", json!(1.5)),
        ("/destination/country", json!("Germany")),
        ("/destination/postcode", json!("")),
        ("/shipping/price", json!(commerce::AMOUNT_MAX + 1)),
        ("/promotions/0/reward/basis_points", json!(10_001)),
        ("/promotions/0/reward/basis_points", json!(0)),
        ("/promotions/0/reward", json!({ "kind": "percentage", "basis_points": 1, "percent": 5 })),
        ("/promotions/0/reward", json!({ "kind": "free_shipping", "min": 5 })),
        ("/promotions/0/reward", json!({ "kind": "bogof" })),
        ("/promotions/0/starts_at", json!("soon")),
        ("/promotions/3/reward/get", json!(0)),
        ("/tax_rates/0/rate", json!(1_000_001)),
    ];
    for (pointer, value) in cases {
        let mut cart = whole_cart();
        *cart.pointer_mut(pointer).unwrap() = value.clone();
        assert!(serde_json::from_value::<Cart>(cart).is_err(), "{pointer}: {value}");
    }
}
