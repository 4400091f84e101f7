//! A shopper fills a cart as a guest, comes back after the host was restarted or killed, logs in, and loses nothing.

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::host::Host;
use tests::shop::{Shop, json_of};

/// The account of the tokens that the tests mint.
const CUSTOMER: &str = "01890000-0000-7000-8000-000000000001";

fn usd(amount: i64) -> Value {
    json!({ "amount": amount, "currency": "USD" })
}

/// Makes a guest's cart, and gives its token.
async fn guest(host: &Host) -> String {
    let made = json_of(host.post("/api/cart").send().await.expect("an answer"), 201).await;
    made["token"].as_str().expect("a token").to_owned()
}

fn by_guest(host: &Host, method: Method, path: &str, token: &str) -> RequestBuilder {
    host.client().request(method, host.url(path)).header("x-cart-token", token)
}

fn by_customer(shop: &Shop, method: Method, path: &str) -> RequestBuilder {
    shop.host.client().request(method, shop.host.url(path)).bearer_auth(shop.issuer.access_token("customer"))
}

async fn answer(request: RequestBuilder, status: u16) -> Value {
    json_of(request.send().await.expect("an answer"), status).await
}

async fn add(request: RequestBuilder, sku: &str, quantity: u32) -> Value {
    answer(request.json(&json!({ "sku": sku, "quantity": quantity })), 200).await
}

fn units(cart: &Value) -> Vec<(&str, u64)> {
    let lines = cart["lines"].as_array().expect("lines").iter();
    lines.filter_map(|line| Some((line["sku"].as_str()?, line["quantity"].as_u64()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guests_cart_outlives_the_host_and_becomes_the_accounts() {
    let mut shop = Shop::start().await.with_products(2).await;
    let token = guest(&shop.host).await;
    add(by_guest(&shop.host, Method::POST, "/api/cart/lines", &token), "P-1", 2).await;
    let filled = add(by_guest(&shop.host, Method::POST, "/api/cart/lines", &token), "P-2", 1).await;
    assert_eq!(filled["totals"]["total"], usd(2 * 1_050 + 1_100), "{filled}");
    assert_eq!(
        (&filled["lines"][0]["product"]["title"], &filled["lines"][0]["available"]),
        (&json!("Product 1"), &json!(10))
    );

    assert_eq!(shop.host.stop().await.code(), Some(0));
    shop.host.restart().await;
    let show = |host: &Host| answer(by_guest(host, Method::GET, "/api/cart", &token), 200);
    assert_eq!(show(&shop.host).await, filled);
    // What was answered is on disk, even if the host is killed right after.
    let changed = by_guest(&shop.host, Method::PUT, "/api/cart/lines/P-2", &token).json(&json!({ "quantity": 9 }));
    let changed = answer(changed, 200).await;
    shop.host.kill_9().await;
    shop.host.restart().await;
    assert_eq!(show(&shop.host).await, changed);

    add(by_customer(&shop, Method::POST, "/api/cart/lines"), "P-2", 4).await;
    let merge = || answer(by_customer(&shop, Method::POST, "/api/cart/merge").json(&json!({ "token": token })), 200);
    let merged = merge().await;
    assert_eq!(units(&merged["cart"]), [("P-2", 10), ("P-1", 2)], "as many as there are: {merged}");
    assert_eq!(merged["left_out"], json!([{ "sku": "P-2", "quantity": 3 }]));
    let again = merge().await;
    assert_eq!((&again["cart"], &again["left_out"]), (&merged["cart"], &json!([])));
    let gone = answer(by_guest(&shop.host, Method::GET, "/api/cart", &token), 404).await;
    assert_eq!(gone["type"], "urn:bodega:problem:not-found");
    assert_eq!(answer(by_customer(&shop, Method::GET, "/api/cart"), 200).await, merged["cart"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn adds_at_the_same_time_are_all_there() {
    const ADDS: usize = 60;
    let shop = Shop::start().await.with_products(1).await;
    let token = guest(&shop.host).await;
    let add = |n: usize| {
        let request =
            by_guest(&shop.host, Method::POST, "/api/cart/lines", &token).json(&json!({ "sku": "P-1", "quantity": 1 }));
        async move {
            // A cart that stays busy says so and has not changed; the key makes sure of it.
            loop {
                let request = request.try_clone().expect("a body that can be sent again");
                let answer = request.header("idempotency-key", format!("add-{n}")).send().await.expect("an answer");
                match answer.status().as_u16() {
                    200 => return,
                    503 => {}
                    other => panic!("{other}: {:?}", answer.text().await),
                }
            }
        }
    };
    join_all((0..ADDS).map(add)).await;
    let cart = answer(by_guest(&shop.host, Method::GET, "/api/cart", &token), 200).await;
    assert_eq!(units(&cart), [("P-1", ADDS as u64)]);
    assert_eq!(cart["lines"][0]["problems"], json!([{ "kind": "short", "available": 10 }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_do_not_overwrite_each_other() {
    let shop = Shop::start().await.with_products(1).await;
    let add = by_customer(&shop, Method::POST, "/api/cart/lines").json(&json!({ "sku": "P-1", "quantity": 1 }));
    let added = add.send().await.expect("an answer");
    let etag = added.headers()["etag"].to_str().expect("a text").to_owned();
    let set = |quantity: u32| {
        let request = by_customer(&shop, Method::PUT, "/api/cart/lines/P-1").header("if-match", &etag);
        request.json(&json!({ "quantity": quantity }))
    };
    answer(set(3), 200).await;
    assert_eq!(answer(set(5), 412).await["type"], "urn:bodega:problem:precondition-failed");
    let known = by_customer(&shop, Method::GET, "/api/cart").send().await.expect("an answer").headers()["etag"].clone();
    let unchanged = by_customer(&shop, Method::GET, "/api/cart").header("if-none-match", known).send().await;
    assert_eq!(unchanged.expect("an answer").status(), 304);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shops_rules_price_the_cart() {
    let shop = Shop::start().await.with_products(1).await;
    let tenth =
        json!({ "title": "A tenth off", "coupon": "TENTH", "reward": { "kind": "percentage", "basis_points": 1000 } });
    answer(shop.staff(shop.host.post("/api/promotions")).json(&tenth), 201).await;
    let vat = json!({
        "name": "VAT", "country": "DE", "tax_class": "standard", "rate": 190_000, "applies_to_shipping": true,
    });
    answer(shop.staff(shop.host.post("/api/tax-rates")).json(&vat), 201).await;

    let token = guest(&shop.host).await;
    let ask = |method, path| by_guest(&shop.host, method, path, &token);
    add(ask(Method::POST, "/api/cart/lines"), "P-1", 2).await;
    answer(ask(Method::POST, "/api/cart/coupons").json(&json!({ "code": "lost" })), 200).await;
    answer(ask(Method::POST, "/api/cart/coupons").json(&json!({ "code": "tenth" })), 200).await;
    let cart = answer(ask(Method::PUT, "/api/cart/destination").json(&json!({ "country": "DE" })), 200).await;
    // 21.00 less 2.10, and 19 % of 18.90 (3.591).
    assert_eq!(cart["discounts"][0]["amount"], usd(210), "{cart}");
    assert_eq!((&cart["totals"]["tax_total"], &cart["totals"]["total"]), (&usd(359), &usd(2_249)));
    assert_eq!(cart["rejected_coupons"], json!([{ "code": "lost", "reason": "unknown" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_ordered_leaves_the_cart() {
    let public = Shop::start().await;
    let resolve = json!({ "customer": CUSTOMER });
    let asked = public.host.post("/internal/carts/resolve").json(&resolve).send().await;
    assert_eq!(asked.expect("an answer").status(), 404, "the path is on no route");

    let shop = Shop::start_with_internal_routes_of("cart", |app| app).await.with_products(1).await;
    add(by_customer(&shop, Method::POST, "/api/cart/lines"), "P-1", 3).await;
    let found = answer(shop.host.post("/internal/carts/resolve").json(&resolve), 200).await;
    assert_eq!(found["lines"], json!([{ "sku": "P-1", "quantity": 3, "seen_price": usd(1_050) }]));
    let order = json!({ "customer": CUSTOMER, "order_id": "o-1", "lines": [{ "sku": "P-1", "quantity": 2 }] });
    for _ in 0..2 {
        let left = answer(shop.host.post("/internal/carts/checked-out").json(&order), 200).await;
        assert_eq!(left["lines"][0]["quantity"], 1);
    }
    let swept = answer(shop.host.post("/internal/carts/sweep"), 200).await;
    assert_eq!((&swept["expired"], &swept["finished"]), (&json!(0), &json!(true)), "{swept}");
}
