//! Money on its way back.

use commerce::Id;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, event, money};

#[test]
fn a_refund_is_made_once_and_never_exceeds_the_capture() {
    let shop = Shop::open();
    let order = shop.captured("tok_approve");
    let first = Id::new();
    for _ in 0..2 {
        let made = shop.refund(order, first, 400).is(200);
        let mut expected = json!({
            "refund_id": first, "state": "succeeded", "amount": money(400), "reason": "returned", "failure": null,
        });
        expected["created_at"] = made["created_at"].clone();
        assert_eq!(made, expected);
    }
    shop.refund(order, first, 300).is_problem(
        409,
        "refund-differs",
        &format!("the refund {first} has another amount"),
        json!({}),
    );
    shop.refund(order, Id::new(), 601).is_problem(
        409,
        "refund-exceeds",
        "600 minor units may still be refunded",
        json!({"refundable": 600}),
    );
    shop.refund(order, Id::new(), 600).is(200);
    let intent = shop.intent(order);
    assert_eq!((&intent["state"], &intent["refunded"]), (&json!("captured"), &money(1000)));
    assert_eq!(intent["refunds"].as_array().map(Vec::len), Some(2));
    assert_eq!(shop.booked(order)[0]["refunded"], money(1000));
    assert_eq!(shop.refund(order, Id::new(), 1).json()["refundable"], 0);
}

#[test]
fn what_was_not_taken_is_not_given_back() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    shop.refund(order, Id::new(), 1).is_problem(
        409,
        "intent-state",
        "the intent is authorized and cannot be refunded",
        json!({"state": "authorized"}),
    );
    shop.end(order, "capture").is(200);
    let euros = json!({"refund_id": Id::new(), "amount": {"amount": 1, "currency": "EUR"}, "reason": "x"});
    let refused = shop.post(&format!("/internal/intents/{order}/refunds")).json(euros);
    assert_eq!(refused.is(422)["errors"], json!([{"field": "amount.currency", "rule": "in USD, as the intent is"}]));
}

#[test]
fn what_is_on_its_way_counts_until_it_fails() {
    let shop = Shop::open();
    let order = shop.captured("tok_refund_pending");
    let refund = Id::new();
    assert_eq!(shop.refund(order, refund, 700).is(202)["state"], "pending");
    let intent = shop.intent(order);
    assert_eq!((&intent["refunded"], &intent["refund_pending"]), (&money(0), &money(700)));
    assert_eq!(shop.refund(order, Id::new(), 400).json()["refundable"], 300);

    let mut failed = event("evt_1", order, None, "captured");
    failed["refund"] = json!({"id": refund, "state": "failed"});
    shop.webhook(&failed).is(200);
    let intent = shop.intent(order);
    assert_eq!((&intent["refund_pending"], &intent["refunds"][0]["state"]), (&money(0), &json!("failed")));
    assert_eq!(shop.told(), [json!(order)]);
    assert_eq!(shop.refund(order, Id::new(), 300).is(202)["state"], "pending");
    shop.time_passes();
    shop.sweep();
    assert_eq!(shop.intent(order)["refunded"], money(300));
}

#[test]
fn a_refund_that_bounces_later_is_no_refund() {
    let shop = Shop::open();
    let order = shop.captured("tok_approve");
    let refund = Id::new();
    shop.refund(order, refund, 1000).is(200);
    let mut failed = event("evt_1", order, None, "captured");
    failed["refund"] = json!({"id": refund, "state": "failed"});
    shop.webhook(&failed).is(200);
    assert_eq!(shop.intent(order)["refunded"], money(0));
    let mut late = event("evt_0", order, None, "captured");
    late["refund"] = json!({"id": refund, "state": "succeeded"});
    shop.webhook(&late).is(200);
    assert_eq!(shop.intent(order)["refunded"], money(0), "an older event moves nothing back");
}

#[test]
fn a_refund_without_an_answer_is_made_once() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::LostRequest, Fault::LostAnswer] {
        let shop = Shop::open();
        let order = shop.captured("tok_approve");
        let refund = Id::new();
        let body = json!({"refund_id": refund, "amount": money(250), "reason": "returned"});
        let path = format!("/internal/intents/{order}/refunds");
        shop.accident(fault, shop.post(&path), &body);
        assert_eq!(shop.refund(order, refund, 250).is(202)["state"], "pending", "{fault:?}");
        shop.time_passes();
        assert_eq!(shop.refund(order, refund, 250).is(200)["state"], "succeeded");
        assert_eq!(shop.booked(order)[0]["refunded"], money(250), "{fault:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is asked for, what is given back is what was granted, and never more than was taken.
    #[test]
    fn refunds_add_up(asked in prop::collection::vec((0..6_usize, 1..700_i64), 1..12)) {
        let shop = Shop::open();
        let order = shop.captured("tok_approve");
        let ids: Vec<Id> = (0..6).map(|_| Id::new()).collect();
        let mut granted: std::collections::BTreeMap<Id, i64> = Default::default();
        for (which, amount) in asked {
            let left = 1000 - granted.values().sum::<i64>();
            let status = shop.refund(order, ids[which], amount).status.as_u16();
            let expected = match granted.get(&ids[which]) {
                Some(same) if *same == amount => 200,
                Some(_) => 409,
                None if amount <= left => { granted.insert(ids[which], amount); 200 }
                None => 409,
            };
            prop_assert_eq!(status, expected);
        }
        let sum: i64 = granted.values().sum();
        prop_assert_eq!(&shop.intent(order)["refunded"], &money(sum));
        prop_assert_eq!(&shop.booked(order)[0]["refunded"], &money(sum));
    }
}

#[test]
fn the_store_itself_keeps_the_sums() {
    let shop = Shop::open();
    let order = shop.captured("tok_approve");
    for (sql, constraint) in [
        ("UPDATE intents SET refunded = 1001", "refunds_within_capture"),
        ("UPDATE intents SET refund_pending = -1", "refunds_within_capture"),
        ("UPDATE intents SET captured = 1001", "captured_within_amount"),
        ("UPDATE intents SET state = 'voided'", "captured_in_its_state"),
        ("UPDATE intents SET amount = 5", "intent_is_fixed"),
        ("UPDATE transitions SET to_state = 'voided'", "transitions_stay"),
        ("DELETE FROM transitions", "transitions_stay"),
    ] {
        let refused = shop.database().read(sql, &[]).unwrap_err();
        assert!(refused.names(constraint), "{sql}: {refused}");
    }
    assert_eq!(shop.intent(order)["refunds"], Value::Array(Vec::new()));
}
