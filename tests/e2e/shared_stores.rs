//! Several hosts serve one service, since its store is one that they share.

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::host::Host;
use tests::redis::RedisServer;
use tests::shop::{Shop, json_of};
use tests::tokens::TokenIssuer;

/// A shop whose carts are in the server.
async fn shop(redis: &RedisServer) -> Shop {
    let carts = format!("type = \"redis\"\nurl = \"{}\"", redis.url());
    Shop::start_on(&[("key_value_store.cart", &carts)], TokenIssuer::new(), |app| app).await.with_products(2).await
}

async fn answer(request: RequestBuilder, status: u16) -> Value {
    json_of(request.send().await.expect("an answer"), status).await
}

fn units(cart: &Value) -> Vec<(&str, u64)> {
    let lines = cart["lines"].as_array().expect("lines").iter();
    lines.filter_map(|line| Some((line["sku"].as_str()?, line["quantity"].as_u64()?))).collect()
}

/// Adds one unit, again and again while the cart is busy. The key has it count once.
async fn add_one(host: &Host, cart: &str, key: &str) {
    loop {
        let request = host.post("/api/cart/lines").header("x-cart-token", cart).header("idempotency-key", key);
        let answer = request.json(&json!({ "sku": "P-1", "quantity": 1 })).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => return,
            status => assert_eq!(status, 503, "{:?}", answer.text().await),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_with_one_redis_have_the_same_carts() {
    const ADDS: usize = 9;
    let Some(redis) = RedisServer::start().await else { return };
    let (first, second) = (shop(&redis).await, shop(&redis).await);
    let made = answer(first.host.post("/api/cart"), 201).await;
    let cart = made["token"].as_str().expect("a token");
    let by_guest = |host: &Host, method: Method, path: &str| {
        host.client().request(method, host.url(path)).header("x-cart-token", cart)
    };
    let line = json!({ "sku": "P-2", "quantity": 3 });
    answer(by_guest(&first.host, Method::POST, "/api/cart/lines").json(&line), 200).await;
    // Each host has a catalog of its own here, so what is compared is what is in the cart, not the products' ids.
    assert_eq!(units(&answer(by_guest(&second.host, Method::GET, "/api/cart"), 200).await), [("P-2", 3)]);
    let fewer = by_guest(&second.host, Method::PUT, "/api/cart/lines/P-2").json(&json!({ "quantity": 2 }));
    answer(fewer, 200).await;
    assert_eq!(units(&answer(by_guest(&first.host, Method::GET, "/api/cart"), 200).await), [("P-2", 2)]);

    // Both change it at the same time, and nothing is lost.
    let adding = (0..ADDS).map(|n| {
        let host = if n % 2 == 0 { &first.host } else { &second.host };
        async move { add_one(host, cart, &format!("add-{n}")).await }
    });
    join_all(adding).await;
    for host in [&first.host, &second.host] {
        let full = answer(by_guest(host, Method::GET, "/api/cart"), 200).await;
        assert_eq!(units(&full), [("P-2", 2), ("P-1", ADDS as u64)], "{full}");
    }

    // A copy of the stores says that the carts are not in it.
    let folder = first.host.folder().join("backup");
    let output = first.host.app().command_on_it("backup", &[folder.to_str().expect("UTF-8")]).await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("not in it: the key-value store `cart`"), "{said} {output:?}");
}
