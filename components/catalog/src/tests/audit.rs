//! The stock held against its books.

use axum::http::Method;
use futures::executor::block_on;
use serde_json::{Value, json};

use super::shop::{Shop, price};
use crate::store::audit::FINDINGS_MAX;

fn line(sku: &str, quantity: u32) -> Value {
    json!({"sku": sku, "quantity": quantity})
}

fn reserve(shop: &Shop, order_id: &str, lines: Value, then: &str) {
    shop.post("/internal/reservations", json!({"order_id": order_id, "lines": lines})).is(200);
    if !then.is_empty() {
        shop.request(Method::POST, &format!("/internal/reservations/{order_id}/{then}")).send().is(200);
    }
}

fn wrong(shop: &Shop) -> Value {
    shop.get("/internal/stock/audit").is(200)["wrong"].clone()
}

#[test]
fn whatever_is_done_with_stock_adds_up() {
    let shop = Shop::open();
    shop.stock_one("a", 10);
    shop.stock(
        "Pans",
        json!([{"sku": "b", "price": price(1), "stock": 5}, {"sku": "c", "price": price(1), "stock": 5}]),
    );
    reserve(&shop, "o-1", json!([line("a", 3), line("b", 2)]), "commit");
    reserve(&shop, "o-2", json!([line("a", 2)]), "release");
    reserve(&shop, "o-3", json!([line("a", 1)]), "");
    let back = json!({"restock_id": "r-1", "order_id": "o-1", "lines": [line("a", 1)]});
    shop.post("/internal/restocks", back).is(200);
    shop.post("/api/products/a/variants/a/stock", json!({"delta": -2, "reason": "broken"})).is(200);
    // A variant leaves the catalogue, and comes back with another count.
    let without = json!({"title": "Pans", "variants": [{"sku": "c", "price": price(1), "stock": 7}]});
    let put = |body: Value| shop.request(Method::PUT, "/api/products/pans").staff().header("if-match", "*").json(body);
    put(without).is(200);
    assert_eq!(wrong(&shop), json!([]));
    put(json!({"title": "Pans", "variants": [{"sku": "b", "price": price(1), "stock": 4}]})).is(200);
    assert_eq!(shop.get("/internal/stock/audit").is(200), json!({"variants": 2, "wrong_total": 0, "wrong": []}));
}

#[test]
fn counts_that_do_not_add_up_are_named() {
    let shop = Shop::open();
    shop.stock_one("a", 10);
    shop.stock_one("b", 10);
    reserve(&shop, "o-1", json!([line("a", 3)]), "commit");
    block_on(shop.database().execute("UPDATE variants SET on_hand = 8 WHERE sku = 'a'", &[])).unwrap();
    block_on(shop.database().execute("UPDATE variants SET reserved = 1 WHERE sku = 'b'", &[])).unwrap();
    let counts = |sku: &str, [on_hand, reserved, held, sold, counted]: [i64; 5]| json!({"sku": sku, "on_hand": on_hand, "reserved": reserved, "held": held, "sold": sold, "counted": counted});
    assert_eq!(wrong(&shop), json!([counts("a", [8, 0, 0, 3, 10]), counts("b", [10, 1, 0, 0, 10])]));
}

#[test]
fn every_variant_is_counted_however_many_there_are() {
    const VARIANTS: u32 = 2 * FINDINGS_MAX + 50;
    let shop = Shop::open();
    for n in 0..VARIANTS {
        shop.stock_one(&format!("v-{n:03}"), 1);
    }
    let audit = || shop.get("/internal/stock/audit").is(200);
    assert_eq!(audit(), json!({"variants": VARIANTS, "wrong_total": 0, "wrong": []}));
    let last = format!("v-{:03}", VARIANTS - 1);
    let miscount = |which: &str| {
        let sql = format!("UPDATE variants SET on_hand = on_hand + 1 WHERE {which}");
        block_on(shop.database().execute(&sql, &[])).unwrap();
    };
    miscount(&format!("sku = '{last}'"));
    let found = audit();
    assert_eq!((&found["wrong_total"], &found["wrong"][0]["sku"]), (&json!(1), &json!(last)));
    miscount("true");
    let found = audit();
    let named = found["wrong"].as_array().unwrap().len();
    assert_eq!((&found["wrong_total"], named), (&json!(VARIANTS), FINDINGS_MAX as usize));
}

#[test]
fn reservations_are_listed_by_order() {
    let shop = Shop::open();
    shop.stock_one("a", 10);
    reserve(&shop, "o-2", json!([line("a", 2)]), "commit");
    reserve(&shop, "o-1", json!([line("a", 1)]), "");
    let back = json!({"restock_id": "r-1", "order_id": "o-2", "lines": [line("a", 1)]});
    shop.post("/internal/restocks", back).is(200);
    let list = |query: &str| shop.get(&format!("/internal/reservations?{query}")).is(200)["items"].clone();
    let all = list("");
    assert_eq!(
        (&all[0]["order_id"], &all[0]["state"], &all[0]["restocked"]),
        (&json!("o-1"), &json!("held"), &json!([]))
    );
    assert_eq!((&all[1]["state"], &all[1]["restocked"]), (&json!("committed"), &json!([line("a", 1)])));
    assert_eq!(all[1]["redemption"], Value::Null);
    assert_eq!(list("limit=1"), json!([all[0]]));
    assert_eq!(list("after=o-1"), json!([all[1]]));
    assert_eq!(shop.get("/internal/reservations?limit=0").status, 400);
}
