//! A shopper buys: registers, fills a cart, chooses a delivery, pays, follows the parcel, and gets money back.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::shop::Shop;
use tests::shopper::{Shopper, Site};
use tests::visitor::Visitor;

async fn available(shop: &Shop, slug: &str) -> Value {
    shop.host.json(&format!("/api/products/{slug}")).await["available"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_buys_and_gets_money_back() {
    let shop = Shop::start().await.with_products(2).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    let staff = Visitor::staff(&shop);

    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-2", "quantity": 1 }), 200).await;
    let order = ann.check_out("first").await;
    assert_eq!(order["state"], "paid");
    assert_eq!(order["totals"]["subtotal"]["amount"], 2 * 1_050 + 1_100);
    assert_eq!(ann.get("/api/cart").await["lines"], json!([]), "what was bought is no longer in the cart");
    assert_eq!((available(&shop, "product-1").await, available(&shop, "product-2").await), (json!(8), json!(9)));
    assert_eq!(ann.get("/api/orders").await["items"][0]["id"], order["id"]);

    staff.act(&order, "transitions", json!({ "to": "packed" })).await;
    staff.act(&order, "transitions", json!({ "to": "shipped", "tracking": "1Z-999" })).await;
    let shown = ann.get(&format!("/api/orders/{}", order["id"].as_str().expect("an id"))).await;
    assert_eq!((&shown["state"], &shown["tracking"]), (&json!("shipped"), &json!("1Z-999")));
    let parcels = staff.get("/api/shipping/shipments").await;
    let parcel = &parcels["items"][0];
    assert_eq!((&parcel["order_id"], &parcel["tracking_number"]), (&order["id"], &json!("1Z-999")), "{parcels}");
    assert_eq!(staff.act(&order, "transitions", json!({ "to": "delivered" })).await["state"], "delivered");
    let line = json!([{ "sku": "P-1", "quantity": 1 }]);
    let refund = json!({ "lines": line, "reason": "broken", "restock": false });
    let partly = staff.act(&order, "refunds", refund).await;
    assert_eq!((&partly["state"], &partly["refunded"]["amount"]), (&json!("delivered"), &json!(1_050)));
    assert_eq!(available(&shop, "product-1").await, 8, "what is broken does not come back");

    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-2", "quantity": 3 }), 200).await;
    let second = ann.check_out("second").await;
    assert_eq!(available(&shop, "product-2").await, 6);
    let cancelled = ann.act(&second, "cancel", json!({ "reason": "changed my mind" })).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["refunded"], second["totals"]["total"]);
    assert_eq!(available(&shop, "product-2").await, 9);

    let history = ann.get(&format!("/api/orders/{}/history", order["id"].as_str().expect("an id"))).await;
    let states: Vec<&str> =
        history["items"].as_array().expect("a list").iter().filter_map(|step| step["to"].as_str()).collect();
    assert_eq!(states, ["pending", "paid", "packed", "shipped", "delivered"], "{history}");
    shop.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_confirms_with_their_bank_and_nobody_else_does_for_them() {
    let shop = Shop::start().await.with_products(1).await;
    let site = Site::of(&shop.host);
    let guest = Shopper::new(&site).await;
    let wish = guest.wish(&guest.add("P-1", 1).await, "tok_action").await;
    let asked = guest.check_out("first", &wish).await.is(202);
    let path = asked["next_action"]["path"].as_str().expect("a path");
    let confirm = async |token: Option<&Value>| {
        let with = |request: RequestBuilder| match token {
            Some(token) => request.header("x-order-token", token.as_str().expect("a token")),
            None => request,
        };
        site.ask(Method::POST, path, with).await
    };
    confirm(None).await.is(401);
    confirm(Some(&json!("of-another-order"))).await.is(404);
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    ann.ask(Method::POST, path, &Value::Null, 404).await;
    assert_eq!(guest.check_out("first", &wish).await.is(202)["state"], "pending");
    // Orders is told at once, and may have taken the money by then.
    let confirmed = confirm(Some(&asked["order_token"])).await.is(200);
    assert!(confirmed["state"] == "captured" || confirmed["state"] == "authorized", "{confirmed}");
    assert_eq!(guest.check_out_to_the_end("first", &wish).await.is(201)["state"], "paid");
    shop.verify().await;
}
