//! Placing an order: what is answered, what is taken, and what is left behind.

use serde_json::{Value, json};

use super::shop::{DELIVERY, Shop, text, usd};

#[test]
fn a_guest_buys_what_is_in_the_cart() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 2), ("PAN", 1)]);
    let answer = shop.check_out("k", &shop.wish(&cart, "tok_approve"));
    let order = answer.is(201);
    assert_eq!((&order["state"], &order["totals"]["total"]), (&json!("paid"), &usd(4500 + DELIVERY)));
    assert_eq!(answer.header("location".parse().unwrap()), format!("/api/orders/{}", text(&order["id"])));
    let line = &order["lines"][0];
    assert_eq!((&line["sku"], &line["title"], &line["quantity"]), (&json!("MUG"), &json!("The MUG"), &json!(2)));
    assert_eq!((&line["unit_price"], &line["gross"]), (&usd(1000), &usd(2000)));
    assert_eq!((&order["shipping"]["name"], &order["shipping"]["gross"]), (&json!("Post"), &usd(DELIVERY)));
    assert_eq!((&order["customer"], &order["email"]), (&Value::Null, &json!("guest@example.com")));

    assert_eq!((shop.units("MUG"), shop.units("PAN")), ((8, 0), (9, 0)));
    assert_eq!(shop.money(), 4500 + DELIVERY);
    assert!(shop.world.books().carts.0[&cart].lines.is_empty(), "what was ordered has left the cart");
    assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "created");
    assert_eq!(shop.tasks(), [""; 0]);
    assert_eq!(shop.findings(), [json!(null); 0]);
}
