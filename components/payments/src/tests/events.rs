//! Whether the events agree with the steps: what an audit finds, and that it finds nothing else.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::Method;
use commerce::Id;
use futures::executor::block_on;
use serde_json::{Value, json};
use service::outbox;
use service::testing::Ask;

use super::shop::{Shop, event};

const AUDIT: &str = "/internal/outbox/audit";
const MISSING: &str = "event-missing";
const WITHOUT_CHANGE: &str = "event-without-change";

/// A shop with steps of all kinds: an order that was captured and refunded twice, one that a webhook moved, one that was
/// declined, and one that was voided.
fn shop() -> (Shop, [Id; 4]) {
    let shop = Shop::open();
    let captured = shop.captured("tok_approve");
    shop.refund(captured, Id::new(), 10).is(200);
    shop.refund(captured, Id::new(), 10).is(200);
    let [moved, declined, voided] = [Id::new(), Id::new(), Id::new()];
    shop.authorize(moved, "tok_action").is(200);
    shop.webhook(&event("evt_1", moved, None, "authorized")).is(200);
    shop.authorize(declined, "tok_decline").is(200);
    shop.authorize(voided, "tok_approve").is(200);
    shop.end(voided, "void").is(200);
    (shop, [captured, moved, declined, voided])
}

/// Kinds, orders and types of what an audit finds.
fn found(shop: &Shop) -> Vec<(String, String, String)> {
    let audit = shop.get(AUDIT).is(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let breaches = audit["breaches"].as_array().unwrap();
    assert_eq!(audit["total"], breaches.len());
    breaches.iter().map(|breach| (text(&breach["kind"]), text(&breach["subject"]), text(&breach["type"]))).collect()
}

fn named(kind: &str, order: impl ToString, what: &str) -> (String, String, String) {
    (kind.to_owned(), order.to_string(), format!("bodega.payment.{what}"))
}

fn first(what: &str) -> String {
    format!("seq = (SELECT min(seq) FROM outbox WHERE type = 'bodega.payment.{what}')")
}

#[test]
fn a_step_without_its_event_is_named() {
    for (what, order) in [
        ("authorized", 0),
        ("captured", 0),
        ("refund_succeeded", 0),
        ("requires_action", 1),
        ("declined", 2),
        ("voided", 3),
    ] {
        let (shop, orders) = shop();
        assert_eq!(found(&shop), []);
        shop.change(&format!("DELETE FROM outbox WHERE {}", first(what)));
        assert_eq!(found(&shop), [named(MISSING, orders[order], what)]);
    }
}

#[test]
fn a_state_that_no_event_tells_of_is_named() {
    let (shop, orders) = shop();
    for (state, order, then) in [("voided", 2, "declined"), ("created", 2, "declined"), ("authorized", 3, "voided")] {
        let id = orders[order];
        shop.change(&format!("UPDATE intents SET state = '{state}' WHERE order_id = '{id}'"));
        assert_eq!(found(&shop), [named(MISSING, id, state)]);
        shop.change(&format!("UPDATE intents SET state = '{then}' WHERE order_id = '{id}'"));
    }
    for state in ["failed", "pending"] {
        shop.change(&format!("UPDATE refunds SET state = '{state}'"));
        let missing = named(MISSING, orders[0], &format!("refund_{state}"));
        assert_eq!(found(&shop), [missing.clone(), missing]);
    }
    shop.change("UPDATE refunds SET state = 'succeeded'");
    assert_eq!(found(&shop), []);
}

#[test]
fn an_event_without_its_step_is_named() {
    const COPY: &str = "
        INSERT INTO outbox (id, type, subject, time, data) SELECT 'copy', type, subject, time, data FROM outbox WHERE";
    let (shop, orders) = shop();
    for (what, order) in [("captured", 0), ("refund_succeeded", 0), ("declined", 2)] {
        shop.change(&format!("{COPY} {}", first(what)));
        assert_eq!(found(&shop), [named(WITHOUT_CHANGE, orders[order], what)], "it was told twice");
        shop.change("DELETE FROM outbox WHERE id = 'copy'");
    }
    shop.change(&format!("UPDATE outbox SET subject = 'zzz' WHERE {}", first("captured")));
    assert_eq!(found(&shop), [named(MISSING, orders[0], "captured"), named(WITHOUT_CHANGE, "zzz", "captured")]);
}

#[test]
fn an_audit_looks_at_the_orders_that_it_is_asked_for() {
    let (shop, mut orders) = shop();
    orders.sort();
    shop.change("UPDATE outbox SET type = 'bodega.payment.shaved'");
    let total = |query: &str| shop.get(&format!("{AUDIT}?{query}")).is(200)["total"].as_u64().unwrap();
    let parts = [
        total(&format!("through={}", orders[0])),
        total(&format!("after={}&through={}", orders[0], orders[2])),
        total(&format!("after={}", orders[2])),
    ];
    assert!(parts.iter().all(|part| *part > 0), "{parts:?}");
    assert_eq!(parts.iter().sum::<u64>(), total(""));
    for query in ["limit=1", "before=x"] {
        assert_eq!(shop.get(&format!("{AUDIT}?{query}")).status, 400);
    }
}

#[test]
fn the_first_of_many_breaches_are_named_and_all_are_counted() {
    let shop = Shop::open();
    for n in 0..60 {
        let row = format!("'e{n}', 'bodega.payment.captured', 'o{n:02}', '2026-01-31T12:00:00.000Z', '{{}}'");
        shop.change(&format!("INSERT INTO outbox (id, type, subject, time, data) VALUES ({row})"));
    }
    let audit = shop.get(AUDIT).is(200);
    assert_eq!((&audit["total"], audit["breaches"].as_array().unwrap().len()), (&json!(60), 50));
    assert_eq!(audit["breaches"][49]["subject"], "o49");
}

/// Takes the store back to where it was before steps knew their events.
fn age(shop: &Shop) {
    for sql in [
        "DROP TABLE outbox_pruned",
        "DROP INDEX outbox_by_subject",
        "DROP INDEX transitions_by_event",
        "ALTER TABLE transitions DROP COLUMN event_id",
        "ALTER TABLE intents DROP COLUMN order_token_digest",
        "PRAGMA user_version = 4",
    ] {
        shop.change(sql);
    }
}

#[test]
fn steps_from_before_they_knew_their_events_agree_by_their_time() {
    let (shop, orders) = shop();
    age(&shop);
    let instance = shop.instance();
    assert_eq!(found(&shop), []);
    // What happens from now on is known by its event.
    let order = Id::new();
    shop.post("/internal/intents").of(&instance).json(super::shop::charge(order, "tok_approve")).is(200);
    assert_eq!(found(&shop), []);
    assert_eq!(shop.count("SELECT count(*) FROM transitions WHERE event_id IS NOT NULL"), 1);

    shop.change(&format!("DELETE FROM outbox WHERE {}", first("captured")));
    assert_eq!(found(&shop), [named(MISSING, orders[0], "captured")]);
    shop.change(&format!("UPDATE outbox SET time = '2026-01-31T12:00:00.000Z' WHERE {}", first("voided")));
    let mut all = found(&shop);
    all.sort();
    assert_eq!(
        all,
        [
            named(MISSING, orders[0], "captured"),
            named(MISSING, orders[3], "voided"),
            named(WITHOUT_CHANGE, orders[3], "voided"),
        ]
    );
}

#[test]
fn a_step_of_a_revision_from_before_agrees() {
    let (shop, _) = shop();
    shop.change("DROP TRIGGER transitions_stay_changed");
    // Such a revision goes on beside the new one until it is drained.
    shop.change("UPDATE transitions SET event_id = NULL WHERE seq % 2 = 0");
    assert_eq!(found(&shop), []);
}

#[test]
fn steps_from_before_events_that_were_removed_need_none() {
    let (shop, _) = shop();
    let last = shop.count("SELECT max(seq) FROM outbox");
    shop.change("UPDATE outbox SET time = '2020-01-01T00:00:00.000Z'");
    shop.change("DROP TRIGGER transitions_stay_changed");
    shop.change("UPDATE transitions SET at_ms = unixepoch('2020-01-01') * 1000");
    let database = shop.database();
    block_on(async {
        let transaction = database.begin().await.unwrap();
        outbox::prune(&transaction, last).await.unwrap();
        transaction.commit().await.unwrap();
    });
    assert_eq!((shop.count("SELECT count(*) FROM outbox"), found(&shop)), (0, vec![]));
    let order = shop.captured("tok_approve");
    assert_eq!(found(&shop), []);
    shop.change("DELETE FROM outbox");
    assert_eq!(found(&shop), [named(MISSING, order, "authorized"), named(MISSING, order, "captured")]);
}

#[test]
fn what_is_written_meanwhile_agrees() {
    const ORDERS: usize = 40;
    let shop = Shop::open();
    let (writer, reader) = (shop.instance(), shop.instance());
    let post = |router: &Router, path: &str, body: Value| {
        Ask::new(router, Method::POST, path).json(body).is(200);
    };
    let is_done = AtomicBool::new(false);
    let audits = std::thread::scope(|scope| {
        let audits = scope.spawn(|| {
            let mut audits = 0;
            while !is_done.load(Ordering::Acquire) || audits == 0 {
                let found = Ask::new(&reader, Method::GET, AUDIT).send().is(200);
                assert_eq!(found, json!({"total": 0, "breaches": []}));
                audits += 1;
            }
            audits
        });
        for _ in 0..ORDERS {
            let order = Id::new();
            post(&writer, "/internal/intents", super::shop::charge(order, "tok_approve"));
            post(&writer, &format!("/internal/intents/{order}/capture"), Value::Null);
        }
        is_done.store(true, Ordering::Release);
        audits.join().unwrap()
    });
    assert!(audits > 1, "no audit came in between");
    assert_eq!(shop.count("SELECT count(*) FROM transitions"), 3 * ORDERS as i64);
}
