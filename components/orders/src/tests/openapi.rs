//! The OpenAPI document against the running service.

use axum::http::Method;
use identity::Role;
use serde_json::{Value, json};
use service::testing::{Answered, Ask, Contract, INTERNAL_SECRET};

use super::faults::Fault;
use super::shop::{Shop, nobody, text, usd};
use crate::routes::OPENAPI;

const CHECKOUT: &str = "/api/checkout";

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::with_internal_secret(INTERNAL_SECRET);
    let mut contract = Contract::new(OPENAPI, &shop.instance());
    contract.describes_routes_of(include_str!("../routes.rs"));
    shop.coupon("TEN", 5);
    shop.world.books().catalog.tax_rates.push(json!({
        "name": "Sales tax", "country": "US", "region": null, "postcode_prefix": null, "tax_class": "standard",
        "rate": 100_000, "applies_to_shipping": true,
    }));

    let guests = a_guests_order(&shop, &mut contract);
    let id = text(&guests["id"]);
    let anns = an_accounts_order(&shop, &mut contract);
    for query in ["", "?limit=1", "?state=paid&created_from=2020-01-01T00:00:00Z&created_until=2999-01-01T00:00:00Z"] {
        let path = format!("/api/orders{query}");
        contract.check("get", "/api/orders", &shop.get(&path).staff().send());
        contract.check("get", "/api/orders", &shop.get(&path).account("ann", Role::Customer).send());
    }
    let path = "/api/orders?email=guest@example.com&customer=nobody";
    contract.check("get", "/api/orders", &shop.get(path).staff().send());

    let path = format!("/api/orders/{id}/refunds");
    let part = json!({"lines": [{"sku": "MUG", "quantity": 1}], "reason": "broken", "restock": true});
    let refunded = shop.refund(&guests["id"], part);
    refunded.is(201);
    contract.check("post", &path, &refunded);
    let path = format!("/api/orders/{id}/transitions");
    contract.ask("post", &path, json!({"to": "packed"})).is(200);
    contract.ask("post", &path, json!({"to": "shipped", "tracking": "T-1", "reason": "by van"})).is(200);
    let cancelled = format!("/api/orders/{}/cancel", text(&anns["id"]));
    let ask = shop.post(&cancelled).account("ann", Role::Customer).header("if-match", "*");
    contract.check("post", &cancelled, &ask.json(json!({"reason": "too dear"})));
    for order in [&guests["id"], &anns["id"]] {
        let path = format!("/api/orders/{}", text(order));
        contract.check("get", &path, &shop.get(&path).staff().send());
        let path = format!("{path}/history");
        contract.check("get", &path, &shop.get(&path).staff().send());
    }

    contract.ask("post", "/internal/payments/changed", json!({"order_id": guests["id"]})).is(204);
    contract.ask("post", "/internal/shipments/changed", json!({"order_id": guests["id"]})).is(204);
    contract.ask("post", "/internal/orders/sweep", Value::Null);
    contract.ask("get", "/internal/outbox?after=0&limit=100", Value::Null);
    contract.ask("get", "/api/orders/openapi.json", Value::Null);
    contract.ask("get", "/api/orders/audit", Value::Null);
    shop.world.books().catalog.variants.get_mut("PAN").unwrap().on_hand += 1;
    shop.world.books().payments.intents.get_mut(id).unwrap().captured -= 1;
    shop.change("UPDATE orders SET touched_at_ms = 0");
    let found = contract.ask("get", "/api/orders/audit", Value::Null).is(200);
    assert!(found["findings"].as_array().unwrap().len() > 1);

    for (method, path, answer) in refusals(&shop, id) {
        assert!(!answer.status.is_success(), "{method} {path}: {}", answer.status);
        contract.check(method, path.split('?').next().unwrap(), &answer);
    }
    checkouts_that_come_to_nothing(&shop, &mut contract);
    contract.finish();
}

/// An order of a guest, with a coupon, as the checkout and others show it.
fn a_guests_order(shop: &Shop, contract: &mut Contract) -> Value {
    let cart = shop.cart(&[("MUG", 2), ("PAN", 1)]);
    shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned(), "NONE".to_owned()];
    let mut wish = shop.wish(&cart, "tok_action");
    let changed = shop.check_out(&shop.key(), &wish);
    let now = changed.is(409);
    assert!(!now["quote"]["taxes"].as_array().unwrap().is_empty() && now["quote"]["rejected_coupons"][0].is_object());
    contract.check("post", CHECKOUT, &changed);
    wish["expected_total"] = now["quote"]["totals"]["total"].clone();
    let asked = shop.check_out("k", &wish);
    let order = asked.is(202);
    contract.check("post", CHECKOUT, &asked);
    let path = format!("/api/orders/{}", text(&order["id"]));
    let guest = |path: &str| shop.get(path).header("x-order-token", text(&order["order_token"]));
    let shown = guest(&path).send();
    contract.check("get", &path, &shown);
    let etag = shown.header("etag".parse().unwrap());
    let unchanged = guest(&path).header("if-none-match", etag).send();
    unchanged.is(304);
    contract.check("get", &path, &unchanged);
    shop.world.books().payments.confirm(text(&order["id"]));
    contract.ask("post", "/internal/payments/changed", json!({"order_id": order["id"]})).is(204);
    let paid = shop.check_out("k", &wish);
    paid.is(201);
    contract.check("post", CHECKOUT, &paid);
    let path = format!("{path}/history");
    contract.check("get", &path, &guest(&path).send());
    order
}

/// An order of an account, with all that can be said.
fn an_accounts_order(shop: &Shop, contract: &mut Contract) -> Value {
    shop.fill("account ann", &[("MUG", 1)]);
    let mut wish = shop.wish_of("account ann", "tok_refund_pending");
    let billing = json!({"name": "Ann Ltd", "lines": ["2 Road", "Floor 3"], "city": "Oslo", "country": "NO"});
    wish["billing_address"] = billing;
    wish["note"] = json!("Ring twice.");
    wish["email"] = json!("ann@example.com");
    wish["return_url"] = json!("https://shop.example/back");
    let ask = |wish: &Value| shop.checkout(&shop.key()).account("ann", Role::Customer).json(wish.clone());
    wish["expected_total"] = ask(&wish).is(409)["quote"]["totals"]["total"].clone();
    let placed = ask(&wish);
    contract.check("post", CHECKOUT, &placed);
    let order = placed.is(201);
    let path = format!("/api/orders/{}/refunds", text(&order["id"]));
    let part = json!({"amount": usd(5), "shipping": true, "reason": "late", "restock": false});
    let waits = shop.refund(&order["id"], part);
    waits.is(202);
    contract.check("post", &path, &waits);
    order
}

/// Checkouts that place nothing, or an order that fails.
fn checkouts_that_come_to_nothing(shop: &Shop, contract: &mut Contract) {
    shop.world.books().catalog.tax_rates.clear();
    let mut check = |answer: Answered, status: u16| {
        answer.is(status);
        contract.check("post", CHECKOUT, &answer);
    };
    let wish = |units: i64, token: &str| shop.wish(&shop.cart(&[("POT", units)]), token);
    check(shop.check_out("declined", &wish(1, "tok_decline")), 402);
    check(shop.check_out("many", &wish(50, "tok_approve")), 409);
    shop.world.books().catalog.sold_out_when_asked = true;
    check(shop.check_out("short", &wish(1, "tok_approve")), 409);
    shop.world.books().catalog.sold_out_when_asked = false;
    let cart = shop.cart(&[("POT", 1)]);
    shop.coupon("ONCE", 0);
    shop.world.books().catalog.promotions.retain(|promotion| promotion["coupon"] == "ONCE");
    shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["ONCE".to_owned()];
    check(shop.check_out("used up", &shop.wish(&cart, "tok_approve")), 409);
    for quote in ["expired.1.1.1", "1.1.DE.1", "altered"] {
        let mut stale = wish(1, "tok_approve");
        stale["shipping_quote"] = json!(quote);
        check(shop.check_out(quote, &stale), 409);
    }
    let good = wish(1, "tok_approve");
    shop.world.faults.next("internal/quotes", Fault::Fails);
    check(shop.check_out("alone", &good), 503);
    shop.world.books().catalog.variants.get_mut("POT").unwrap().archived = true;
    check(shop.check_out("archived", &good), 409);
    let empty = wish(0, "tok_approve");
    shop.world.books().carts.0.get_mut(text(&empty["cart"]["token"])).unwrap().lines.clear();
    check(shop.check_out("empty", &empty), 409);
    let mut gone = good.clone();
    gone["cart"]["token"] = json!("gone");
    check(shop.check_out("gone", &gone), 409);
    check(shop.post(CHECKOUT).json(good.clone()), 400);
    check(shop.checkout(&"k".repeat(129)).json(good.clone()), 400);
    check(shop.check_out("k", &good), 409);
    check(shop.check_out("declined", &good), 409);
    check(shop.checkout("x").header("authorization", "Bearer x").json(good.clone()), 401);
    let mut nobodys = good.clone();
    nobodys["cart"] = Value::Null;
    check(shop.check_out("x", &nobodys), 401);
    let mut card = good;
    card["payment_method"] = json!("4242424242424242");
    check(shop.check_out("x", &card), 422);
    check(shop.check_out("x", &json!({"email": 1})), 422);
    check(shop.checkout("x").body("{"), 400);
    check(shop.checkout("x").body(" ".repeat(600_000)), 413);
}

/// Method and path of requests, and how they were refused.
type Refusals = Vec<(&'static str, String, Answered)>;

fn refusals(shop: &Shop, id: &str) -> Refusals {
    let mut refusals = of_strangers(shop, id);
    refusals.extend(of_changes(shop, id));
    refusals.extend(of_lists(shop));
    refusals.extend(of_other_services(shop, id));
    refusals
}

/// Who may not see an order, and ids that no order has.
fn of_strangers(shop: &Shop, id: &str) -> Refusals {
    let mut refusals = Refusals::new();
    for id in [id, text(&nobody()), "B-222222", "%FF", "%00", "a%2Fb", "%20", "%F0%9F%A6%80"] {
        for (method, path) in [(Method::GET, ""), (Method::GET, "/history"), (Method::POST, "/cancel")] {
            let (path, name) = (format!("/api/orders/{id}{path}"), if method == Method::GET { "get" } else { "post" });
            let ask = || shop.request(method.clone(), &path);
            refusals.push((name, path.clone(), ask().send()));
            refusals.push((name, path.clone(), ask().account("eve", Role::Customer).send()));
            refusals.push((name, path.clone(), ask().header("x-order-token", "x").send()));
            refusals.push((name, path.clone(), ask().header("authorization", "Bearer x").send()));
        }
    }
    refusals
}

fn of_changes(shop: &Shop, id: &str) -> Refusals {
    let (mut refusals, missing) = (Refusals::new(), nobody());
    for (what, body) in [
        ("cancel", json!({"reason": "late"})),
        ("refunds", json!({"reason": "late", "restock": false})),
        ("transitions", json!({"to": "packed"})),
    ] {
        let path = format!("/api/orders/{id}/{what}");
        let ask = || shop.post(&path).staff().header("idempotency-key", "refused");
        let at = || ask().header("if-match", "*");
        for answer in [
            ask().json(body.clone()),
            ask().header("if-match", "\"0-0\"").json(body.clone()),
            at().body("{"),
            at().body(" ".repeat(600_000)),
            at().json(json!({})),
            at().json(json!({"reason": "4242424242424242"})),
        ] {
            refusals.push(("post", path.clone(), answer));
        }
        if what != "cancel" {
            refusals.push(("post", path.clone(), shop.post(&path).json(body.clone())));
            refusals.push(("post", path.clone(), shop.post(&path).role(Role::Customer).json(body.clone())));
            let path = format!("/api/orders/{}/{what}", text(&missing));
            refusals.push(("post", path.clone(), shop.post(&path).staff().json(body)));
        } else {
            refusals.push(("post", path.clone(), at().json(body)));
        }
    }
    let path = format!("/api/orders/{id}/refunds");
    let units = json!({"lines": [{"sku": "MUG", "quantity": 9}], "reason": "late", "restock": false});
    for body in [json!({"amount": usd(999_999), "reason": "late", "restock": false}), units] {
        let ask = shop.post(&path).staff().header("if-match", "*");
        refusals.push(("post", path.clone(), ask.json(body.clone())));
        let ask = shop.post(&path).staff().header("if-match", "*").header("idempotency-key", "refused");
        refusals.push(("post", path.clone(), ask.json(body)));
    }
    refusals
}

fn of_lists(shop: &Shop) -> Refusals {
    let mut refusals = Refusals::new();
    for query in ["limit=0", "limit=x", "cursor=x", "state=lost", "created_from=now", "sort=id", "customer=ann"] {
        let path = format!("/api/orders?{query}");
        let answer = shop.get(&path).account("ann", Role::Customer).send();
        refusals.push(("get", path, answer));
    }
    refusals.push(("get", "/api/orders".to_owned(), shop.get("/api/orders").send()));
    for query in ["cursor=x", "limit=1"] {
        let path = format!("/api/orders/audit?{query}");
        let answer = shop.get(&path).role(Role::Admin).send();
        refusals.push(("get", path, answer));
    }
    shop.world.faults.next("stock/audit", Fault::Fails);
    let path = "/api/orders/audit";
    refusals.push(("get", path.to_owned(), shop.get(path).role(Role::Admin).send()));
    refusals
}

fn of_other_services(shop: &Shop, id: &str) -> Refusals {
    let mut refusals = Refusals::new();
    let internal = |ask: Ask| ask.header("x-internal-secret", INTERNAL_SECRET);
    for query in ["after=x", "limit=101", "cursor=x"] {
        let path = format!("/internal/outbox?{query}");
        let answer = internal(shop.get(&path)).send();
        refusals.push(("get", path, answer));
    }
    for (path, call) in
        [("/internal/payments/changed", "GET payments/"), ("/internal/shipments/changed", "GET shipping/")]
    {
        refusals.push(("post", path.to_owned(), internal(shop.post(path)).json(json!({"order_id": nobody()}))));
        shop.world.faults.next(call, Fault::Fails);
        refusals.push(("post", path.to_owned(), internal(shop.post(path)).json(json!({"order_id": id}))));
    }
    refusals
}
