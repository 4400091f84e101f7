//! Calling orders off, wherever they stand.

use axum::http::Method;
use identity::Role;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{DELIVERY, Shop, text, usd};

/// Nothing of an order is left: its stock is for sale, and nobody paid.
fn nothing_is_left(shop: &Shop) {
    assert_eq!((shop.units("MUG"), shop.money()), ((10, 0), 0));
    assert_eq!((shop.tasks(), shop.findings()), (vec![], vec![]));
}

#[test]
fn a_shopper_calls_a_pending_order_off() {
    let shop = Shop::open();
    let asked = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 2)]), "tok_action")).is(202);
    let cancel = |order: &Value| {
        let ask = shop.post(&format!("/api/orders/{}/cancel", text(&order["number"])));
        let ask = ask.header("x-order-token", text(&order["order_token"])).header("if-match", "\"2-0\"");
        ask.json(json!({"reason": "too dear"}))
    };
    let cancelled = cancel(&asked);
    assert_eq!(
        (&cancelled.is(200)["state"], cancelled.header("etag".parse().unwrap())),
        (&json!("cancelled"), "\"3-0\"")
    );
    assert_eq!(cancel(&asked).is(200), cancelled.json(), "again changes nothing");
    assert_eq!(shop.world.books().payments.intents[text(&asked["id"])].state, "voided");
    nothing_is_left(&shop);

    // News that comes late changes nothing either.
    shop.payment_changed(&asked["id"]);
    assert_eq!(shop.order(&asked["id"])["state"], "cancelled");
    nothing_is_left(&shop);
}

#[test]
fn a_paid_order_is_called_off_with_money_and_stock_back() {
    let shop = Shop::open();
    shop.coupon("TEN", 1);
    shop.fill("account ann", &[("MUG", 2)]);
    shop.world.books().carts.0.get_mut("account ann").unwrap().coupons = vec!["TEN".to_owned()];
    let ask = shop.checkout("k").account("ann", Role::Customer);
    let order = ask.json(shop.wish_of("account ann", "tok_approve")).is(201);
    let path = format!("/api/orders/{}/cancel", text(&order["id"]));
    let ask = shop.post(&path).account("ann", Role::Customer).header("if-match", "\"2-0\"");
    let cancelled = ask.json(json!({"reason": "found it cheaper"})).is(200);
    assert_eq!((&cancelled["state"], &cancelled["refunded"]), (&json!("cancelled"), &usd(1800 + DELIVERY)));
    let refund = &cancelled["refunds"][0];
    assert_eq!((&refund["state"], &refund["reason"]), (&json!("succeeded"), &json!("found it cheaper")));
    assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "cancelled");
    assert_eq!(shop.world.books().catalog.coupons["TEN"], 1, "the coupon can be used again");
    nothing_is_left(&shop);
    assert_eq!(shop.check_out("k", &json!({})).status, 422, "a guest's key is another one");
}

#[test]
fn what_was_refunded_before_does_not_go_back_twice() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 4)], "tok_approve");
    for (units, restock) in [(1, true), (1, false)] {
        let lines = json!([{"sku": "MUG", "quantity": units}]);
        shop.refund(&order["id"], json!({"lines": lines, "reason": "broken", "restock": restock})).is(201);
    }
    let cancelled = shop.cancel(&order["id"]).is(200);
    let amounts: Vec<_> = cancelled["refunds"].as_array().unwrap().iter().map(|refund| &refund["amount"]).collect();
    assert_eq!(amounts, [&usd(1000), &usd(1000), &usd(2000 + DELIVERY)]);
    assert_eq!((shop.money(), shop.units("MUG")), (0, (9, 0)), "one is broken for good");
    assert_eq!((shop.tasks(), shop.findings()), (vec![], vec![]));
}

#[test]
fn a_refund_that_fails_while_the_stock_waits_takes_nothing_twice() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 5)], "tok_refund_pending");
    let lines = json!([{"sku": "MUG", "quantity": 2}]);
    shop.refund(&order["id"], json!({"lines": lines, "reason": "broken", "restock": true})).is(202);
    shop.world.faults.next("/release", Fault::Fails);
    shop.cancel(&order["id"]).is(200);
    shop.world.books().payments.intents.get_mut(text(&order["id"])).unwrap().token = "tok_refund_fails".to_owned();
    // The refund fails before the stock is asked for again.
    shop.change("UPDATE tasks SET due_at_ms = 0 WHERE kind = 'refund'");
    shop.sweep();
    shop.settle();
    assert_eq!(shop.units("MUG"), (10, 0));
    let kinds: Vec<Value> = shop.findings().into_iter().map(|finding| finding["kind"].clone()).collect();
    assert_eq!(kinds, ["payment-kept"], "the money is left to staff");
}

#[test]
fn who_may_call_off_what() {
    let shop = Shop::open();
    for (way, by_owner, by_staff) in [
        (&[][..], 200, 200),
        (&["packed"], 409, 200),
        (&["packed", "shipped"], 409, 409),
        (&["packed", "shipped", "delivered"], 409, 409),
    ] {
        let order = shop.ordered_by("ann", &[("MUG", 1)], "tok_approve");
        for to in way {
            shop.transition(&order["id"], to).is(200);
        }
        let path = format!("/api/orders/{}/cancel", text(&order["id"]));
        let ask = || shop.post(&path).header("if-match", "*");
        let body = json!({"reason": "no"});
        let owner = ask().account("ann", Role::Customer).json(body.clone());
        assert_eq!(owner.status.as_u16(), by_owner, "{way:?}");
        assert_eq!(ask().staff().json(body).status.as_u16(), by_staff, "{way:?}");
        if by_owner == 409 {
            assert_eq!(owner.json()["type"], "urn:bodega:problem:order-state");
        }
    }
    let failed = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_decline")).is(402);
    let refused = shop.cancel(&failed["order_id"]).is(409);
    assert_eq!((&refused["state"], &refused["next"]), (&json!("failed"), &json!([])));
    shop.settle();
    assert_eq!(shop.findings(), [Value::Null; 0]);
}

#[test]
fn a_cancellation_is_held_against_what_was_read_and_says_why() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 1)], "tok_approve");
    let path = format!("/api/orders/{}/cancel", text(&order["id"]));
    let ask = || shop.request(Method::POST, &path).staff();
    assert_eq!(ask().json(json!({"reason": "no"})).status, 428);
    assert_eq!(ask().header("if-match", "\"1-0\"").json(json!({"reason": "no"})).status, 412);
    for reason in [json!(""), json!("x".repeat(256)), Value::Null] {
        assert_eq!(ask().header("if-match", "*").json(json!({"reason": reason})).status, 422);
    }
    assert_eq!(shop.order(&order["id"])["state"], "paid");
}

#[test]
fn a_cancellation_is_carried_through_whoever_dies() {
    for call in ["/refunds", "/release", "internal/restocks", "/cancel"] {
        for fault in Fault::ALL {
            let shop = Shop::open();
            let order = shop.ordered(&[("MUG", 2)], "tok_approve");
            shop.world.faults.next(call, fault);
            let path = format!("/api/orders/{}/cancel", text(&order["id"]));
            shop.try_ask(shop.post(&path).staff().header("if-match", "*"), &json!({"reason": "no"}));
            assert_eq!(shop.order(&order["id"])["state"], "cancelled", "{call} {fault:?}");
            shop.settle();
            nothing_is_left(&shop);
            assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "cancelled");
        }
    }
}

#[test]
fn money_that_comes_for_an_order_that_has_ended_goes_back() {
    let shop = Shop::open();
    let asked = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 2)]), "tok_action")).is(202);
    shop.cancel(&asked["id"]).is(200);
    // The bank took it all the same.
    let id = text(&asked["id"]).to_owned();
    let take = |books: &mut super::world::Books| {
        let intent = books.payments.intents.get_mut(&id).unwrap();
        (intent.state, intent.captured) = ("captured", intent.amount);
    };
    take(&mut shop.world.books());
    assert_eq!(shop.money(), 2000 + DELIVERY);
    shop.payment_changed(&asked["id"]);
    assert_eq!(shop.order(&asked["id"])["refunded"], usd(2000 + DELIVERY));
    nothing_is_left(&shop);
}

#[test]
fn a_refund_that_the_bank_refuses_is_left_to_staff() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_refund_fails");
    let cancelled = shop.cancel(&order["id"]).is(200);
    let refund = &cancelled["refunds"][0];
    assert_eq!((&refund["state"], &refund["failure"]), (&json!("failed"), &json!("The bank refused.")));
    assert_eq!((shop.units("MUG"), shop.money()), ((10, 0), 2000 + DELIVERY));
    let findings = shop.findings();
    assert_eq!((findings.len(), &findings[0]["kind"]), (1, &json!("payment-kept")));
    // News of it does not have it tried for ever.
    shop.payment_changed(&order["id"]);
    shop.settle();
    assert_eq!(shop.order(&order["id"])["refunds"].as_array().unwrap().len(), 1);
    // Staff tries once more, and then the bank takes it.
    let id = text(&order["id"]).to_owned();
    shop.world.books().payments.intents.get_mut(&id).unwrap().token = "tok_approve".to_owned();
    shop.refund(&order["id"], json!({"reason": "once more", "restock": false})).is(201);
    nothing_is_left(&shop);
}
