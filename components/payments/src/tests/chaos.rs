//! Whatever dies and whatever is lost, in any order: one charge per order, and both books say the same in the end.

use axum::http::Method;
use commerce::Id;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, charge, event, money};

/// Sweeps after which nothing may be open any more.
const SWEEPS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Authorize(Fault),
    Capture(Fault),
    Void(Fault),
    Refund(usize, i64, Fault),
    Sweep(Fault),
    Confirm,
    /// The provider calls about the charge as it stands in its books.
    Webhook(u8),
    TimePasses,
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop::sample::select(vec![
        Fault::None,
        Fault::DeathBefore,
        Fault::DeathAfter,
        Fault::LostRequest,
        Fault::LostAnswer,
    ])
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any_fault().prop_map(Step::Authorize),
        2 => any_fault().prop_map(Step::Capture),
        1 => any_fault().prop_map(Step::Void),
        1 => (0..3_usize, 1..800_i64, any_fault()).prop_map(|(which, amount, fault)| Step::Refund(which, amount, fault)),
        2 => any_fault().prop_map(Step::Sweep),
        1 => Just(Step::Confirm),
        1 => any::<u8>().prop_map(Step::Webhook),
        3 => Just(Step::TimePasses),
    ]
}

const TOKENS: [&str; 9] = [
    "tok_approve",
    "tok_decline",
    "tok_action",
    "tok_action_fails",
    "tok_timeout",
    "tok_fail_after_charge",
    "tok_slow",
    "tok_capture_fails",
    "tok_refund_pending",
];

fn take(shop: &Shop, order: Id, token: &str, refunds: &[Id], step: &Step) {
    let path = |how: &str| format!("/internal/intents/{order}/{how}");
    let (ask, body, fault) = match step {
        Step::Authorize(fault) => (shop.post("/internal/intents"), charge(order, token), *fault),
        Step::Capture(fault) => (shop.post(&path("capture")), Value::Null, *fault),
        Step::Void(fault) => (shop.post(&path("void")), Value::Null, *fault),
        Step::Refund(which, amount, fault) => {
            let body = json!({"refund_id": refunds[*which], "amount": money(*amount), "reason": "returned"});
            (shop.post(&path("refunds")), body, *fault)
        }
        Step::Sweep(fault) => (shop.post("/internal/intents/sweep"), Value::Null, *fault),
        Step::Confirm => {
            (shop.request(Method::POST, &format!("/api/payments/intents/{order}/confirm")), Value::Null, Fault::None)
        }
        Step::Webhook(id) => {
            if let Some(booked) = shop.booked(order).first() {
                let (name, state) = (booked["id"].as_str(), booked["state"].as_str().unwrap());
                shop.webhook(&event(&format!("evt_{id}"), order, name, state)).is(200);
            }
            return;
        }
        Step::TimePasses => return shop.time_passes(),
    };
    if let Some(answer) = shop.accident(fault, ask, &body) {
        assert!(!answer.status.is_server_error(), "{step:?}: {}", answer.text());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn one_charge_and_equal_books(
        token in prop::sample::select(TOKENS.to_vec()), steps in prop::collection::vec(any_step(), 1..16)
    ) {
        let shop = Shop::open();
        let order = Id::new();
        let refunds: Vec<Id> = (0..3).map(|_| Id::new()).collect();
        for step in &steps {
            take(&shop, order, token, &refunds, step);
            prop_assert!(shop.booked(order).len() <= 1);
        }
        for _ in 0..SWEEPS {
            shop.time_passes();
            shop.sweep();
        }
        prop_assert_eq!(shop.count("SELECT count(*) FROM operations WHERE open = 1"), 0);
        prop_assert_eq!(shop.count("SELECT count(*) FROM refunds WHERE state = 'pending'"), 0);
        let booked = shop.booked(order);
        let was_wished = shop.count("SELECT count(*) FROM intents") == 1;
        prop_assert_eq!(booked.len(), usize::from(was_wished));
        if was_wished {
            let intent = shop.intent(order);
            let ours = intent["state"].as_str().unwrap();
            let theirs = booked[0]["state"].as_str().unwrap();
            // A capture that failed is released; a decline that the shopper had to act on is closed.
            let agrees = ours == theirs || matches!((ours, theirs), ("failed", "voided"));
            prop_assert!(agrees, "{} and {}", ours, theirs);
            prop_assert_eq!(&intent["captured"], &booked[0]["captured"]);
            prop_assert_eq!(&intent["refunded"], &booked[0]["refunded"]);
        }
    }
}
