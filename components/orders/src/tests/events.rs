//! What an audit finds when events and what happened do not agree, and that it finds nothing else.

use futures::executor::block_on;
use identity::Role;
use serde_json::{Value, json};
use service::outbox;

use super::faults::Fault;
use super::shop::{Shop, text};
use super::world::Variant;

/// A shop with orders that were placed, paid, packed, refunded in part, given up, and one that is in motion; the last one is
/// the one in motion.
fn shop() -> (Shop, Vec<Value>) {
    let shop = Shop::open();
    let packed = shop.ordered(&[("MUG", 2)], "tok_approve")["id"].clone();
    shop.transition(&packed, "packed").is(200);
    let refunded = shop.ordered(&[("MUG", 2)], "tok_approve")["id"].clone();
    for _ in 0..2 {
        let part = json!({"lines": [{"sku": "MUG", "quantity": 1}], "reason": "broken", "restock": true});
        shop.refund(&refunded, part).is(201);
    }
    let lost = shop.ordered(&[("MUG", 1)], "tok_refund_fails")["id"].clone();
    shop.refund(&lost, json!({"reason": "sent back", "restock": true}));
    shop.settle();
    let declined = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_decline")).is(402);
    let pending = shop.check_out("k2", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_action")).is(202);
    (shop, vec![packed, refunded, lost, declined["order_id"].clone(), pending["id"].clone()])
}

/// Kinds and orders of what an audit finds.
fn found(shop: &Shop) -> Vec<(String, Value)> {
    let kind = |finding: Value| (text(&finding["kind"]).to_owned(), finding["order_id"].clone());
    shop.findings().into_iter().map(kind).collect()
}

fn named(kind: &str, order: &Value) -> (String, Value) {
    (kind.to_owned(), order.clone())
}

const MISSING: &str = "event-missing";
const WITHOUT_CHANGE: &str = "event-without-change";

#[test]
fn a_change_without_its_event_is_named() {
    let (shop, orders) = shop();
    assert_eq!(found(&shop), []);
    let types = ["placed", "paid", "packed", "refund_succeeded", "refund_failed", "failed"];
    for (what, order) in types.iter().zip([&orders[4], &orders[1], &orders[0], &orders[1], &orders[2], &orders[3]]) {
        let (shop, mine) = self::shop();
        let index = orders.iter().position(|one| one == order).unwrap();
        let order = &mine[index];
        let one = format!("type = 'bodega.order.{what}' AND subject = '{}'", text(order));
        shop.change(&format!("DELETE FROM outbox WHERE seq = (SELECT min(seq) FROM outbox WHERE {one})"));
        assert_eq!(found(&shop), [named(MISSING, order)], "{what}");
        let told = shop.findings()[0]["detail"].clone();
        assert!(
            text(&told).starts_with(&format!("orders: no bodega.order.{what} tells of what happened at 2")),
            "{told}"
        );
    }
}

#[test]
fn an_event_without_its_change_is_named() {
    const COPY: &str = "
        INSERT INTO outbox (id, type, subject, time, data) SELECT 'copy', type, subject, time, data FROM outbox";
    let (shop, orders) = shop();
    let of = |what: &str| format!("WHERE type = 'bodega.order.{what}' ORDER BY seq LIMIT 1");
    let back = || shop.change("DELETE FROM outbox WHERE id = 'copy'");
    for (what, order) in
        [("placed", 0), ("paid", 0), ("packed", 0), ("refund_succeeded", 1), ("refund_failed", 2), ("failed", 3)]
    {
        shop.change(&format!("{COPY} {}", of(what)));
        assert_eq!(found(&shop), [named(WITHOUT_CHANGE, &orders[order])], "{what} was told twice");
        back();
    }
    // Nobody has such an order, and none of it ever happened.
    for (subject, order) in [("zzz", json!("zzz")), (text(&orders[0]), orders[0].clone())] {
        for what in ["delivered", "parcel_returned", "refund_succeeded", "shaved"] {
            shop.change(&format!("{COPY} LIMIT 1"));
            shop.change(&format!(
                "UPDATE outbox SET subject = '{subject}', type = 'bodega.order.{what}' WHERE id = 'copy'"
            ));
            assert_eq!(found(&shop), [named(WITHOUT_CHANGE, &order)], "{what} of {subject}");
            back();
        }
    }
    assert_eq!(found(&shop), []);
}

#[test]
fn an_event_that_tells_another_thing_is_both() {
    let (shop, orders) = shop();
    let both = [named(MISSING, &orders[0]), named(WITHOUT_CHANGE, &orders[0])];
    let sorted = |shop: &Shop| {
        let mut found = found(shop);
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    };
    let one = format!("type = 'bodega.order.packed' AND subject = '{}'", text(&orders[0]));
    shop.change(&format!("UPDATE outbox SET type = 'bodega.order.shipped' WHERE {one}"));
    assert_eq!(sorted(&shop), both);
    shop.change("UPDATE outbox SET type = 'bodega.order.packed', subject = 'zzz' WHERE type = 'bodega.order.shipped'");
    assert_eq!(sorted(&shop), [both[0].clone(), named(WITHOUT_CHANGE, &json!("zzz"))]);
}

#[test]
fn what_a_bank_takes_back_is_told_twice_and_agrees() {
    let (shop, orders) = shop();
    // As settling it again would write it: the refund had succeeded, and failed later.
    shop.change(&format!("UPDATE refunds SET state = 'failed' WHERE order_id = '{}'", text(&orders[1])));
    shop.change(
        "INSERT INTO outbox (id, type, subject, time, data)
        SELECT 'later' || seq, 'bodega.order.refund_failed', subject, time, data FROM outbox
        WHERE type = 'bodega.order.refund_succeeded'",
    );
    shop.change("UPDATE orders SET refunded = 0");
    assert!(found(&shop).iter().all(|(kind, _)| kind != MISSING && kind != WITHOUT_CHANGE), "{:?}", found(&shop));
    shop.change("DELETE FROM outbox WHERE type = 'bodega.order.refund_failed' AND id LIKE 'later%'");
    let missing = found(&shop).into_iter().filter(|(kind, _)| kind == MISSING).count();
    assert_eq!(missing, 2);
}

#[test]
fn what_happened_before_events_that_were_removed_needs_none() {
    let (shop, orders) = shop();
    let prune = |through: i64| {
        let database = shop.database();
        block_on(async {
            let transaction = database.begin().await.unwrap();
            outbox::prune(&transaction, through).await.unwrap();
            transaction.commit().await.unwrap();
        });
    };
    let last = shop.count("SELECT max(seq) FROM outbox WHERE type = 'bodega.order.refund_failed'");
    // Time has passed since, or else what comes later might be of the same millisecond.
    shop.change(&format!("UPDATE outbox SET time = '2020-01-01T00:00:00.000Z' WHERE seq <= {last}"));
    prune(0);
    prune(last);
    prune(last);
    assert_eq!(shop.count("SELECT min(seq) FROM outbox"), last + 1);
    shop.change("DROP TRIGGER history_stays_changed");
    let at = "unixepoch('2020-01-01') * 1000";
    shop.change(&format!("UPDATE history SET at_ms = {at} WHERE event_id NOT IN (SELECT id FROM outbox)"));
    shop.change(&format!("UPDATE refunds SET created_at_ms = {at}"));
    assert_eq!(found(&shop), []);
    // What came later has its event.
    shop.change(&format!("DELETE FROM outbox WHERE subject = '{}'", text(&orders[4])));
    assert_eq!(found(&shop), [named(MISSING, &orders[4])]);
}

#[test]
fn a_store_from_before_the_audit_agrees() {
    let (shop, orders) = shop();
    shop.change("DROP TABLE outbox_pruned");
    shop.change("DROP INDEX outbox_by_subject");
    shop.change("PRAGMA user_version = 2");
    let path = "/api/orders/audit";
    let page = shop.get(path).of(&shop.instance()).role(Role::Admin).send().is(200);
    assert_eq!(page["findings"], json!([]));
    shop.change(&format!("DELETE FROM outbox WHERE subject = '{}'", text(&orders[3])));
    assert_eq!(found(&shop), [named(MISSING, &orders[3]), named(MISSING, &orders[3])]);
}

#[test]
fn what_other_services_find_is_told_with_their_name() {
    let (shop, orders) = shop();
    let breach = |kind: &str, what: &str| json!({"kind": kind, "subject": orders[0], "type": format!("bodega.{what}"), "time": "2026-01-31T12:00:00.000Z"});
    shop.world.books().payments.events = vec![breach(MISSING, "payment.captured")];
    shop.world.books().shipping.events = vec![breach(WITHOUT_CHANGE, "shipment.packed"); 2];
    let details: Vec<Value> = shop.findings().into_iter().map(|finding| finding["detail"].clone()).collect();
    let stray = "shipping: the bodega.shipment.packed of 2026-01-31T12:00:00.000Z tells of what never happened";
    let missing = "payments: no bodega.payment.captured tells of what happened at 2026-01-31T12:00:00.000Z";
    assert_eq!(details, [missing, stray, stray]);
    shop.world.books().shipping.events = vec![breach(MISSING, "shipment.packed"); 53];
    let found = shop.findings();
    assert_eq!((found.len(), &found[51]["kind"]), (52, &json!("events-unlisted")));
    assert_eq!(found[51]["detail"], "shipping: 3 more events or changes, which are not listed");
}

#[test]
fn a_service_of_before_there_was_an_audit_is_named_and_all_else_is_looked_at() {
    let (shop, orders) = shop();
    shop.change(&format!("DELETE FROM outbox WHERE subject = '{}'", text(&orders[4])));
    for service in ["payments", "shipping"] {
        shop.world.faults.next(&format!("{service}/internal/outbox/audit"), Fault::NoRoute);
        let findings = shop.findings();
        let kinds: Vec<&Value> = findings.iter().map(|finding| &finding["kind"]).collect();
        assert_eq!(kinds, [&json!(MISSING), &json!("events-unread")]);
        let told = text(&findings[1]["detail"]);
        assert!(told.starts_with(&format!("{service}: its revision cannot audit its events")), "{told}");
    }
    assert_eq!(found(&shop), [named(MISSING, &orders[4])]);
}

#[test]
fn an_event_that_cannot_be_read_is_one_that_tells_nothing() {
    let (shop, orders) = shop();
    shop.change("UPDATE outbox SET data = '{' WHERE type = 'bodega.order.placed'");
    assert_eq!(found(&shop), [], "that it was placed is known without its content");
    shop.change("UPDATE outbox SET data = 'none' WHERE type = 'bodega.order.refund_failed'");
    let mut findings = found(&shop);
    findings.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(findings, [named(MISSING, &orders[2]), named(WITHOUT_CHANGE, &orders[2])]);
}

#[test]
fn every_event_is_on_one_page() {
    let shop = Shop::open();
    let counted = Variant { price: 500, on_hand: 1000, reserved: 0, counted: 1000, archived: false };
    shop.world.books().catalog.variants.insert("CUP".to_owned(), counted);
    let orders: Vec<Value> = (0..101).map(|_| shop.ordered(&[("CUP", 1)], "tok_approve")["id"].clone()).collect();
    let strays = ["", "0", "zzz"].map(|stray| if stray.is_empty() { text(&orders[99]) } else { stray });
    for subject in strays {
        let row = format!("'stray-{subject}', 'bodega.order.paid', '{subject}', '2026-01-31T12:00:00.000Z', '{{}}'");
        shop.change(&format!("INSERT INTO outbox (id, type, subject, time, data) VALUES ({row})"));
    }
    let expected = ["0", text(&orders[99]), "zzz"].map(|subject| named(WITHOUT_CHANGE, &json!(subject)));
    assert_eq!(found(&shop), expected);
    let asked = shop
        .world
        .books()
        .calls
        .iter()
        .filter(|call| call.contains("payments/internal/outbox"))
        .cloned()
        .collect::<Vec<_>>();
    let last = percent_encoding::utf8_percent_encode(text(&orders[99]), percent_encoding::NON_ALPHANUMERIC).to_string();
    let path = "GET payments/internal/outbox/audit";
    assert_eq!(asked, [format!("{path}?after=&through={last}"), format!("{path}?after={last}")]);
}
