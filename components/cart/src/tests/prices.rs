//! Prices, stock and coupons as they are when the cart is looked at.

use axum::http::Method;
use identity::Role;
use serde_json::{Value, json};
use service::testing::Ask;

use super::shelf::euro;
use super::shop::{ANN, Shop, Who, list, problems};

#[test]
fn a_cart_is_priced_anew_whenever_it_is_read() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 2).is(200);
    shop.shelf.put("MUG", json!({"price": euro(1000), "title": "Big mug", "weight_g": 300}));
    let cart = shop.cart(&guest);
    let mug = &cart["lines"][0];
    assert_eq!((&mug["unit_price"], &mug["product"]["title"]), (&euro(1000), &json!("Big mug")));
    assert_eq!(cart["parcel"], json!({"weight_g": 2 * 300, "value": euro(2000)}));
    assert_eq!(mug["problems"], json!([{"kind": "price_changed", "from": euro(900), "to": euro(1000)}]));
    assert_eq!((&cart["totals"]["total"], &cart["can_be_ordered"]), (&euro(2000), &json!(true)));
    // A shopper who changes the line has seen the new price.
    assert_eq!(problems(&shop.set(&guest, "MUG", 3).is(200)), [Vec::<String>::new()]);
}

#[test]
fn what_cannot_be_had_is_told_by_line() {
    let shop = Shop::open();
    for sku in ["A", "B", "C", "D"] {
        shop.shelf.put(sku, json!({}));
        shop.add(&ANN, sku, 4).is(200);
    }
    shop.add(&ANN, "MUG", 1).is(200);
    shop.shelf.put("A", json!({"available": 3}));
    shop.shelf.put("B", json!({"available": 0}));
    shop.shelf.put("C", json!({"archived": true}));
    shop.shelf.forget("D");
    let cart = shop.cart(&ANN);
    assert_eq!(problems(&cart), [vec!["short"], vec!["sold_out"], vec!["archived"], vec!["unknown"], vec![]]);
    assert_eq!(cart["lines"][0]["problems"], json!([{"kind": "short", "available": 3}]));
    assert_eq!(cart["can_be_ordered"], false);
    // What the shop does not sell has no price and is no part of the total.
    assert_eq!(cart["totals"]["total"], euro(8 * 1000 + 900));
    assert_eq!((&cart["lines"][2]["unit_price"], &cart["lines"][2]["amounts"]), (&Value::Null, &Value::Null));
    assert_eq!((&cart["lines"][3]["product"], &cart["lines"][3]["quantity"]), (&Value::Null, &json!(4)));
    shop.set(&ANN, "A", 3).is(200);
    for sku in ["B", "C", "D"] {
        shop.remove(&ANN, sku).is(200);
    }
    assert_eq!(shop.cart(&ANN)["can_be_ordered"], true);
}

#[test]
fn a_coupon_takes_something_off_or_says_why_not() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 1).is(200);
    shop.enter(&guest, " pan10 ").is(200);
    shop.enter(&guest, "BIG5").is(200);
    let cart = shop.enter(&guest, "NOPE").is(200);
    assert_eq!(cart["coupons"], json!(["pan10", "BIG5", "NOPE"]));
    assert_eq!(
        cart["rejected_coupons"],
        json!([
            {"code": "pan10", "reason": "nothing_in_scope"},
            {"code": "BIG5", "reason": "subtotal_below", "min": euro(10_000)},
            {"code": "NOPE", "reason": "unknown"},
        ])
    );
    let cart = shop.add(&guest, "PAN", 3).is(200);
    assert_eq!(cart["rejected_coupons"], json!([{"code": "NOPE", "reason": "unknown"}]));
    let off = |promotion: &str, reason: &str, coupon: &str, amount| json!({"promotion": promotion, "reason": reason, "coupon": coupon, "amount": euro(amount)});
    let (pans, big) = (off("p1", "10 % off pans", "PAN10", 1200), off("p2", "5.00 off", "BIG5", 500));
    assert_eq!(cart["discounts"], json!([pans, big]));
    assert_eq!(cart["lines"][1]["amounts"]["discounts"][0], pans);
    assert_eq!(cart["totals"]["total"], euro(900 + 12_000 - 1700));

    // Entering it once more changes nothing, and case does not matter.
    let etag = shop.etag(&guest);
    assert_eq!(shop.enter(&guest, "PaN10").is(200), cart);
    assert_eq!(shop.etag(&guest), etag);
    assert_eq!(shop.withdraw(&guest, "PAN10").is(200)["coupons"], json!(["BIG5", "NOPE"]));
    shop.withdraw(&guest, "PAN10").is_problem(404, "not-found", "there is no coupon \"PAN10\"", json!({}));
}

#[test]
fn taxes_are_those_of_the_destination() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", 1).is(200);
    let to = |destination: Value| shop.ask(&ANN, Method::PUT, "/api/cart/destination").json(destination);
    let berlin = to(json!({"country": "DE", "postcode": "10115"})).is(200);
    assert_eq!(berlin["destination"], json!({"country": "DE", "region": null, "postcode": "10115"}));
    // 19 % within 9.00.
    let vat = json!({"name": "VAT", "rate": 190_000, "base": euro(756), "amount": euro(144)});
    assert_eq!(berlin["taxes"], json!([vat]));
    assert_eq!(berlin["lines"][0]["amounts"]["taxes"], json!([vat]));
    assert_eq!(berlin["totals"]["prices_include_tax"], true);
    assert_eq!((&berlin["totals"]["tax_total"], &berlin["totals"]["total"]), (&euro(144), &euro(900)));
    let vienna = to(json!({"country": "AT"})).is(200);
    assert_eq!((&vienna["taxes"], &vienna["totals"]["prices_include_tax"]), (&json!([]), &json!(false)));

    for wrong in [
        json!({}),
        json!({"country": "Germany"}),
        json!({"country": "DE", "postcode": "-"}),
        json!({"country": "DE", "postcode": "1".repeat(11)}),
        json!({"country": "DE", "region": "r".repeat(101)}),
        json!({"country": "DE", "street": "Weg 1"}),
    ] {
        to(wrong).is(422);
    }
    assert_eq!(shop.cart(&ANN), vienna);
}

#[test]
fn without_the_catalog_nothing_is_lost() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 2).is(200);
    let before = shop.store.documents();
    shop.shelf.is_down(true);
    let detail = "catalog did not do its part; try again";
    shop.show(&guest).is_problem(503, "peer-failed", detail, json!({}));
    shop.add(&guest, "MUG", 1).is(503);
    shop.remove(&guest, "MUG").is(503);
    shop.enter(&guest, "PAN10").is(503);
    shop.merge(&ANN, &guest).is(503);
    shop.ask(&guest, Method::POST, "/api/cart").send().is(503);
    assert_eq!(shop.store.documents(), before);
    shop.shelf.is_down(false);
    assert_eq!(shop.units(&guest), list(&[("MUG", 2)]));
}

#[test]
fn without_a_price_nothing_changes() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", 2).is(200);
    let before = shop.store.documents();
    let twice = json!({"id": "p1", "title": "Off", "reward": {"kind": "fixed_total", "amount": 5}});
    shop.shelf.set_promotions(json!([twice, twice]));
    let problem = shop.show(&ANN).is(503);
    assert_eq!((&problem["type"], &problem["detail"]), (&json!("urn:bodega:problem:pricing-failed"), &Value::Null));
    shop.add(&ANN, "MUG", 1).is(503);
    assert_eq!(shop.store.documents(), before);
}

#[test]
fn more_than_any_money_is_shown_without_a_total() {
    let shop = Shop::open();
    shop.shelf.put("GOLD", json!({"price": euro(commerce::AMOUNT_MAX)}));
    shop.add(&ANN, "MUG", 1).is(200);
    let cart = shop.add(&ANN, "GOLD", 2).is(200);
    assert_eq!(
        (&cart["totals"], &cart["parcel"], &cart["problems"]),
        (&Value::Null, &Value::Null, &json!([{"kind": "total_too_large"}]))
    );
    assert_eq!((&cart["can_be_ordered"], &cart["lines"][1]["amounts"]), (&json!(false), &Value::Null));
    assert_eq!(shop.remove(&ANN, "GOLD").is(200)["totals"]["total"], euro(900));
}

#[test]
fn what_is_for_a_group_is_for_its_members_alone() {
    let shop = Shop::open();
    let trade = json!({
        "id": "p1", "title": "Trade", "customer_groups": ["trade"],
        "reward": {"kind": "percentage", "basis_points": 1000},
    });
    shop.shelf.set_promotions(json!([trade]));
    let line = json!({"sku": "MUG", "quantity": 2});
    let add = |ask: Ask| ask.json(line.clone()).is(200)["totals"]["total"].clone();
    let ask = || Ask::new(&shop.router, Method::POST, "/api/cart/lines");
    assert_eq!(add(ask().member("tom", "trade")), euro(1620));
    assert_eq!(add(ask().member("may", "press")), euro(1800));
    let guest = shop.guest();
    assert_eq!(shop.add(&guest, "MUG", 2).is(200)["totals"]["total"], euro(1800));
    assert_eq!(add(shop.ask(&ANN, Method::POST, "/api/cart/lines")), euro(1800));

    // It is the group of now, whatever the cart was shown at before, and a header says nothing.
    let show = || Ask::new(&shop.router, Method::GET, "/api/cart");
    assert_eq!(show().member("may", "trade").send().is(200)["totals"]["total"], euro(1620));
    let claimed = show().account("tom", Role::Customer).header("x-customer-group", "trade");
    assert_eq!(claimed.send().is(200)["totals"]["total"], euro(1800));
    let Who::Guest(token) = guest else { unreachable!("it was made as one") };
    let merge = Ask::new(&shop.router, Method::POST, "/api/cart/merge").member("tom", "trade");
    assert_eq!(merge.json(json!({"token": token})).is(200)["cart"]["totals"]["total"], euro(3240));
}
