//! An order on its way to the door, and who is told.

use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, text};

#[test]
fn an_order_is_packed_shipped_and_delivered() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    assert_eq!(shop.transition(&order["id"], "packed").is(200)["state"], "packed");
    let sent = shop.act(&order["id"], "transitions", json!({"to": "shipped", "tracking": "T-1", "reason": "by van"}));
    assert_eq!((&sent.is(200)["state"], &sent.json()["tracking"]), (&json!("shipped"), &json!("T-1")));
    let parcel = |shop: &Shop| {
        let books = shop.world.books();
        let shipment = &books.shipping.shipments[text(&order["id"])];
        (shipment.state.clone(), shipment.tracking.clone())
    };
    assert_eq!(parcel(&shop), ("handed_over".to_owned(), json!("T-1")));
    let delivered = shop.transition(&order["id"], "delivered").is(200);
    assert_eq!(shop.transition(&order["id"], "delivered").is(200), delivered, "again changes nothing");
    assert_eq!(parcel(&shop).0, "delivered");
    assert_eq!((shop.tasks(), shop.findings()), (vec![], vec![]));
}

#[test]
fn an_order_keeps_to_its_way() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let refused = shop.transition(&order["id"], "delivered");
    let members = json!({"state": "paid", "next": ["packed", "cancelled", "refunded"]});
    refused.is_problem(409, "order-state", "an order that is paid cannot become delivered", members);
    for wrong in [json!({"to": "paid"}), json!({"to": "lost"}), json!({"to": "packed", "tracking": "T"})] {
        assert_eq!(shop.act(&order["id"], "transitions", wrong.clone()).status, 422, "{wrong}");
    }
    let path = format!("/api/orders/{}/transitions", text(&order["id"]));
    assert_eq!(shop.post(&path).staff().json(json!({"to": "packed"})).status, 428);
    assert_eq!(shop.post(&path).staff().header("if-match", "\"9-0\"").json(json!({"to": "packed"})).status, 412);
    shop.post(&path).staff().header("if-match", "\"2-0\"").json(json!({"to": "packed"})).is(200);
}

#[test]
fn shipping_hears_of_it_in_order_however_late() {
    for fault in Fault::ALL {
        let shop = Shop::open();
        let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
        // Not even the parcel is made yet.
        shop.world.faults.next("internal/shipments", Fault::Fails);
        let order = shop.check_out("k", &wish).is(201);
        for to in ["packed", "shipped"] {
            shop.world.faults.next("/events", fault);
            let path = format!("/api/orders/{}/transitions", text(&order["id"]));
            shop.try_ask(shop.post(&path).staff().header("if-match", "*"), &json!({"to": to}));
        }
        assert_eq!(shop.order(&order["id"])["state"], "shipped");
        shop.settle();
        assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "handed_over", "{fault:?}");
        assert_eq!(shop.findings(), [Value::Null; 0]);
    }
}

/// Tells orders that a parcel moved.
fn news(shop: &Shop, order: &Value) -> u16 {
    shop.post("/internal/shipments/changed").json(json!({"order_id": order["id"]})).status.as_u16()
}

#[test]
fn an_order_follows_its_parcel_however_often_it_is_told() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let moved = |state| shop.world.books().shipping.moved_by("sue", text(&order["id"]), state);
    assert_eq!(news(&shop, &order), 204);
    assert_eq!(shop.order(&order["id"])["state"], "paid");
    moved("packed");
    for _ in 0..2 {
        assert_eq!(news(&shop, &order), 204);
        assert_eq!(shop.order(&order["id"])["state"], "packed");
    }
    // Nobody was told of what came between.
    moved("handed_over");
    shop.world.books().shipping.shipments.get_mut(text(&order["id"])).unwrap().tracking = json!("T-1");
    for state in ["in_transit", "in_transit", "delivered"] {
        moved(state);
    }
    assert_eq!(news(&shop, &order), 204);
    let now = shop.order(&order["id"]);
    assert_eq!((&now["state"], &now["tracking"]), (&json!("delivered"), &json!("T-1")));
    assert_eq!(news(&shop, &order), 204);
    assert_eq!(shop.order(&order["id"]), now);

    let history = shop.get(&format!("/api/orders/{}/history", text(&order["id"]))).staff().send().is(200);
    let steps: Vec<_> =
        history["items"].as_array().unwrap().iter().skip(2).map(|step| json!([step["to"], step["by"]])).collect();
    let sue = json!({"role": "staff", "account": "sue"});
    assert_eq!(steps, [json!(["packed", sue]), json!(["shipped", sue]), json!(["delivered", sue])], "{history}");
    let calls = shop.world.books().calls.iter().filter(|call| call.ends_with("/events")).count();
    assert_eq!((calls, shop.tasks(), shop.findings()), (0, vec![], vec![]), "shipping is not told what it told");
}

#[test]
fn a_parcel_that_comes_back_is_noted_once_and_leaves_the_order_where_it_is() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    for state in ["packed", "handed_over", "returned"] {
        shop.world.books().shipping.moved_by("sue", text(&order["id"]), state);
    }
    for _ in 0..2 {
        assert_eq!(news(&shop, &order), 204);
    }
    assert_eq!(shop.order(&order["id"])["state"], "shipped");
    let history = shop.get(&format!("/api/orders/{}/history", text(&order["id"]))).staff().send().is(200);
    let last = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .skip(3)
        .map(|step| json!([step["from"], step["to"], step["reason"], step["by"]["account"]]));
    let expected =
        [json!(["packed", "shipped", null, "sue"]), json!(["shipped", "shipped", "the parcel came back", "sue"])];
    assert_eq!(last.collect::<Vec<_>>(), expected, "{history}");
    let events = shop.get("/internal/outbox").send().is(200);
    let last = events["items"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["type"], &last["data"]["state"]), (&json!("bodega.order.parcel_returned"), &json!("shipped")));
    assert_eq!(shop.findings(), [Value::Null; 0]);

    // Staff decides what becomes of it.
    shop.refund(&order["id"], json!({"reason": "sent back", "restock": true})).is(201);
    assert_eq!(news(&shop, &order), 204);
    assert_eq!((&shop.order(&order["id"])["state"], shop.findings()), (&json!("refunded"), vec![]));
}

#[test]
fn an_order_that_is_over_does_not_follow_its_parcel() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    shop.cancel(&order["id"]).is(200);
    shop.world.books().shipping.moved_by("sue", text(&order["id"]), "packed");
    assert_eq!(news(&shop, &order), 204);
    assert_eq!((&shop.order(&order["id"])["state"], shop.findings()), (&json!("cancelled"), vec![]));
    assert_eq!(news(&shop, &json!({"id": super::shop::nobody()})), 404);
}

#[test]
fn an_order_is_moved_in_both_places_by_turns() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    shop.transition(&order["id"], "packed").is(200);
    shop.world.books().shipping.moved_by("sue", text(&order["id"]), "handed_over");
    assert_eq!(news(&shop, &order), 204);
    assert_eq!(shop.order(&order["id"])["state"], "shipped");
    shop.transition(&order["id"], "delivered").is(200);
    assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "delivered");
    assert_eq!(news(&shop, &order), 204);
    assert_eq!((&shop.order(&order["id"])["state"], shop.findings()), (&json!("delivered"), vec![]));
}

#[test]
fn news_that_cannot_be_looked_at_are_refused_so_that_they_come_again() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    shop.world.books().shipping.moved_by("sue", text(&order["id"]), "packed");
    shop.world.faults.next("GET shipping/", Fault::Fails);
    assert_eq!(news(&shop, &order), 503);
    assert_eq!(shop.order(&order["id"])["state"], "paid");
    assert_eq!(news(&shop, &order), 204);
    assert_eq!(shop.order(&order["id"])["state"], "packed");
}
