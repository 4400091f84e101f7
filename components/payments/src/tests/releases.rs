//! No money stays held for an intent that has ended.

use commerce::Id;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, charge, event, money};

#[test]
fn a_release_waits_for_an_authorization_without_an_outcome() {
    for (fault, booked) in [
        (Fault::DeathBefore, "voided"),
        (Fault::DeathAfter, "voided"),
        (Fault::LostRequest, "voided"),
        (Fault::LostAnswer, "voided"),
    ] {
        let shop = Shop::open();
        let order = Id::new();
        shop.accident(fault, shop.post("/internal/intents"), &charge(order, "tok_approve"));
        assert_eq!(shop.end(order, "void").is(202)["state"], "pending", "{fault:?}");
        assert_eq!(shop.end(order, "void").is(202)["state"], "pending", "again is the same wish");
        shop.time_passes();
        shop.sweep();
        assert_eq!(shop.state(order), "voided", "{fault:?}");
        let charges = shop.booked(order);
        assert_eq!((charges.len(), charges[0]["state"].as_str()), (1, Some(booked)));
    }
}

#[test]
fn a_declined_authorization_has_nothing_to_release() {
    let shop = Shop::open();
    let order = Id::new();
    shop.accident(Fault::LostAnswer, shop.post("/internal/intents"), &charge(order, "tok_decline"));
    shop.end(order, "void").is(202);
    shop.time_passes();
    shop.sweep();
    assert_eq!(shop.state(order), "declined");
    assert_eq!(shop.count("SELECT count(*) FROM operations WHERE open = 1"), 0);
}

#[test]
fn a_failed_capture_releases_what_was_held() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_capture_fails").is(200);
    let failed = shop.end(order, "capture").is(200);
    assert_eq!((&failed["state"], &failed["failure"]["code"]), (&json!("failed"), &json!("capture_failed")));
    assert_eq!(failed["captured"], money(0));
    shop.sweep();
    assert_eq!(shop.booked(order)[0]["state"], "voided");
    assert_eq!(shop.state(order), "failed");
}

/// The shopper's browser may go on with a charge whose first try was declined.
#[test]
fn money_that_arrives_for_an_ended_intent_is_released() {
    let shop = Shop::open();
    let order = Id::new();
    shop.authorize(order, "tok_action").is(200);
    let name = shop.booked(order)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(shop.webhook(&event("evt_1", order, Some(&name), "declined")).is(200), json!({"received": true}));
    assert_eq!(shop.state(order), "declined");
    // The provider holds the money all the same.
    assert_eq!(shop.confirm(order).is(200)["state"], "declined");
    shop.webhook(&event("evt_2", order, Some(&name), "authorized")).is(200);
    assert_eq!(shop.state(order), "declined");
    shop.time_passes();
    shop.sweep();
    assert_eq!(shop.booked(order)[0]["state"], "voided");
    assert_eq!(shop.state(order), "declined");
    let history = history(&shop, order);
    assert_eq!(history, ["created", "requires_action", "declined"]);
}

fn history(shop: &Shop, order: Id) -> Vec<String> {
    let id = shop.intent(order)["id"].as_str().unwrap().to_owned();
    let shown = shop.request(axum::http::Method::GET, &format!("/api/payments/intents/{id}")).staff().send().is(200);
    let steps: &Vec<Value> = shown["history"].as_array().unwrap();
    steps.iter().map(|step| step["to"].as_str().unwrap().to_owned()).collect()
}
