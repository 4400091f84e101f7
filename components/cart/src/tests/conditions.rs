//! Versions, and writes that are repeated.

use axum::http::{Method, header};
use serde_json::{Value, json};

use super::shelf::euro;
use super::shop::{ANN, Shop, Who, list};
use crate::cart::ATTEMPTS_KEPT;

#[test]
fn a_version_that_is_known_is_not_sent_again() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 1).is(200);
    let shown = shop.show(&guest);
    let etag = shown.header(header::ETAG).to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong tag: {etag}");
    assert_eq!(shown.header(header::CACHE_CONTROL), "private, no-cache");
    let again = || shop.ask(&guest, Method::GET, "/api/cart").header("if-none-match", &etag).send();
    let unchanged = again();
    assert_eq!((unchanged.status.as_u16(), unchanged.body.len()), (304, 0));
    assert_eq!(unchanged.header(header::ETAG), etag);
    // What is shown has changed, even though nobody wrote to the cart.
    shop.shelf.put("MUG", json!({"price": euro(950)}));
    assert_eq!(again().is(200)["totals"]["total"], euro(950));
}

#[test]
fn a_write_against_an_old_version_is_refused() {
    let shop = Shop::open();
    let guest = shop.guest();
    let first = shop.etag(&guest);
    shop.add(&guest, "MUG", 1).is(200);
    let second = shop.etag(&guest);
    assert_ne!(first, second);
    let writes: [(Method, &str, Value); 6] = [
        (Method::POST, "/api/cart/lines", json!({"sku": "MUG", "quantity": 1})),
        (Method::PUT, "/api/cart/lines/MUG", json!({"quantity": 9})),
        (Method::DELETE, "/api/cart/lines/MUG", Value::Null),
        (Method::POST, "/api/cart/coupons", json!({"code": "PAN10"})),
        (Method::PUT, "/api/cart/destination", json!({"country": "DE"})),
        (Method::DELETE, "/api/cart", Value::Null),
    ];
    for (method, path, body) in writes {
        let refused = shop.ask(&guest, method, path).header("if-match", &first).json(body);
        refused.is_problem(412, "precondition-failed", "it was changed since you read it", json!({}));
    }
    assert_eq!(shop.etag(&guest), second);

    // Prices move under a shopper, who may write all the same.
    shop.shelf.put("MUG", json!({"price": euro(950)}));
    let write = |etag: &str| {
        let ask = shop.ask(&guest, Method::PUT, "/api/cart/lines/MUG").header("if-match", etag);
        ask.json(json!({"quantity": 3}))
    };
    let third = write(&second);
    third.is(200);
    write(&second).is(412);
    write("*").is(200);
    write(&format!("\"0-0\", {}", third.header(header::ETAG))).is(200);
}

#[test]
fn an_account_that_never_had_a_cart_has_a_version_as_well() {
    let shop = Shop::open();
    let etag = shop.etag(&ANN);
    let add = || {
        let ask = shop.ask(&ANN, Method::POST, "/api/cart/lines").header("if-match", &etag);
        ask.json(json!({"sku": "MUG", "quantity": 1}))
    };
    add().is(200);
    add().is(412);
}

#[test]
fn a_repeat_with_the_same_key_adds_once() {
    let shop = Shop::open();
    let guest = shop.guest();
    let etag = shop.etag(&guest);
    let add = |key: &str, quantity: u32| {
        let ask = shop.ask(&guest, Method::POST, "/api/cart/lines").header("idempotency-key", key);
        ask.json(json!({"sku": "MUG", "quantity": quantity}))
    };
    let first = add("k-1", 2).is(200);
    assert_eq!(add("k-1", 2).is(200), first);
    assert_eq!(shop.units(&guest), list(&[("MUG", 2)]));
    add("k-1", 3).is_problem(
        422,
        "idempotency-key-reused",
        "repeat the first request unchanged, or choose a new key",
        json!({}),
    );
    let other_route = shop.ask(&guest, Method::POST, "/api/cart/coupons").header("idempotency-key", "k-1");
    other_route.json(json!({"code": "PAN10"})).is(422);
    // The version that it was to be made against is that of before the first time.
    let conditional = || {
        let ask = shop.ask(&guest, Method::POST, "/api/cart/lines").header("idempotency-key", "k-2");
        let etag = if shop.units(&guest)[0].1 == 2 { shop.etag(&guest) } else { etag.clone() };
        ask.header("if-match", &etag).json(json!({"sku": "MUG", "quantity": 5}))
    };
    conditional().is(200);
    conditional().is(200);
    assert_eq!(shop.units(&guest), list(&[("MUG", 7)]));
    add("", 1).is(400);
    add(&"k".repeat(129), 1).is(400);
}

#[test]
fn keys_are_of_one_cart_and_of_its_last_writes() {
    let shop = Shop::open();
    let (one, two) = (shop.guest(), shop.guest());
    let add = |who: &Who, key: &str| {
        let ask = shop.ask(who, Method::POST, "/api/cart/lines").header("idempotency-key", key);
        ask.json(json!({"sku": "MUG", "quantity": 1})).is(200)
    };
    add(&one, "k");
    add(&two, "k");
    assert_eq!([shop.units(&one), shop.units(&two)], [list(&[("MUG", 1)]), list(&[("MUG", 1)])]);
    (1..ATTEMPTS_KEPT).for_each(|n| drop(add(&one, &format!("k-{n}"))));
    assert_eq!(add(&one, "k")["units"], ATTEMPTS_KEPT, "it is still known");
    add(&one, "one more");
    assert_eq!(add(&one, "k")["units"], ATTEMPTS_KEPT + 2, "it is forgotten");
}

#[test]
fn a_coupon_that_was_withdrawn_does_not_come_back_by_a_repeat() {
    let shop = Shop::open();
    let enter = || {
        let ask = shop.ask(&ANN, Method::POST, "/api/cart/coupons").header("idempotency-key", "c");
        ask.json(json!({"code": "PAN10"})).is(200)
    };
    enter();
    shop.withdraw(&ANN, "PAN10").is(200);
    assert_eq!(enter()["coupons"], json!([]));
}
