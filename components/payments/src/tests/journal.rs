//! What is written down: why each step was taken, and the events for others.

use axum::http::Method;
use commerce::Id;
use serde_json::{Value, json};

use super::shop::{Shop, event, money};

#[test]
fn staff_sees_every_step_and_its_cause() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    shop.confirm(order).is(200);
    shop.end(order, "capture").is(200);
    let refund = Id::new();
    shop.refund(order, refund, 10).is(200);
    let path = format!("/api/payments/intents/{}", shop.intent(order)["id"].as_str().unwrap());
    let shown = shop.request(Method::GET, &path).staff().send().is(200);
    assert_eq!(shown["refunded"], money(10));
    let steps: Vec<Value> = shown["history"].as_array().unwrap().clone();
    let steps: Vec<_> =
        steps.iter().map(|step| json!([step["refund_id"], step["from"], step["to"], step["cause"]])).collect();
    assert_eq!(
        steps,
        [
            json!([null, null, "created", "call"]),
            json!([null, "created", "requires_action", "call"]),
            json!([null, "requires_action", "authorized", "confirm"]),
            json!([null, "authorized", "captured", "call"]),
            json!([refund, null, "pending", "call"]),
            json!([refund, "pending", "succeeded", "call"]),
        ]
    );
}

#[test]
fn a_webhook_is_named_with_its_own_time() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    let mut news = event("evt_1", order, None, "authorized");
    news["created"] = json!(1_769_860_800);
    shop.webhook(&news).is(200);
    let path = format!("/api/payments/intents/{}", shop.intent(order)["id"].as_str().unwrap());
    let step = shop.request(Method::GET, &path).staff().send().is(200)["history"][2].clone();
    assert_eq!((&step["cause"], &step["cause_id"]), (&json!("webhook"), &json!("evt_1")));
    assert_eq!(step["reported_at"], "2026-01-31T12:00:00.000Z");
}

#[test]
fn others_read_the_events_in_their_order() {
    let shop = Shop::open();
    let order = shop.captured("tok_approve");
    shop.refund(order, Id::new(), 10).is(200);
    let items = shop.get("/internal/outbox").is(200)["items"].clone();
    let types: Vec<_> = items.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["bodega.payment.authorized", "bodega.payment.captured", "bodega.payment.refund_succeeded"]);
    assert_eq!((&items[1]["subject"], &items[1]["data"]["captured"]), (&json!(order), &money(1000)));
    assert_eq!(items[2]["data"]["refund"]["amount"], money(10));
    let page = |query: &str| shop.get(&format!("/internal/outbox?{query}")).is(200)["items"].clone();
    assert_eq!(page("limit=2"), json!([items[0], items[1]]));
    assert_eq!(page(&format!("after={}", items[1]["seq"])), json!([items[2]]));
    assert_eq!(page(&format!("after={}", items[2]["seq"])), json!([]));
    for query in ["limit=0", "after=x", "page=2"] {
        assert_eq!(shop.get(&format!("/internal/outbox?{query}")).status, 400, "{query}");
    }
}
