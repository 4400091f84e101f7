//! Providers call: signed, stored, and in any order.

use axum::http::StatusCode;
use commerce::{Id, unix_s};
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, WEBHOOK_SECRET, charge, event, money};
use crate::signature::{TOLERANCE_S, sign};

#[test]
fn only_what_the_provider_signed_now_gets_in() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    let body = event("evt_1", order, None, "voided").to_string();
    let send = |signature: &str, body: &str| {
        shop.post("/api/payments/webhooks/test").header("bodega-signature", signature).body(body.to_owned())
    };
    let now_s = unix_s();
    let good = sign(WEBHOOK_SECRET, body.as_bytes(), now_s);
    let old = sign(WEBHOOK_SECRET, body.as_bytes(), now_s - TOLERANCE_S - 60);
    let forged = sign("guess", body.as_bytes(), now_s);
    send("", &body).is_problem(400, "bad-signature", "the signature is without a time", json!({}));
    send(&forged, &body).is_problem(400, "bad-signature", "the signature is wrong", json!({}));
    send(&good, &body.replace("1000", "1")).is_problem(400, "bad-signature", "the signature is wrong", json!({}));
    send(&old, &body).is_problem(400, "bad-signature", "the signature is too old or from the future", json!({}));
    assert_eq!(shop.count("SELECT count(*) FROM webhooks"), 0);
    assert_eq!(shop.state(order), "authorized");
    assert_eq!(send(&good, &body).is(200), json!({"received": true}));
    assert_eq!(shop.state(order), "voided");
    let nobody = shop.post("/api/payments/webhooks/nobody").send();
    nobody.is_problem(404, "no-such-provider", "the provider \"nobody\" is not set up", json!({}));
    let huge = send(&good, &"x".repeat(600 * 1024));
    assert_eq!(huge.status, StatusCode::PAYLOAD_TOO_LARGE);
    let no_event = sign(WEBHOOK_SECRET, b"{}", now_s);
    assert_eq!(send(&no_event, "{}").status, StatusCode::BAD_REQUEST);
}

#[test]
fn the_same_webhook_twice_is_one() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    for _ in 0..3 {
        shop.webhook(&event("evt_1", order, None, "authorized")).is(200);
    }
    assert_eq!(shop.state(order), "authorized");
    assert_eq!(shop.told(), [json!(order)]);
    assert_eq!(shop.count("SELECT count(*) FROM webhooks"), 1);
    assert_eq!(shop.count("SELECT count(*) FROM transitions WHERE cause = 'webhook' AND cause_id = 'evt_1'"), 1);
}

#[test]
fn older_news_moves_nothing_back() {
    let shop = Shop::open();
    let order = shop.captured("tok_approve");
    for (id, state) in [("evt_1", "requires_action"), ("evt_2", "authorized"), ("evt_3", "declined")] {
        shop.webhook(&event(id, order, None, state)).is(200);
        let intent = shop.intent(order);
        assert_eq!((&intent["state"], &intent["captured"]), (&json!("captured"), &money(1000)), "{state}");
        assert_eq!((&intent["next_action"], &intent["failure"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(shop.told(), Vec::<Value>::new());
}

/// The checkout's own call is still on its way when the provider calls.
#[test]
fn news_may_come_before_the_answer() {
    for fault in [Fault::DeathAfter, Fault::LostAnswer] {
        let shop = Shop::open();
        let order = Id::new();
        shop.accident(fault, shop.post("/internal/intents"), &charge(order, "tok_approve"));
        let name = shop.booked(order)[0]["id"].clone();
        shop.webhook(&event("evt_1", order, name.as_str(), "authorized")).is(200);
        assert_eq!(shop.state(order), "authorized");
        assert_eq!(shop.intent(order)["provider_reference"], name);
        assert_eq!(shop.told(), [json!(order)]);
        assert_eq!(shop.authorize(order, "tok_approve").is(200)["state"], "authorized");
        assert_eq!(shop.end(order, "capture").is(200)["state"], "captured");
        assert_eq!(shop.booked(order).len(), 1);
    }
}

#[test]
fn news_of_another_charge_is_kept_and_changes_nothing() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    shop.webhook(&event("evt_1", order, Some("ch_other"), "voided")).is(200);
    shop.webhook(&event("evt_2", Id::new(), Some("ch_nowhere"), "authorized")).is(200);
    shop.webhook(&event("evt_3", order, None, "something_new")).is(200);
    assert_eq!(shop.state(order), "authorized");
    assert_eq!(shop.count("SELECT count(*) FROM webhooks WHERE state = 'ignored'"), 3);
}

#[test]
fn a_stored_webhook_outlives_its_instance() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    shop.webhook(&event("evt_1", Id::new(), None, "authorized")).is(200);
    // As if the instance had died between storing this one and working on it.
    let body = event("evt_2", order, None, "authorized").to_string();
    let insert =
        "INSERT INTO webhooks (provider, id, body, created_at_ms, received_at_ms) VALUES ('test', ?1, ?2, 0, 0)";
    block_on(shop.database().execute(insert, &["evt_2".into(), body.into()])).unwrap();
    assert_eq!(shop.sweep(), json!({"operations": 0, "webhooks": 1, "moved": 1, "told": 0}));
    assert_eq!(shop.state(order), "authorized");
    assert_eq!(shop.sweep(), json!({"operations": 0, "webhooks": 0, "moved": 0, "told": 0}));
}

#[test]
fn what_cannot_be_applied_is_tried_less_and_less_and_told_of() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    // More than the shop had asked for.
    let mut more = event("evt_1", order, None, "captured");
    more["amount"] = json!(1001);
    shop.webhook(&more).is(200);
    let failing = || shop.get("/internal/webhooks/audit").is(200);
    for _ in 0..8 {
        assert_eq!(failing(), json!({"total": 0, "webhooks": []}));
        shop.time_passes();
        assert_eq!(shop.sweep()["webhooks"], 1);
        assert_eq!(shop.sweep()["webhooks"], 0, "not at once again");
    }
    let found = failing();
    assert_eq!((&found["total"], &found["webhooks"][0]["id"]), (&json!(1), &json!("evt_1")));
    assert!(shop.count("SELECT due_at_ms - 1000 * unixepoch() FROM webhooks") > 5 * 60 * 1000);
    assert_eq!(shop.state(order), "authorized");
    // Where a later revision can apply it, it is.
    shop.change("UPDATE webhooks SET body = json_replace(body, '$.amount', 1000)");
    shop.time_passes();
    shop.sweep();
    assert_eq!((shop.state(order).as_str(), failing()["total"].clone()), ("captured", json!(0)));
}

#[test]
fn orders_that_do_not_listen_are_told_until_they_do() {
    let shop = Shop::with_orders_answering(StatusCode::INTERNAL_SERVER_ERROR);
    let (order, other) = (Id::new(), shop.captured("tok_refund_pending"));
    shop.authorize(order, "tok_action").is(200);
    shop.webhook(&event("evt_1", order, None, "authorized")).is(200);
    assert_eq!(shop.state(order), "authorized");
    shop.refund(other, Id::new(), 500).is(202);
    shop.time_passes();
    assert_eq!(shop.sweep(), json!({"operations": 1, "webhooks": 0, "moved": 1, "told": 0}));
    shop.orders_answer(Some(StatusCode::NO_CONTENT));
    shop.time_passes();
    assert_eq!(shop.sweep(), json!({"operations": 0, "webhooks": 0, "moved": 0, "told": 2}));
    let mut told = shop.told();
    told.sort_by_key(Value::to_string);
    let mut expected = [json!(order), json!(other)];
    expected.sort_by_key(Value::to_string);
    assert_eq!(told, expected, "each once");
    shop.time_passes();
    assert_eq!(shop.sweep()["told"], 0);
}

/// The webhook is applied, so that its repeat is none, and the instance dies before the call.
#[test]
fn who_dies_before_orders_is_told_leaves_that_to_the_sweep() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    shop.orders_answer(None);
    shop.webhook_and_death(&event("evt_1", order, None, "authorized"));
    shop.orders_answer(Some(StatusCode::NO_CONTENT));
    shop.webhook(&event("evt_1", order, None, "authorized")).is(200);
    assert_eq!(shop.told(), Vec::<Value>::new());
    shop.time_passes();
    assert_eq!(shop.sweep()["told"], 1);
    assert_eq!(shop.told(), [json!(order)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_order_of_arrival_ends_the_same(
        arrivals in Just(vec![0, 1, 2, 0, 1, 2]).prop_shuffle(), ends_captured in any::<bool>()
    ) {
        let shop = Shop::open();
        let order = Id::new();
        shop.authorize(order, "tok_action").is(200);
        let end = if ends_captured { "captured" } else { "voided" };
        let states = ["requires_action", "authorized", end];
        for which in arrivals {
            shop.webhook(&event(&format!("evt_{which}"), order, None, states[which])).is(200);
        }
        prop_assert_eq!(shop.state(order), end);
    }
}
