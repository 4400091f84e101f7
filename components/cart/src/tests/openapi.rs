//! The OpenAPI document against the running service.

use axum::http::Method;
use serde_json::{Value, json};
use service::testing::{Answered, Ask, Contract, INTERNAL_SECRET};

use super::memory::Memory;
use super::shop::{ANN, Shop, Who};
use crate::routes::OPENAPI;

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::with(Memory::default(), INTERNAL_SECRET);
    let mut contract = Contract::new(OPENAPI, &shop.router);
    contract.describes_routes_of(include_str!("../routes.rs"));

    let made = Ask::new(&shop.router, Method::POST, "/api/cart").send();
    contract.check("post", "/api/cart", &made);
    let guest = Who::Guest(made.json()["token"].as_str().unwrap().to_owned());
    contract.check("post", "/api/cart", &shop.ask(&ANN, Method::POST, "/api/cart").send());

    // Something is wrong with each line, and with each coupon.
    for sku in ["OLD", "GONE", "LAST"] {
        shop.shelf.put(sku, json!({"attributes": {"size": "42"}, "image": "/a.jpg"}));
        contract.check("post", "/api/cart/lines", &shop.add(&guest, sku, 5));
    }
    contract.check("post", "/api/cart/lines", &shop.add(&guest, "MUG", 1));
    shop.shelf.put("OLD", json!({"archived": true}));
    shop.shelf.put("LAST", json!({"available": 1, "price": {"amount": 1, "currency": "EUR"}}));
    shop.shelf.forget("GONE");
    for code in ["PAN10", "BIG5", "NOPE"] {
        contract.check("post", "/api/cart/coupons", &shop.enter(&guest, code));
    }
    let to = |who: &Who, destination: Value| shop.ask(who, Method::PUT, "/api/cart/destination").json(destination);
    contract.check("put", "/api/cart/destination", &to(&guest, json!({"country": "DE", "postcode": "10115"})));
    contract.check("get", "/api/cart", &shop.show(&guest));
    contract.check("put", "/api/cart/lines/MUG", &shop.set(&guest, "MUG", 2));
    contract.check("delete", "/api/cart/lines/OLD", &shop.remove(&guest, "OLD"));
    contract.check("delete", "/api/cart/coupons/nope", &shop.withdraw(&guest, "nope"));
    contract.ask("post", "/internal/carts/resolve", guest.named(json!({})));
    contract.check("post", "/api/cart/lines", &shop.add(&ANN, "PAN", 6));
    contract.check("post", "/api/cart/lines", &shop.add(&guest, "PAN", 6));
    contract.check("post", "/api/cart/merge", &shop.merge(&ANN, &guest));
    contract.check("get", "/api/cart", &shop.show(&ANN));
    let order = json!({"order_id": "o-1", "lines": [{"sku": "PAN", "quantity": 1}]});
    contract.ask("post", "/internal/carts/checked-out", ANN.named(order));
    contract.ask("post", "/internal/carts/resolve", json!({"customer": "bob"}));
    contract.ask("post", "/internal/carts/sweep", Value::Null);
    contract.ask("get", "/api/cart/openapi.json", Value::Null);
    let etag = shop.etag(&ANN);
    let known = shop.ask(&ANN, Method::GET, "/api/cart").header("if-none-match", &etag).send();
    contract.check("get", "/api/cart", &known);
    shop.shelf.put("GOLD", json!({"price": {"amount": commerce::AMOUNT_MAX, "currency": "EUR"}}));
    contract.check("post", "/api/cart/lines", &shop.add(&ANN, "GOLD", 2));

    for (method, path, answer) in refusals(&shop, &guest) {
        assert!(!answer.status.is_success(), "{method} {path}: {}", answer.status);
        contract.check(method, path, &answer);
    }
    contract.check("delete", "/api/cart", &shop.ask(&ANN, Method::DELETE, "/api/cart").send());
    contract.finish();
}

/// Requests that are refused; the guest's cart is gone.
fn refusals(shop: &Shop, guest: &Who) -> Vec<(&'static str, &'static str, Answered)> {
    let mut refusals = Vec::new();
    let writes: [(&str, &str, Value); 7] = [
        ("post", "/api/cart/lines", json!({"sku": "MUG", "quantity": 1})),
        ("put", "/api/cart/lines/MUG", json!({"quantity": 1})),
        ("delete", "/api/cart/lines/MUG", Value::Null),
        ("post", "/api/cart/coupons", json!({"code": "PAN10"})),
        ("delete", "/api/cart/coupons/PAN10", Value::Null),
        ("put", "/api/cart/destination", json!({"country": "AT"})),
        ("delete", "/api/cart", Value::Null),
    ];
    for (method, path, body) in writes {
        let verb: Method = method.to_uppercase().parse().unwrap();
        let ask = |who: &Who| shop.ask(who, verb.clone(), path);
        refusals.push((method, path, ask(guest).json(body.clone())));
        refusals.push((method, path, ask(&ANN).header("if-match", "\"1-0\"").json(body.clone())));
        refusals.push((method, path, ask(&ANN).header("authorization", "Bearer x").json(body.clone())));
        refusals.push((method, path, Ask::new(&shop.router, verb.clone(), path).json(body.clone())));
        if body.is_object() {
            refusals.push((method, path, ask(&ANN).json(json!({"no such field": 1}))));
            refusals.push((method, path, ask(&ANN).body("{")));
            refusals.push((method, path, ask(&ANN).body(" ".repeat(600_000))));
        }
        if path != "/api/cart" {
            shop.shelf.is_down(true);
            refusals.push((method, path, ask(&ANN).json(body)));
            shop.shelf.is_down(false);
        }
    }
    refusals.push(("post", "/api/cart/lines", shop.add(&ANN, "NONE", 1)));
    refusals.push(("post", "/api/cart/lines", shop.add(&ANN, "MUG", 1_000_000)));
    refusals.push(("post", "/api/cart/merge", shop.post(&ANN, "/api/cart/merge", json!({"token": "x"}))));
    refusals.push(("post", "/api/cart/merge", shop.post(guest, "/api/cart/merge", json!({"token": "x"}))));
    refusals.push(("get", "/api/cart", shop.show(guest)));
    refusals
}
