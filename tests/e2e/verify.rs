//! An operator holds the books of the services against each other.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};
use tests::shop::Shop;
use tests::visitor::Visitor;

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
