//! What is written down: who changed an order, when and why, what came of each step, and the events for others.

use identity::Role;
use serde_json::{Value, json};

use super::shop::{Shop, text, usd};

#[test]
fn who_when_and_why() {
    let shop = Shop::open();
    let order = shop.ordered_by("ann", &[("MUG", 1)], "tok_approve");
    shop.act(&order["id"], "transitions", json!({"to": "packed", "reason": "by Sue"})).is(200);
    shop.act(&order["id"], "cancel", json!({"reason": "she called"})).is(200);
    let path = format!("/api/orders/{}/history", text(&order["id"]));
    let shown = shop.get(&path).staff().send().is(200);
    let entries: Vec<Value> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| json!([entry["from"], entry["to"], entry["by"]["role"], entry["by"]["account"], entry["reason"]]))
        .collect();
    assert_eq!(
        entries,
        [
            json!([null, "pending", "customer", "ann", null]),
            json!(["pending", "paid", "system", null, null]),
            json!(["paid", "packed", "staff", "tester", "by Sue"]),
            json!(["packed", "cancelled", "staff", "tester", "she called"]),
        ]
    );
    assert!(commerce::parse_rfc3339(text(&shown["items"][0]["at"])).is_some());
    let own = shop.get(&path).account("ann", Role::Customer).send().is(200);
    assert_eq!(
        (&own["items"][2]["by"], own.get("steps")),
        (&json!({"role": "staff"}), None),
        "whose account is for staff"
    );
    let failed = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_decline")).is(402);
    let shown = shop.get(&format!("/api/orders/{}/history", text(&failed["order_id"]))).staff().send().is(200);
    assert_eq!(shown["items"][1]["reason"], "The card was declined.");
}

#[test]
fn who_gave_money_back_and_why() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_approve");
    let lines = json!([{"sku": "MUG", "quantity": 1}]);
    shop.refund(&order["id"], json!({"lines": lines, "reason": "broken", "restock": true})).is(201);
    shop.refund(&order["id"], json!({"reason": "sent back", "restock": false})).is(201);
    let shown = shop.get(&format!("/api/orders/{}/history", text(&order["id"]))).staff().send().is(200);
    let last = shown["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["to"], &last["reason"]), (&json!("refunded"), &json!("sent back")));
    assert_eq!(last["by"], json!({"role": "staff", "account": "tester"}));
    let steps = shown["steps"].as_array().unwrap().iter();
    let steps: Vec<Value> = steps.skip(6).map(|step| json!([step["step"], step["outcome"], step["note"]])).collect();
    assert_eq!(
        steps,
        [
            json!(["refund", "asked", "by tester: broken"]),
            json!(["refund", "succeeded", null]),
            json!(["restock", "restocked", null]),
            json!(["refund", "asked", "by tester: sent back"]),
            json!(["refund", "succeeded", null]),
            json!(["recall", "recalled", null]),
        ]
    );
}

#[test]
fn what_came_of_each_step() {
    use super::faults::Fault;
    let shop = Shop::open();
    shop.world.faults.next("/commit", Fault::LostAnswer);
    let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
    let order = shop.check_out("k", &wish).is(202);
    shop.check_out("k", &wish).is(201);
    let shown = shop.get(&format!("/api/orders/{}/history", text(&order["id"]))).staff().send().is(200);
    let steps: Vec<Value> = shown["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| json!([step["step"], step["outcome"], step["note"], step["attempts"]]))
        .collect();
    assert_eq!(
        steps,
        [
            json!(["reserve", "held", null, 1]),
            json!(["authorize", "authorized", null, 1]),
            json!(["commit", "open", "catalog: the connection broke off", 1]),
            json!(["commit", "sold", null, 2]),
            json!(["capture", "captured", null, 1]),
            json!(["cart", "checked_out", null, 1]),
            json!(["shipment", "made", null, 1]),
        ]
    );
}

#[test]
fn others_read_the_events_in_their_order() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_approve");
    let lines = json!([{"sku": "MUG", "quantity": 1}]);
    shop.refund(&order["id"], json!({"lines": lines, "reason": "broken", "restock": true})).is(201);
    shop.transition(&order["id"], "packed").is(200);
    shop.act(&order["id"], "transitions", json!({"to": "shipped", "tracking": "T-1"})).is(200);
    shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_decline")).is(402);
    let items = shop.get("/internal/outbox").send().is(200)["items"].clone();
    let types: Vec<_> = items.as_array().unwrap().iter().map(|item| text(&item["type"])).collect();
    let expected = ["placed", "paid", "refund_succeeded", "packed", "shipped", "placed", "failed"];
    assert_eq!(types, expected.map(|what| format!("bodega.order.{what}")));
    let paid = &items[1];
    assert_eq!((&paid["subject"], &paid["data"]["state"]), (&order["id"], &json!("paid")));
    assert_eq!((&paid["data"]["total"], &paid["data"]["email"]), (&usd(2490), &json!("guest@example.com")));
    assert_eq!(paid["data"]["lines"][0]["quantity"], 2);
    assert_eq!((&items[2]["data"]["refund"]["amount"], &items[2]["data"]["refunded"]), (&usd(1000), &usd(1000)));
    assert_eq!(items[4]["data"]["tracking"], "T-1");

    let page = |query: &str| shop.get(&format!("/internal/outbox?{query}")).send().is(200)["items"].clone();
    assert_eq!(page("limit=2"), json!([items[0], items[1]]));
    assert_eq!(page(&format!("after={}&limit=1", items[1]["seq"])), json!([items[2]]));
    for query in ["limit=0", "after=x", "page=2"] {
        assert_eq!(shop.get(&format!("/internal/outbox?{query}")).send().status, 400, "{query}");
    }
}

#[test]
fn what_was_written_stays() {
    let shop = Shop::open();
    shop.ordered(&[("MUG", 1)], "tok_approve");
    let refused = |sql: &str| futures::executor::block_on(shop.database().execute(sql, &[])).unwrap_err().to_string();
    assert!(refused("DELETE FROM history").contains("history_stays"));
    assert!(refused("UPDATE history SET reason = 'other'").contains("history_stays"));
    assert!(refused("UPDATE orders SET total = 1").contains("order_is_fixed"));
    assert!(refused("UPDATE orders SET refunded = 99999").contains("refunds_within_total"));
}
