//! What a cart has no room for, and input that means no good.

use axum::http::Method;
use commerce::QUANTITY_MAX;
use pricing_client::COUPONS_MAX;
use serde_json::{Value, json};

use super::shop::{ANN, Shop};
use crate::cart::{ATTEMPTS_KEPT, Cart, LINES_MAX, MERGES_KEPT, ORDERS_KEPT};
use crate::changes::DOCUMENT_BYTES_MAX;

#[test]
fn a_full_cart_takes_no_more_lines() {
    let shop = Shop::open();
    for n in 0..LINES_MAX {
        shop.shelf.put(&format!("S{n}"), json!({}));
        shop.add(&ANN, &format!("S{n}"), 1).is(200);
    }
    let full = shop.add(&ANN, "MUG", 1);
    full.is_problem(409, "cart-full", "a cart has at most 100 lines", json!({"lines_max": LINES_MAX}));
    shop.add(&ANN, "S7", 1).is(200);
    shop.remove(&ANN, "S7").is(200);
    assert_eq!(shop.add(&ANN, "MUG", 1).is(200)["lines"].as_array().unwrap().len(), LINES_MAX);
}

#[test]
fn a_line_has_a_largest_quantity() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", QUANTITY_MAX).is(200);
    let more = shop.add(&ANN, "MUG", 1);
    let members = json!({"quantity_max": QUANTITY_MAX});
    more.is_problem(409, "quantity-exceeds", "a line has at most 1000000 units", members);
    assert_eq!(shop.cart(&ANN)["units"], QUANTITY_MAX);
}

#[test]
fn a_cart_takes_so_many_coupons() {
    let shop = Shop::open();
    for n in 0..COUPONS_MAX {
        shop.enter(&ANN, &format!("C{n}")).is(200);
    }
    let more = shop.enter(&ANN, "ONE-MORE");
    more.is_problem(409, "too-many-coupons", "a cart has at most 20 coupons", json!({"coupons_max": COUPONS_MAX}));
    shop.enter(&ANN, "c7").is(200);
}

#[test]
fn input_that_means_no_good_changes_nothing() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 1).is(200);
    let before = shop.store.documents();
    let post = |path: &str, body: String| shop.ask(&guest, Method::POST, path).body(body).status.as_u16();
    for quantity in ["0", "-1", "1000001", "4294967296", "99999999999999999999", "1.5", "\"1\"", "null", "1e3", "[]"] {
        let line = format!(r#"{{"sku": "MUG", "quantity": {quantity}}}"#);
        assert_eq!(post("/api/cart/lines", line), 422, "{quantity}");
        let set = shop.ask(&guest, Method::PUT, "/api/cart/lines/MUG").body(format!(r#"{{"quantity": {quantity}}}"#));
        assert_eq!(set.status, 422, "{quantity}");
    }
    for body in [
        json!({}),
        json!([]),
        json!({"sku": "MUG"}),
        json!({"sku": "", "quantity": 1}),
        json!({"sku": "A B", "quantity": 1}),
        json!({"sku": "x".repeat(65), "quantity": 1}),
        json!({"sku": "MUG", "quantity": 1, "price": 1}),
        json!({"sku": ["MUG"], "quantity": 1}),
    ] {
        assert_eq!(post("/api/cart/lines", body.to_string()), 422, "{body}");
    }
    for code in [json!(""), json!("  "), json!("A B"), json!("A\nB"), json!("x".repeat(41)), json!(7), Value::Null] {
        assert_eq!(post("/api/cart/coupons", json!({"code": code}).to_string()), 422, "{code}");
    }
    for path in ["/api/cart/lines", "/api/cart/coupons"] {
        assert_eq!(post(path, "{".to_owned()), 400);
        assert_eq!(post(path, "[".repeat(100_000)), 400);
        assert_eq!(post(path, " ".repeat(600_000)), 413);
        assert_eq!(post(path, String::new()), 400);
    }
    assert_eq!(shop.store.documents(), before);
}

#[test]
fn the_fullest_cart_fits_its_document() {
    // Characters that take most room where they are written down.
    let mut cart = Cart::default();
    cart.touch(commerce::unix_ms());
    for n in 0..LINES_MAX {
        let sku = format!("{n:03}{}", "\"".repeat(61)).try_into().unwrap();
        let price = serde_json::from_value(json!({"amount": commerce::AMOUNT_MAX, "currency": "EUR"})).unwrap();
        cart.add(sku, QUANTITY_MAX.try_into().unwrap(), price).unwrap();
    }
    (0..COUPONS_MAX).for_each(|n| cart.enter(format!("{n:02}{}", "😀".repeat(38))).unwrap());
    (0..MERGES_KEPT).for_each(|_| cart.merges.push("m".repeat(64 + "guest/".len())));
    (0..ORDERS_KEPT).for_each(|_| cart.orders.push("\"".repeat(128)));
    let headers = |n: usize| {
        let key = format!("{n:02}{}", "\"".repeat(126));
        axum::http::HeaderMap::from_iter([("idempotency-key".parse().unwrap(), key.parse().unwrap())])
    };
    for n in 0..ATTEMPTS_KEPT {
        let attempt = crate::attempt::Attempt::from_headers(&headers(n), "POST", b"");
        cart.attempts.push(attempt.unwrap().unwrap());
    }
    cart.destination =
        serde_json::from_value(json!({"country": "DE", "region": "😀".repeat(100), "postcode": "1234567890"})).unwrap();
    let bytes = serde_json::to_vec(&cart).unwrap().len();
    assert!(bytes > DOCUMENT_BYTES_MAX / 3 && bytes <= DOCUMENT_BYTES_MAX, "{bytes}");
}
