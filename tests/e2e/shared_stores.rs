//! Several hosts serve one service, since its store is one that they share: in Redis, or with `bodega stores`.

use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::host::{Host, PATIENCE};
use tests::redis::RedisServer;
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tests::stores::StoresServer;
use tests::tokens::TokenIssuer;
use tokio::time::{sleep, timeout};

/// A shop whose carts are in the server.
async fn shop(redis: &RedisServer) -> Shop {
    let carts = format!("type = \"redis\"\nurl = \"{}\"", redis.url(0));
    Shop::start_on(&[("key_value_store.cart", &carts)], TokenIssuer::new(), Shop::app()).await.with_products(2).await
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

/// A catalog alone, whose database is on the server.
async fn catalog(stores: &StoresServer) -> Shop {
    let app = Shop::app_with_internal_routes_of("catalog").argument("--component-id").argument("catalog");
    Shop::start_on(&[("sqlite_database.catalog", &stores.table("catalog"))], TokenIssuer::new(), app).await
}

/// Holds one unit for an order; the status of the answer, if one comes.
async fn reserve(host: &Host, order: usize) -> Option<u16> {
    let body = json!({
        "order_id": format!("01890000-0000-7000-8000-{order:012}"),
        "lines": [{ "sku": "P-1", "quantity": 1 }],
        "expires_in_s": 600,
    });
    Some(host.post("/internal/reservations").json(&body).send().await.ok()?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_catalogs_on_one_database_sell_no_unit_twice() {
    const BUYERS: usize = 64;
    const STOCK: usize = 10;
    let stores = StoresServer::start(&["catalog"]).await;
    let (first, second) = (catalog(&stores).await.with_products(1).await, catalog(&stores).await);
    assert_eq!(second.host.json("/api/products").await["items"][0]["title"], "Product 1");
    let hosts = [&first.host, &second.host];
    let statuses = join_all((0..BUYERS).map(|buyer| reserve(hosts[buyer % 2], buyer))).await;
    let won = statuses.iter().filter(|status| status.is_some_and(|status| (200..300).contains(&status))).count();
    let lost = statuses.iter().filter(|status| **status == Some(409)).count();
    assert_eq!((won, lost), (STOCK, BUYERS - STOCK), "{statuses:?}");
    let variant = first.host.json("/internal/variants?sku=P-1").await;
    assert_eq!(variant, second.host.json("/internal/variants?sku=P-1").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_dies_in_a_transaction_does_not_keep_the_others_waiting() {
    const STOCK: usize = 10;
    /// A transaction may be open for 5 s.
    const LIMIT: Duration = Duration::from_secs(10);
    let stores = StoresServer::start(&["catalog"]).await;
    let (first, mut second) = (catalog(&stores).await.with_products(1).await, catalog(&stores).await);
    // It is killed while it writes, at whatever point that is.
    let dying = {
        let second = &second;
        let all = join_all((0..6).map(|order| reserve(&second.host, order)));
        timeout(Duration::from_millis(15), all).await.unwrap_or_default()
    };
    second.host.kill_9().await;
    // And one died for sure between BEGIN and COMMIT.
    let left = stores.execute_and_leave("catalog", &["BEGIN IMMEDIATE", "UPDATE variant SET sku = sku"]).await;
    assert_eq!(left["results"][0]["type"], "ok", "{left}");
    let begun = Instant::now();
    let mut won = 0;
    for order in 6..6 + 2 * STOCK {
        match reserve(&first.host, order).await {
            Some(409) => {}
            Some(status) if (200..300).contains(&status) => won += 1,
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    }
    let acknowledged = dying.iter().filter(|status| status.is_some_and(|status| (200..300).contains(&status))).count();
    assert!(won <= STOCK - acknowledged && won >= STOCK - 6, "{won} after {acknowledged}");
}

/// Buys one unit, asking again whenever the shop fails.
async fn buy(site: &Site, sku: &str, key: &str) {
    let shopper = Shopper::new(site).await;
    let wish = shopper.wish(&shopper.add(sku, 1).await, "tok_approve").await;
    shopper.check_out_to_the_end(key, &wish).await.is(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_goes_on_when_its_stores_come_back() {
    const BUYERS: usize = 6;
    const LABELS: [&str; 5] = ["auth", "catalog", "orders", "payments", "shipping"];
    let mut stores = StoresServer::start(&LABELS).await;
    let tables = LABELS.map(|label| (format!("sqlite_database.{label}"), stores.table(label)));
    let elsewhere: Vec<(&str, &str)> = tables.iter().map(|(name, lines)| (&**name, &**lines)).collect();
    let shop = Shop::start_on(&elsewhere, TokenIssuer::new(), Shop::app()).await.with_products(2).await;
    let site = Site::of(&shop.host);
    buy(&site, "P-1", "first").await;
    let product = shop.host.json("/api/products").await["items"][0].clone();
    stores.kill_9().await;
    // What the gateway has not stored.
    let answer = shop.host.get("/api/products?limit=1").await;
    assert!(answer.status().is_server_error(), "{}", answer.status());
    stores.restart().await;
    // The host was not restarted, and what was acknowledged is there.
    assert_eq!(shop.host.json("/api/products?limit=1").await["items"][0], product);
    // Once more, while orders are placed: in the end all are there, each once.
    let keys: [String; BUYERS] = std::array::from_fn(|n| format!("buyer-{n}"));
    let buying = join_all(keys.iter().map(|key| buy(&site, "P-2", key)));
    let restarting = async {
        sleep(Duration::from_millis(150)).await;
        stores.kill_9().await;
        sleep(Duration::from_millis(300)).await;
        stores.restart().await;
    };
    timeout(2 * PATIENCE, futures::future::join(buying, restarting)).await.expect("all have bought");
    assert!(site.repeats() > 0, "somebody met the stores while they were away");
    shop.verify().await;
    assert_eq!(shop.verify_now().await["checked"]["orders"], 1 + BUYERS);

    // A backup of the stores while they are served.
    let (folder, state) = (stores.app().folder().join("backup"), stores.app().state_dir());
    let arguments = ["backup", folder.to_str().expect("UTF-8"), "--state-dir", state.to_str().expect("UTF-8")];
    let output = stores.app().command(&arguments).await.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    for label in LABELS {
        assert!(folder.join(format!("sqlite-{label}.db")).is_file(), "{label}: {output:?}");
    }
    assert!(stores.stop().await, "it ends well");

    // What the shop says of it: the databases are elsewhere.
    let folder = shop.host.folder().join("backup");
    let output = shop.host.app().command_on_it("backup", &[folder.to_str().expect("UTF-8")]).await.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("not in it: the SQL database `orders`, which is kept by http://"), "{output:?}");
}
