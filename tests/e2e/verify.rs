//! An operator holds the books of the services against each other.

use std::process::Output;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tests::shop::Shop;
use tests::shopper::{Shopper, Site};
use tests::visitor::Visitor;
use tokio::time::sleep;

const KILLS: u64 = 4;

/// `bodega verify --json`.
async fn verify(shop: &Shop) -> Output {
    let token = shop.issuer.access_token("admin");
    let arguments = ["verify", "--json", "--url", &shop.host.url(""), "--token", &token];
    shop.host.app().command(&arguments).await.expect("the host's binary runs")
}

fn read(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
}

/// Changes the database of a service behind its back.
fn tamper(shop: &Shop, database: &str, sql: &str) {
    let database = rusqlite::Connection::open(shop.host.folder().join(database)).expect("a database");
    database.execute_batch(sql).expect("a change");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reads_what_does_not_agree() {
    let shop = Shop::start().await.with_products(2).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    let order = ann.check_out("first").await;

    let output = verify(&shop).await;
    let checked = json!({ "orders": 1, "reservations": 1, "intents": 1, "in_motion": 0, "variants": 2 });
    assert_eq!((output.status.code(), read(&output)), (Some(0), json!({ "checked": checked, "findings": [] })));

    tamper(&shop, "catalog.db", "UPDATE variants SET on_hand = on_hand + 1 WHERE sku = 'P-2'");
    tamper(&shop, "payments.db", "UPDATE intents SET captured = captured - 1");
    let content = "json_set(content, '$.lines[0].gross.amount', 1)";
    tamper(&shop, "orders.db", &format!("DROP TRIGGER order_is_fixed; UPDATE orders SET content = {content}"));
    let output = verify(&shop).await;
    let found = read(&output);
    assert_eq!((output.status.code(), &found["checked"]), (Some(1), &checked), "{found}");
    let named: Vec<(&Value, &Value)> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| (&finding["kind"], &finding["order_id"]))
        .collect();
    let expected = [
        (&json!("stock-count"), &Value::Null),
        (&json!("order-total"), &order["id"]),
        (&json!("payment-missing"), &order["id"]),
    ];
    assert_eq!(named, expected, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_do_not_agree_with_what_happened_are_named_in_every_service() {
    let shop = Shop::start().await.with_products(1).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 1 }), 200).await;
    let order = ann.check_out("first").await;
    shop.verify().await;

    tamper(&shop, "payments.db", "DELETE FROM outbox WHERE type = 'bodega.payment.captured'");
    tamper(&shop, "shipping.db", "DELETE FROM outbox WHERE type = 'bodega.shipment.created'");
    let stray = "INSERT INTO outbox (id, type, subject, time, data)
        SELECT 'copy', type, subject, time, data FROM outbox WHERE type = 'bodega.order.paid'";
    tamper(&shop, "orders.db", stray);
    let found = read(&verify(&shop).await);
    let named: Vec<(&Value, &str)> = found["findings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|finding| {
            (&finding["kind"], finding["detail"].as_str().expect("words").split(':').next().expect("a name"))
        })
        .collect();
    let [missing, stray] = [json!("event-missing"), json!("event-without-change")];
    assert_eq!(named, [(&stray, "orders"), (&missing, "payments"), (&missing, "shipping")], "{found}");
    assert!(found["findings"].as_array().expect("a list").iter().all(|finding| finding["order_id"] == order["id"]));
}

/// `bodega verify --json` of a shop that no host runs.
async fn verify_stopped(shop: &Shop) -> Output {
    let token = shop.issuer.access_token("admin");
    let output = shop.host.app().command_on_it("verify", &["--json", "--token", &token]).await;
    output.expect("the host's binary runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_shop_is_looked_at_and_left_as_it_was() {
    let mut shop = Shop::start().await.with_products(1).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    let order = ann.check_out("first").await;
    let output = verify_stopped(&shop).await;
    assert_eq!(output.status.code(), Some(0), "the host that has the stores is asked: {output:?}");
    shop.host.stop().await;

    let output = verify_stopped(&shop).await;
    let checked = json!({ "orders": 1, "reservations": 1, "intents": 1, "in_motion": 0, "variants": 1 });
    assert_eq!((output.status.code(), read(&output)), (Some(0), json!({ "checked": checked, "findings": [] })));
    assert!(!shop.host.app().state_dir().join("verify").exists());

    tamper(&shop, "payments.db", "UPDATE intents SET captured = captured - 1");
    let output = verify_stopped(&shop).await;
    let found = read(&output);
    assert_eq!((output.status.code(), &found["checked"]), (Some(1), &checked), "{found}");
    let finding = &found["findings"][0];
    assert_eq!((&finding["kind"], &finding["order_id"]), (&json!("payment-missing"), &order["id"]));

    let nowhere = shop.host.app().command(&["verify", "--token", "t", "--state-dir", "elsewhere"]).await;
    let said = String::from_utf8_lossy(&nowhere.expect("the host's binary runs").stderr).into_owned();
    assert!(said.contains("spin.toml") || said.contains("there is no store"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_was_killed_in_the_middle_of_checkouts_has_open_work_and_no_breach() {
    let mut shop = Shop::start().await.with_products(1).await;
    let site = Site::of(&shop.host);
    let mut left_open = 0;
    for round in 0..KILLS {
        let shopper = Shopper::new(&site).await;
        // The provider takes its time, so that the kill comes in between.
        let wish = shopper.wish(&shopper.add("P-1", 1).await, "tok_timeout").await;
        let key = format!("round-{round}");
        let checkout = tokio::spawn(async move { shopper.check_out_to_the_end(&key, &wish).await });
        sleep(Duration::from_millis(60 + 40 * round)).await;
        shop.host.kill_9().await;
        let output = verify_stopped(&shop).await;
        let found = read(&output);
        assert_eq!((output.status.code(), &found["findings"]), (Some(0), &json!([])), "{found}");
        left_open += found["checked"]["in_motion"].as_u64().expect("a count");
        shop.host.restart().await;
        site.moved_to(&shop.host);
        assert_eq!(checkout.await.expect("an answer in the end").status, 201);
    }
    assert!(left_open > 0, "no kill met an open checkout");
    shop.verify().await;
}
