//! Holding, taking and releasing the money of an order.

use std::sync::Barrier;

use axum::http::Method;
use commerce::Id;
use futures::executor::block_on;
use serde_json::{Value, json};
use service::testing::Ask;

use super::faults::Fault;
use super::shop::{Shop, charge, money};

#[test]
fn money_is_held_and_then_taken_once() {
    let shop = Shop::open();
    let order = Id::new();
    let held = shop.authorize(order, "tok_approve").is(200);
    let expected = json!({
        "id": held["id"], "order_id": order, "state": "authorized", "amount": money(1000), "captured": money(0),
        "refunded": money(0), "refund_pending": money(0), "provider": "test",
        "provider_reference": held["provider_reference"], "customer": null, "next_action": null, "failure": null,
        "refunds": [], "created_at": held["created_at"], "updated_at": held["updated_at"],
    });
    assert_eq!(held, expected);
    for _ in 0..2 {
        let taken = shop.end(order, "capture").is(200);
        assert_eq!((&taken["state"], &taken["captured"]), (&json!("captured"), &money(1000)));
    }
    assert_eq!(shop.authorize(order, "tok_approve").is(200)["state"], "captured");
    let booked = shop.booked(order);
    assert_eq!((booked.len(), &booked[0]["captured"], &booked[0]["requests"]), (1, &money(1000), &json!(1)));
    shop.end(order, "void").is_problem(
        409,
        "intent-state",
        "the intent is captured and cannot be voided",
        json!({"state": "captured"}),
    );
}

#[test]
fn held_money_is_released() {
    let shop = Shop::open();
    for token in ["tok_approve", "tok_action"] {
        let order = Id::new();
        shop.authorize(order, token).is(200);
        for _ in 0..2 {
            assert_eq!(shop.end(order, "void").is(200)["state"], "voided");
        }
        assert_eq!(shop.booked(order)[0]["state"], "voided");
        shop.end(order, "capture").is_problem(
            409,
            "intent-state",
            "the intent is voided and cannot be captured",
            json!({"state": "voided"}),
        );
    }
}

#[test]
fn a_refusal_is_told_in_words_for_the_shopper() {
    let shop = Shop::open();
    for (token, code) in [
        ("tok_decline", "declined"),
        ("tok_insufficient_funds", "insufficient_funds"),
        ("tok_unheard_of", "invalid_payment_method"),
    ] {
        let order = Id::new();
        let refused = shop.authorize(order, token).is(200);
        assert_eq!((&refused["state"], &refused["failure"]["code"]), (&json!("declined"), &json!(code)), "{token}");
        assert!(refused["failure"]["message"].as_str().is_some_and(|message| message.ends_with('.')));
        assert_eq!(shop.end(order, "void").is(200)["state"], "declined", "there is nothing to release");
    }
}

#[test]
fn another_amount_is_another_intent() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    let mut other = charge(order, "tok_approve");
    other["amount"] = money(1001);
    shop.post("/internal/intents").json(other).is_problem(
        409,
        "intent-differs",
        &format!("the order {order} has an intent over another amount"),
        json!({}),
    );
    assert_eq!(shop.intent(order)["amount"], money(1000));
}

#[test]
fn the_shopper_confirms_with_their_bank() {
    let shop = Shop::open();
    for (token, state) in [("tok_action", "authorized"), ("tok_action_fails", "declined")] {
        let order = Id::new();
        let asked = shop.authorize(order, token).is(200);
        assert_eq!(asked["state"], "requires_action");
        let path = asked["next_action"]["path"].as_str().unwrap();
        assert_eq!(shop.end(order, "capture").status, 409);
        let answer = shop.post(path).send().is(200);
        assert_eq!(answer["state"], state);
        let members: Vec<&String> = answer.as_object().unwrap().keys().collect();
        assert_eq!(members, ["failure", "next_action", "order_id", "state"], "a shopper sees no more");
        assert_eq!(answer["next_action"], Value::Null);
        assert_eq!(shop.told().last(), Some(&json!(order)), "orders is told");
        let told = shop.told().len();
        assert_eq!(shop.confirm(order).is(200)["state"], state, "again changes nothing");
        assert_eq!(shop.told().len(), told);
    }
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    for (token, booked_at_first) in [("tok_timeout", 0), ("tok_fail_after_charge", 1)] {
        let shop = Shop::open();
        let order = Id::new();
        assert_eq!(shop.authorize(order, token).is(202)["state"], "pending", "{token}");
        assert_eq!(shop.booked(order).len(), booked_at_first);
        assert_eq!(shop.authorize(order, token).is(202)["state"], "pending", "not before its time");
        shop.time_passes();
        assert_eq!(shop.authorize(order, token).is(200)["state"], "authorized");
        assert_eq!(shop.booked(order).len(), 1);
        assert_eq!(shop.booked(order)[0]["requests"], 2);
    }
}

#[test]
fn the_sweep_finds_what_nobody_asks_for() {
    let shop = Shop::open();
    let order = Id::new();
    assert_eq!(shop.authorize(order, "tok_slow").is(202)["state"], "pending");
    assert_eq!(shop.sweep(), json!({"operations": 0, "webhooks": 0, "moved": 0, "told": 0}));
    shop.time_passes();
    assert_eq!(shop.sweep(), json!({"operations": 1, "webhooks": 0, "moved": 1, "told": 0}));
    assert_eq!(shop.state(order), "authorized");
    assert_eq!(shop.told(), [json!(order)]);
    assert_eq!(shop.booked(order).len(), 1);
}

#[test]
fn two_at_once_make_one_charge() {
    const CALLERS: usize = 8;
    let shop = Shop::open();
    let order = Id::new();
    for path in ["/internal/intents".to_owned(), format!("/internal/intents/{order}/capture")] {
        let barrier = Barrier::new(CALLERS);
        let states: Vec<Value> = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS)
                .map(|_| {
                    let (router, barrier, path) = (shop.instance(), &barrier, &path);
                    scope.spawn(move || {
                        barrier.wait();
                        Ask::new(&router, Method::POST, path).json(charge(order, "tok_approve")).json()["state"].clone()
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });
        let settled = if path.ends_with("capture") { "captured" } else { "authorized" };
        assert!(states.iter().all(|state| state == "pending" || state == settled), "{path}: {states:?}");
        assert!(states.contains(&json!(settled)), "{path}: {states:?}");
    }
    let booked = shop.booked(order);
    assert_eq!((booked.len(), &booked[0]["requests"], &booked[0]["state"]), (1, &json!(1), &json!("captured")));
    assert_eq!(shop.count("SELECT count(*) FROM operations"), 2);
}

#[test]
fn no_sweep_takes_a_capture_from_its_caller() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_approve").is(200);
    let refuse_what_a_sweep_could_take = "
        CREATE TRIGGER nothing_due BEFORE INSERT ON operations WHEN NEW.due_at_ms <= NEW.created_at_ms
        BEGIN SELECT RAISE(ABORT, 'a sweep could take it'); END";
    block_on(shop.database().execute(refuse_what_a_sweep_could_take, &[])).unwrap();
    assert_eq!(shop.end(order, "capture").is(200)["state"], "captured");
}

#[test]
fn a_capture_without_an_answer_is_finished() {
    for fault in [Fault::DeathBefore, Fault::DeathAfter, Fault::LostRequest, Fault::LostAnswer] {
        let shop = Shop::open();
        let order = Id::new();
        shop.authorize(order, "tok_approve").is(200);
        let path = format!("/internal/intents/{order}/capture");
        let answer = shop.accident(fault, shop.post(&path), &Value::Null);
        assert!(answer.is_none_or(|answer| answer.is(202)["state"] == "pending"), "{fault:?}");
        assert_eq!(shop.state(order), "pending");
        shop.end(order, "void").is_problem(
            409,
            "intent-state",
            "the intent is pending and cannot be voided",
            json!({"state": "pending"}),
        );
        shop.time_passes();
        shop.sweep();
        assert_eq!(shop.state(order), "captured", "{fault:?}");
        assert_eq!(shop.booked(order)[0]["captured"], money(1000));
    }
}

#[test]
fn intents_are_listed_by_order() {
    let shop = Shop::open();
    let orders: Vec<Id> = (0..3).map(|_| Id::new()).collect();
    for order in orders.iter().rev() {
        shop.authorize(*order, "tok_approve").is(200);
    }
    shop.end(orders[0], "capture").is(200);
    shop.refund(orders[0], Id::new(), 300).is(200);
    let list = |query: &str| shop.get(&format!("/internal/intents?{query}")).is(200)["items"].clone();
    let all = list("");
    let expected = json!({
        "order_id": orders[0], "state": "captured", "amount": money(1000), "captured": money(1000),
        "refunded": money(300), "open_since_ms": null, "refund_pending": money(0),
    });
    assert_eq!(all[0], expected);
    let ids: Vec<_> = all.as_array().unwrap().iter().map(|item| item["order_id"].clone()).collect();
    assert_eq!(ids, orders.iter().map(|order| json!(order)).collect::<Vec<_>>());
    assert_eq!(list(&format!("after={}&limit=1", orders[0])), json!([all[1]]));
    assert_eq!(shop.get("/internal/intents?limit=x").status, 400);
}

#[test]
fn what_is_not_there_is_not_found() {
    let shop = Shop::open();
    let order = Id::new();
    for id in [order.to_string(), "garbage".to_owned()] {
        let detail = format!("there is no intent {id:?}");
        shop.get(&format!("/internal/intents/{id}")).is_problem(404, "not-found", &detail, json!({}));
        let confirm = shop.post(&format!("/api/payments/intents/{id}/confirm")).staff().send();
        confirm.is_problem(404, "not-found", &detail, json!({}));
    }
    assert_eq!(shop.end(order, "capture").status, 404);
    assert_eq!(shop.end(order, "void").status, 404);
    assert_eq!(shop.refund(order, Id::new(), 1).status, 404);
}
