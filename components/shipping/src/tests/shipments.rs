//! Shipments: one per order, moved along their way, told to others.

use axum::http::Method;
use commerce::Id;
use serde_json::{Value, json};
use service::testing::{Answered, Ask};

use super::shop::{Shop, text};
use service::news::LEASE_MS;

fn request(order_id: Id) -> Value {
    json!({
        "order_id": order_id, "method": Id::new(), "lines": [{"sku": "BOOT-42", "quantity": 2}],
        "address": {"name": "Ann", "line1": "Weg 1", "city": "Ulm", "postcode": "89073", "country": "DE"},
    })
}

/// A new shipment: the id of its order, and its path for staff.
fn shipment(shop: &Shop) -> (Id, String) {
    let order_id = Id::new();
    let made = shop.post("/internal/shipments", request(order_id)).is(200);
    (order_id, format!("/api/shipping/shipments/{}", text(&made["id"])))
}

fn report(shop: &Shop, path: &str, event: Value) -> Answered {
    shop.post(&format!("{path}/events"), event)
}

fn events(shop: &Shop, after: u64) -> Vec<(u64, String)> {
    let page = shop.get(&format!("/internal/outbox?after={after}&limit=100")).is(200);
    let item = |item: &Value| (item["seq"].as_u64().unwrap(), text(&item["type"]));
    page["items"].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn an_order_has_one_shipment() {
    let shop = Shop::open();
    let order_id = Id::new();
    let wanted = request(order_id);
    let made = shop.post("/internal/shipments", wanted.clone()).is(200);
    assert_eq!((&made["state"], &made["tracking_number"]), (&json!("created"), &Value::Null));
    assert_eq!(made["events"][0]["actor"], "orders");
    assert_eq!(shop.post("/internal/shipments", wanted.clone()).is(200), made);
    assert_eq!(shop.get(&format!("/internal/shipments/{order_id}")).is(200), made);
    let mut other = wanted;
    other["lines"][0]["quantity"] = json!(3);
    shop.post("/internal/shipments", other).is_problem(
        409,
        "shipment-differs",
        &format!("the order {order_id} has another shipment"),
        json!({}),
    );
    assert_eq!(events(&shop, 0), [(1, "bodega.shipment.created".to_owned())]);
    shop.get(&format!("/internal/shipments/{}", Id::new())).is(404);
}

#[test]
fn orders_tells_where_a_parcel_is() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    let tell = |event: Value| shop.post(&format!("/internal/shipments/{order_id}/events"), event);
    for _ in 0..2 {
        assert_eq!(tell(json!({"state": "packed"})).is(200)["state"], "packed");
    }
    let sent = tell(json!({"state": "handed_over", "tracking_number": "T-1"})).is(200);
    assert_eq!((&sent["tracking_number"], &sent["events"][2]["actor"]), (&json!("T-1"), &json!("orders")));
    assert_eq!(tell(json!({"state": "packed"})).is(409)["state"], "handed_over");
    assert_eq!(shop.get(&path).is(200)["events"].as_array().unwrap().len(), 3);
    shop.post(&format!("/internal/shipments/{}/events", Id::new()), json!({"state": "packed"})).is(404);
}

#[test]
fn many_at_once_make_one_shipment() {
    let shop = Shop::open();
    let wanted = request(Id::new());
    let made: Vec<Value> = std::thread::scope(|scope| {
        let create = || Ask::new(&shop.instance(60), Method::POST, "/internal/shipments").json(wanted.clone()).is(200);
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| one == &made[0]));
    assert_eq!(events(&shop, 0).len(), 1);
}

#[test]
fn a_parcel_goes_its_way_and_others_are_told() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    report(&shop, &path, json!({"state": "packed", "note": "two boxes"})).is(200);
    let handed_over = json!({
        "state": "handed_over", "at": "2026-01-31T12:00:00Z", "tracking_number": "T-1",
    });
    let after = report(&shop, &path, handed_over).is(200);
    assert_eq!((&after["state"], &after["tracking_number"]), (&json!("handed_over"), &json!("T-1")));
    for state in ["in_transit", "in_transit", "delivered"] {
        report(&shop, &path, json!({"state": state})).is(200);
    }
    let end = shop.get(&path).is(200);
    assert_eq!((&end["state"], &end["tracking_number"]), (&json!("delivered"), &json!("T-1")));
    let way: Vec<&str> = end["events"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(way, ["created", "packed", "handed_over", "in_transit", "in_transit", "delivered"]);
    assert_eq!(end["events"][1]["note"], "two boxes");
    assert_eq!(
        (&end["events"][2]["at"], &end["events"][2]["actor"]),
        (&json!("2026-01-31T12:00:00.000Z"), &json!("tester"))
    );

    let told: Vec<String> = events(&shop, 0).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(told, way.iter().map(|state| format!("bodega.shipment.{state}")).collect::<Vec<String>>());
    let last = shop.get("/internal/outbox?after=5").is(200)["items"][0].clone();
    assert_eq!(last["subject"], order_id.to_string());
    assert_eq!(
        last["data"],
        json!({"shipment_id": end["id"], "order_id": order_id, "state": "delivered", "tracking_number": "T-1"})
    );
}

/// Runs the sweep, after this time has passed.
fn swept(shop: &Shop, passed_ms: i64) -> Value {
    let passed = format!("UPDATE news SET due_at_ms = due_at_ms - {passed_ms}, since_ms = since_ms - {passed_ms}");
    shop.database().read(&passed, &[]).unwrap();
    shop.post("/internal/shipments/sweep", Value::Null).is(200)["told"].clone()
}

#[test]
fn an_order_is_told_what_staff_did_with_its_parcel() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    let events = format!("/internal/shipments/{order_id}/events");
    shop.post(&events, json!({"state": "packed"})).is(200);
    assert_eq!(shop.orders.told(), [""; 0], "orders know what they do themselves");
    report(&shop, &path, json!({"state": "handed_over"})).is(200);
    assert_eq!(shop.orders.told(), [order_id.to_string()]);
    report(&shop, &path, json!({"state": "packed"})).is(409);
    assert_eq!((shop.orders.told(), swept(&shop, LEASE_MS)), (vec![], json!(0)), "there is nothing to tell");

    let once = || {
        let ask = shop.ask(Method::POST, &format!("{path}/events")).staff().header("idempotency-key", "k");
        ask.json(json!({"state": "delivered"})).is(200)
    };
    assert_eq!(once(), once());
    assert_eq!(shop.orders.told(), [order_id.to_string()]);
}

#[test]
fn an_order_that_did_not_hear_is_told_again_until_it_does() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    let (other_id, other) = shipment(&shop);
    shop.orders.is_down(true);
    for (path, states) in [(&path, &["packed", "handed_over"][..]), (&other, &["packed"])] {
        for state in states {
            report(&shop, path, json!({"state": state})).is(200);
        }
    }
    assert_eq!(swept(&shop, 0), 0, "not at once again");
    assert_eq!(swept(&shop, 60_000), 0);
    shop.orders.is_down(false);
    assert_eq!(swept(&shop, 60_000), 2);
    let mut told = shop.orders.told();
    told.sort();
    let mut expected = [order_id.to_string(), other_id.to_string()];
    expected.sort();
    assert_eq!(told, expected, "each once, however much had happened");
    assert_eq!((swept(&shop, 60_000), shop.orders.told()), (json!(0), vec![]));
}

#[test]
fn who_dies_before_an_order_is_told_leaves_that_to_the_sweep() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    report(&shop, &path, json!({"state": "packed"})).is(200);
    shop.orders.told();
    // As it is between the commit and the call.
    let news = format!("INSERT INTO news (order_id, due_at_ms, since_ms) VALUES ('{order_id}', ?1, ?2)");
    let now_ms = commerce::unix_ms();
    shop.database().read(&news, &[(now_ms + LEASE_MS).into(), now_ms.into()]).unwrap();
    assert_eq!(swept(&shop, 0), 0, "somebody tells it");
    assert_eq!(swept(&shop, LEASE_MS), 1);
    assert_eq!(shop.orders.told(), [order_id.to_string()]);
}

#[test]
fn an_order_that_never_hears_is_given_up() {
    const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
    let shop = Shop::open();
    let (_, path) = shipment(&shop);
    shop.orders.is_down(true);
    report(&shop, &path, json!({"state": "packed"})).is(200);
    assert_eq!(swept(&shop, WEEK_MS), 0);
    shop.orders.is_down(false);
    assert_eq!((swept(&shop, WEEK_MS), shop.orders.told()), (json!(0), vec![]));
}

#[test]
fn a_parcel_does_not_jump_and_nothing_is_told_of_it() {
    let shop = Shop::open();
    let (_, path) = shipment(&shop);
    report(&shop, &path, json!({"state": "delivered"})).is_problem(
        409,
        "shipment-state",
        "a shipment that is created cannot become delivered",
        json!({"state": "created", "next": ["packed", "cancelled"]}),
    );
    report(&shop, &path, json!({"state": "packed", "at": "2999-01-01T00:00:00Z"})).is(422);
    report(&shop, &path, json!({"state": "lost"})).is(422);
    assert_eq!(shop.get(&path).is(200)["events"].as_array().unwrap().len(), 1);
    assert_eq!(events(&shop, 0).len(), 1);
}

#[test]
fn a_repeated_report_counts_once() {
    let shop = Shop::open();
    let (_, path) = shipment(&shop);
    let pack = || {
        let ask = shop.ask(Method::POST, &format!("{path}/events")).staff().header("idempotency-key", "k");
        ask.json(json!({"state": "packed"})).is(200)
    };
    assert_eq!(pack(), pack());
    assert_eq!(shop.get(&path).is(200)["events"].as_array().unwrap().len(), 2);
}

#[test]
fn what_the_carrier_has_cannot_be_cancelled() {
    let shop = Shop::open();
    let (order_id, path) = shipment(&shop);
    let cancel = |order_id: Id| shop.post(&format!("/internal/shipments/{order_id}/cancel"), Value::Null);
    report(&shop, &path, json!({"state": "packed"})).is(200);
    let cancelled = cancel(order_id).is(200);
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancel(order_id).is(200), cancelled);
    assert_eq!(events(&shop, 2), [(3, "bodega.shipment.cancelled".to_owned())]);

    let (order_id, path) = shipment(&shop);
    report(&shop, &path, json!({"state": "packed"})).is(200);
    report(&shop, &path, json!({"state": "handed_over"})).is(200);
    assert_eq!(cancel(order_id).is(409)["type"], "urn:bodega:problem:shipment-state");
    cancel(Id::new()).is(404);
}

#[test]
fn staff_list_what_is_to_be_packed() {
    let shop = Shop::open();
    let (_, packed) = shipment(&shop);
    let (waiting, _) = shipment(&shop);
    report(&shop, &packed, json!({"state": "packed"})).is(200);
    let list = shop.get("/api/shipping/shipments?state=created").is(200);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["order_id"], waiting.to_string());
    assert_eq!(list["items"][0].get("events"), None);
    assert_eq!(shop.get("/api/shipping/shipments").is(200)["items"].as_array().unwrap().len(), 2);
    shop.get("/api/shipping/shipments?state=lost").is(400);
    shop.ask(Method::GET, &packed).send().is(401);
}

#[test]
fn events_are_only_added() {
    let shop = Shop::open();
    shipment(&shop);
    let database = shop.database();
    for statement in ["DELETE FROM shipment_events", "UPDATE shipment_events SET state = 'packed'"] {
        assert!(database.read(statement, &[]).unwrap_err().names("shipment_events_are_only_added"));
    }
}

#[test]
fn an_address_that_fits_no_label_is_refused() {
    let shop = Shop::open();
    let mut wanted = request(Id::new());
    wanted["address"]["name"] = json!(" ");
    wanted["address"]["line2"] = json!("two\nlines");
    wanted["lines"] = json!([]);
    shop.post("/internal/shipments", wanted).is_problem(
        422,
        "invalid",
        "3 rules are broken",
        json!({"errors": [
            {"field": "address.name", "rule": "1 to 200 characters in one line"},
            {"field": "address.line2", "rule": "1 to 200 characters in one line"},
            {"field": "lines", "rule": "1 to 100 lines"},
        ]}),
    );
}
