//! Staff gives some customers better prices than others.

use reqwest::Method;
use serde_json::{Value, json};
use tests::shop::{Shop, json_of};
use tests::visitor::Visitor;

/// What 2 of the first product cost.
const FULL: i64 = 2 * 1_050;

/// Puts 2 of the first product into the cart, and tells what they cost.
async fn total(visitor: &Visitor<'_>) -> i64 {
    let line = json!({ "sku": "P-1", "quantity": 2 });
    let cart = visitor.ask(Method::POST, "/api/cart/lines", &line, 200).await;
    cart["totals"]["total"]["amount"].as_i64().expect("an amount")
}

async fn put_into(staff: &Visitor<'_>, account: &str, group: Value) {
    let path = format!("/api/auth/accounts/{account}/customer-group");
    let request = staff.request(Method::PUT, &path).header("if-match", "*").json(&json!({ "customer_group": group }));
    let account = json_of(request.send().await.expect("an answer"), 200).await;
    assert_eq!(account["customer_group"], group);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_a_group_is_for_its_members_alone() {
    let shop = Shop::start().await.with_products(1).await;
    let staff = Visitor::staff(&shop);
    let reward = json!({ "kind": "percentage", "basis_points": 2_000 });
    let promotion = json!({ "title": "Trade", "customer_groups": ["trade"], "reward": reward });
    staff.ask(Method::POST, "/api/promotions", &promotion, 201).await;
    let bob = Visitor::registered(&shop, "bob@example.com").await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    put_into(&staff, &ann.account_id, json!("trade")).await;
    assert_eq!(total(&ann).await, FULL, "the token that is out says nothing of the group");

    let ann = Visitor::logged_in(&shop, "ann@example.com").await;
    let cart = ann.get("/api/cart").await;
    assert_eq!(cart["totals"]["total"]["amount"], FULL * 8 / 10, "{cart}");
    assert_eq!((&cart["discounts"][0]["reason"], total(&bob).await), (&json!("Trade"), FULL));

    // What is charged is decided where it is charged, and not by whoever says what they were shown.
    let order = ann.check_out("trade").await;
    assert_eq!(order["totals"]["subtotal"]["amount"], FULL);
    assert_eq!(order["totals"]["discount_total"]["amount"], FULL * 2 / 10);
    let order = bob.check_out("full").await;
    assert_eq!(order["totals"]["discount_total"]["amount"], 0);

    put_into(&staff, &ann.account_id, Value::Null).await;
    assert_eq!(total(&Visitor::logged_in(&shop, "ann@example.com").await).await, FULL);
    shop.verify().await;
}
