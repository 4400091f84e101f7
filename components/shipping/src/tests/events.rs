//! Whether the events agree with what happened to shipments: what an audit finds, and that it finds nothing else.

use axum::http::Method;
use commerce::Id;
use futures::executor::block_on;
use serde_json::{Value, json};
use service::outbox;

use super::shop::{Shop, text};

const AUDIT: &str = "/internal/outbox/audit";
const MISSING: &str = "event-missing";
const WITHOUT_CHANGE: &str = "event-without-change";

/// A shop with a parcel that reported twice that it is in transit, and one that was cancelled.
fn shop() -> (Shop, [Id; 2]) {
    let shop = Shop::open();
    let orders = [Id::new(), Id::new()];
    for order in orders {
        let request = json!({
            "order_id": order, "method": Id::new(), "lines": [{"sku": "BOOT-42", "quantity": 2}],
            "address": {"name": "Ann", "line1": "Weg 1", "city": "Ulm", "postcode": "89073", "country": "DE"},
        });
        shop.post("/internal/shipments", request).is(200);
    }
    let report = |state: &str| {
        shop.post(&format!("/internal/shipments/{}/events", orders[0]), json!({"state": state})).is(200);
    };
    report("packed");
    report("handed_over");
    report("in_transit");
    let path = format!("/api/shipping/shipments/{}", id(&shop, orders[0]));
    shop.post(&format!("{path}/events"), json!({"state": "in_transit", "note": "in Ulm"})).is(200);
    shop.post(&format!("/internal/shipments/{}/cancel", orders[1]), Value::Null).is(200);
    (shop, orders)
}

fn id(shop: &Shop, order: Id) -> String {
    text(&shop.get(&format!("/internal/shipments/{order}")).is(200)["id"])
}

fn change(shop: &Shop, sql: &str) {
    block_on(shop.database().execute(sql, &[])).unwrap();
}

/// Kinds, orders and types of what an audit finds.
fn found(shop: &Shop) -> Vec<(String, String, String)> {
    let audit = shop.ask(Method::GET, AUDIT).send().is(200);
    let breaches = audit["breaches"].as_array().unwrap();
    breaches.iter().map(|breach| (text(&breach["kind"]), text(&breach["subject"]), text(&breach["type"]))).collect()
}

fn named(kind: &str, order: impl ToString, what: &str) -> (String, String, String) {
    (kind.to_owned(), order.to_string(), format!("bodega.shipment.{what}"))
}

fn last(what: &str) -> String {
    format!("seq = (SELECT max(seq) FROM outbox WHERE type = 'bodega.shipment.{what}')")
}

#[test]
fn what_happened_without_its_event_is_named() {
    for (what, order) in [("created", 1), ("packed", 0), ("in_transit", 0), ("cancelled", 1)] {
        let (shop, orders) = shop();
        assert_eq!(found(&shop), []);
        change(&shop, &format!("DELETE FROM outbox WHERE {}", last(what)));
        assert_eq!(found(&shop), [named(MISSING, orders[order], what)]);
    }
}

#[test]
fn a_state_that_no_event_tells_of_is_named() {
    let (shop, orders) = shop();
    change(&shop, &format!("UPDATE shipments SET state = 'packed' WHERE order_id = '{}'", orders[1]));
    assert_eq!(found(&shop), [named(MISSING, orders[1], "packed")]);
    change(&shop, &format!("UPDATE shipments SET state = 'cancelled' WHERE order_id = '{}'", orders[1]));
    // That it was there before does not tell where it is.
    change(&shop, &format!("UPDATE shipments SET state = 'handed_over' WHERE order_id = '{}'", orders[0]));
    assert_eq!(found(&shop), [named(MISSING, orders[0], "handed_over")]);
}

#[test]
fn an_event_of_what_never_happened_is_named() {
    const COPY: &str = "
        INSERT INTO outbox (id, type, subject, time, data) SELECT 'copy', type, subject, time, data FROM outbox WHERE";
    let (shop, orders) = shop();
    change(&shop, &format!("{COPY} {}", last("in_transit")));
    assert_eq!(found(&shop), [named(WITHOUT_CHANGE, orders[0], "in_transit")], "it was told three times");
    change(&shop, "UPDATE outbox SET subject = 'zzz', type = 'bodega.shipment.lost' WHERE id = 'copy'");
    assert_eq!(found(&shop), [named(WITHOUT_CHANGE, "zzz", "lost")]);
}

#[test]
fn what_happened_before_events_had_their_ids_agrees_by_its_time() {
    let (shop, orders) = shop();
    for sql in [
        "DROP TABLE outbox_pruned",
        "DROP INDEX outbox_by_subject",
        "DROP INDEX shipment_events_by_event",
        "ALTER TABLE shipment_events DROP COLUMN event_id",
        "PRAGMA user_version = 3",
    ] {
        change(&shop, sql);
    }
    let instance = shop.instance(60);
    assert_eq!(found(&shop), []);
    let path = format!("/internal/shipments/{}/events", orders[0]);
    shop.ask(Method::POST, &path).of(&instance).json(json!({"state": "delivered"})).is(200);
    assert_eq!(found(&shop), []);
    change(&shop, &format!("DELETE FROM outbox WHERE {} OR {}", last("packed"), last("delivered")));
    assert_eq!(found(&shop), [named(MISSING, orders[0], "packed"), named(MISSING, orders[0], "delivered")]);
}

#[test]
fn what_happened_before_events_that_were_removed_needs_none() {
    let (shop, orders) = shop();
    let database = shop.database();
    change(&shop, "UPDATE outbox SET time = '2020-01-01T00:00:00.000Z'");
    change(&shop, "DROP TRIGGER shipment_events_stay");
    change(&shop, "UPDATE shipment_events SET recorded_at_ms = unixepoch('2020-01-01') * 1000");
    block_on(async {
        let transaction = database.begin().await.unwrap();
        outbox::prune(&transaction, 1_000).await.unwrap();
        transaction.commit().await.unwrap();
    });
    assert_eq!(found(&shop), []);
    let path = format!("/internal/shipments/{}/events", orders[0]);
    shop.post(&path, json!({"state": "delivered"})).is(200);
    change(&shop, "DELETE FROM outbox");
    assert_eq!(found(&shop), [named(MISSING, orders[0], "delivered")]);
}
