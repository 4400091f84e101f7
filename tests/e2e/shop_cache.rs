//! The shop's public answers come from the gateway's cache, and every change of a price or a stock is seen at once.

use reqwest::Response;
use serde_json::{Value, json};
use tests::host::PATIENCE;
use tests::programs;
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tokio::time::{Duration, Instant, sleep};

/// A shop as the repository has it, with the catalog's internal routes open to the test.
async fn shop() -> Shop {
    let gateway = std::fs::read(programs::repository().join("gateway.toml")).expect("the repository has one");
    Shop::start_with_internal_routes_of("catalog", |app| app.file("gateway.toml", gateway)).await.with_products(3).await
}

fn is_hit(answer: &Response) -> bool {
    answer.headers().get("cache-status").is_some_and(|told| told.as_bytes().starts_with(b"Bodega; hit"))
}

/// Reads a product twice, of which the second time is from memory, and gives what both say.
async fn read(shop: &Shop, path: &str) -> Value {
    let first = shop.host.get(path).await;
    assert!(!is_hit(&first), "something has changed: {first:?}");
    let first = json_of(first, 200).await;
    let second = shop.host.get(path).await;
    assert!(is_hit(&second), "{second:?}");
    assert_eq!(second.headers()["cache-control"], "private, no-cache");
    assert!(!second.headers().contains_key("surrogate-key"), "{second:?}");
    assert_eq!(json_of(second, 200).await, first);
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_price_or_stock_is_seen_at_once() {
    let shop = shop().await;
    let (by_slug, other) = ("/api/products/product-1", "/api/products/product-2");
    let product = read(&shop, by_slug).await;
    let by_id = format!("/api/products/{}", product["id"].as_str().expect("an id"));
    let list = "/api/products?q=product";
    for path in [&by_id, list, other] {
        read(&shop, path).await;
    }
    let stays = async || assert!(is_hit(&shop.host.get(other).await), "another product has not changed");

    let variant = json!({ "sku": "P-1", "price": { "amount": 777, "currency": "USD" } });
    let patch = shop.staff(shop.host.client().patch(shop.host.url(&by_id))).header("if-match", "*");
    let patched = patch.json(&json!({ "variants": [variant] })).send().await.expect("an answer");
    assert!(!patched.headers().contains_key("x-bodega-purge"), "{patched:?}");
    json_of(patched, 200).await;
    for path in [by_slug, &by_id] {
        let read = read(&shop, path).await;
        assert_eq!((&read["price"]["amount"], &read["available"]), (&json!(777), &json!(10)));
    }
    assert!(read(&shop, list).await["items"].to_string().contains("777"));
    stays().await;

    let adjust = shop.staff(shop.host.post(&format!("{by_id}/variants/P-1/stock")));
    json_of(adjust.json(&json!({ "delta": -4, "reason": "lost" })).send().await.expect("an answer"), 200).await;
    assert_eq!(read(&shop, by_slug).await["available"], 6);
    stays().await;

    // By an order: what orders asks of the catalog within the application counts too.
    let site = Site::of(&shop.host);
    let order = Shopper::new(&site).await.buy("P-1", 2, "order-1", "tok_approve").await;
    order.is(201);
    assert_eq!(read(&shop, by_slug).await["available"], 4);
    stays().await;

    let import = json!({ "sku": "P-1", "title": "Product 1", "variants": [{ "sku": "P-1", "stock": 3, "price": variant["price"] }] });
    shop.import("", "application/jsonl", format!("{import}\n")).await;
    assert_eq!(read(&shop, by_slug).await["available"], 3);
    read(&shop, other).await;

    let archive = shop.staff(shop.host.client().delete(shop.host.url(&by_id))).header("if-match", "*");
    json_of(archive.send().await.expect("an answer"), 200).await;
    assert_eq!(shop.host.get(by_slug).await.status(), 404);
    let seen = shop.staff(shop.host.request(by_slug)).send().await.expect("an answer");
    assert_eq!((seen.status().as_u16(), is_hit(&seen)), (200, false), "staff sees it, and nobody else after it");
    assert_eq!(shop.host.get(by_slug).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_that_is_held_and_given_back_is_seen_at_once() {
    let shop = shop().await;
    let path = "/api/products/product-1";
    assert_eq!(read(&shop, path).await["available"], 10);
    let hold = async |order: &str, quantity: u32, expires_in_s: u32| {
        let line = json!({ "sku": "P-1", "quantity": quantity });
        let wish = json!({ "order_id": order, "lines": [line], "expires_in_s": expires_in_s });
        shop.host.post("/internal/reservations").json(&wish).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!(hold("o-1", 4, 600).await, 200);
    assert_eq!(read(&shop, path).await["available"], 6);
    let release = shop.host.post("/internal/reservations/o-1/release").send().await.expect("an answer");
    assert_eq!(release.status(), 200);
    assert_eq!(read(&shop, path).await["available"], 10);

    // Time alone changes nothing: what has expired is given back by a sweep, which tells.
    assert_eq!(hold("o-2", 7, 1).await, 200);
    assert_eq!(read(&shop, path).await["available"], 3);
    sleep(Duration::from_millis(1_100)).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The shop's own schedule may have been first.
        let swept = shop.host.post("/internal/reservations/sweep").send().await.expect("an answer");
        assert_eq!(swept.status(), 200);
        let now = json_of(shop.host.get(path).await, 200).await;
        if now["available"] == 10 {
            break;
        }
        assert!(Instant::now() < deadline, "{now}");
    }

    // Or for somebody who found too little, also if that was not enough.
    assert_eq!(hold("o-3", 7, 1).await, 200);
    assert_eq!(json_of(shop.host.get(path).await, 200).await["available"], 3);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(hold("o-4", 11, 600).await, 409);
    assert_eq!(json_of(shop.host.get(path).await, 200).await["available"], 10);
}
