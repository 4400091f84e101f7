//! The payment of an order that is placed: declined, waited for, confirmed, failed.

use serde_json::{Value, json};

use super::shop::{DELIVERY, Shop, text};

#[test]
fn a_declined_card_buys_nothing_and_frees_the_stock_at_once() {
    let shop = Shop::open();
    let cart = shop.cart(&[("MUG", 10)]);
    let declined = shop.wish(&cart, "tok_decline");
    for _ in 0..2 {
        let refused = shop.check_out("k1", &declined);
        let order = shop.orders()[0].clone();
        let members = json!({"code": "declined", "order_id": order["id"], "number": order["number"]});
        refused.is_problem(402, "payment-declined", "The card was declined.", members);
    }
    shop.came_to_nothing("failed");
    assert!(!shop.world.books().carts.0[&cart].lines.is_empty(), "the cart is as it was");
    // The very last units, with another card.
    shop.check_out("k2", &shop.wish(&cart, "tok_approve")).is(201);
    assert_eq!(shop.units("MUG"), (0, 0));
}

#[test]
fn payment_details_that_cannot_be_used_are_a_refusal() {
    let violation = json!({"field": "payment_method", "rule": "1 to 255 visible ASCII characters"});
    for cannot_read in [("invalid", json!({"errors": [violation]})), ("card-number", json!({}))] {
        let shop = Shop::open();
        shop.world.books().payments.cannot_read = Some(cannot_read);
        let refused = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve")).is(402);
        assert_eq!(refused["code"], "invalid_payment_method");
        shop.came_to_nothing("failed");
    }
}

#[test]
fn an_order_waits_while_payments_cannot_read_what_orders_asks() {
    for errors in [
        json!([{"field": "return_url", "rule": "an https URL"}]),
        json!([{"field": "", "rule": "unknown field `order_token_digest`"}]),
        Value::Null,
    ] {
        let shop = Shop::open();
        let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
        shop.world.books().payments.cannot_read = Some(("invalid", json!({"errors": errors})));
        let waits = shop.check_out("k", &wish).is(202);
        assert_eq!((&waits["state"], shop.units("MUG"), shop.money()), (&json!("pending"), (9, 1), 0));
        shop.waits_run_out();
        shop.sweep();
        assert_eq!(shop.order(&waits["id"])["state"], "pending");
        // The other revision is deployed.
        shop.world.books().payments.cannot_read = None;
        shop.waits_run_out();
        shop.sweep();
        assert_eq!(shop.order(&waits["id"])["state"], "paid");
        assert_eq!((shop.money(), shop.findings()), (1000 + DELIVERY, vec![]));
    }
    // Or it never is, and nobody is left waiting.
    let shop = Shop::open();
    shop.world.books().payments.cannot_read = Some(("invalid", json!({"errors": []})));
    shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve")).is(202);
    shop.settle();
    shop.came_to_nothing("cancelled");
}

#[test]
fn a_capture_that_fails_gives_everything_back() {
    let shop = Shop::open();
    let refused = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 2)]), "tok_capture_fails")).is(402);
    assert_eq!(refused["code"], "capture_failed");
    shop.came_to_nothing("failed");
}

#[test]
fn the_shopper_confirms_with_their_bank() {
    let shop = Shop::open();
    for (token, confirmed) in [("tok_action", true), ("tok_action_fails", false)] {
        let (wish, key) = (shop.wish(&shop.cart(&[("MUG", 1)]), token), shop.key());
        let asked = shop.check_out(&key, &wish).is(202);
        let id = text(&asked["id"]).to_owned();
        let action = json!({"type": "confirm", "path": format!("/api/payments/intents/{id}/confirm")});
        assert_eq!((&asked["state"], &asked["next_action"]), (&json!("pending"), &action));
        assert_eq!(shop.check_out(&key, &wish).is(202)["next_action"], action);

        shop.world.books().payments.confirm(&id);
        shop.payment_changed(&asked["id"]);
        let order = shop.order(&asked["id"]);
        let state = if confirmed { "paid" } else { "failed" };
        assert_eq!((&order["state"], &order["next_action"]), (&json!(state), &Value::Null));
        let answer = shop.check_out(&key, &wish);
        if confirmed {
            assert_eq!(
                (&answer.is(201)["order_token"], &answer.json()["state"]),
                (&asked["order_token"], &json!("paid"))
            );
        } else {
            assert_eq!(answer.is(402)["code"], "declined");
        }
    }
    assert_eq!(shop.units("MUG"), (9, 0));
    shop.settle();
    assert_eq!(shop.findings(), [Value::Null; 0]);
}

#[test]
fn the_sweep_finds_that_the_shopper_confirmed() {
    let shop = Shop::open();
    let asked = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_action")).is(202);
    shop.world.books().payments.confirm(text(&asked["id"]));
    assert_eq!(shop.sweep()["tasks"], 0, "not before its time");
    shop.waits_run_out();
    shop.sweep();
    assert_eq!(shop.order(&asked["id"])["state"], "paid");
}

#[test]
fn a_shopper_who_never_confirms_is_not_waited_for_forever() {
    let shop = Shop::open();
    let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_action");
    let asked = shop.check_out("k", &wish).is(202);
    assert_eq!(shop.units("MUG"), (9, 1), "the stock waits with them");
    shop.settle();
    let members = json!({"order_id": asked["id"], "number": asked["number"]});
    let detail = "the order was cancelled before it was paid; to buy, check out with a new key";
    shop.check_out("k", &wish).is_problem(409, "order-cancelled", detail, members);
    assert_eq!(shop.world.books().payments.intents[text(&asked["id"])].state, "voided");
    shop.came_to_nothing("cancelled");
}

#[test]
fn stock_is_held_for_longer_while_the_shopper_confirms() {
    let shop = Shop::open();
    // Somebody else has bought what the hold was too short for.
    for (sold_out, state) in [(false, "paid"), (true, "failed")] {
        let asked = shop.check_out(&shop.key(), &shop.wish(&shop.cart(&[("POT", 1)]), "tok_action")).is(202);
        shop.world.books().catalog.expire();
        shop.world.books().catalog.sold_out_when_asked = sold_out;
        shop.world.books().payments.confirm(text(&asked["id"]));
        shop.payment_changed(&asked["id"]);
        assert_eq!(shop.order(&asked["id"])["state"], state);
    }
    shop.settle();
    assert_eq!((shop.money(), shop.findings()), (3333 + DELIVERY, vec![]));
}

#[test]
fn stock_that_was_lost_before_it_was_sold_is_held_again_or_the_money_goes_back() {
    use super::faults::Fault;
    for (sold_out, status) in [(false, 201), (true, 409)] {
        let shop = Shop::open();
        let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
        shop.world.faults.next("/commit", Fault::DeathBefore);
        assert!(shop.try_check_out("k", &wish).is_none());
        shop.world.books().catalog.expire();
        shop.world.books().catalog.sold_out_when_asked = sold_out;
        shop.waits_run_out();
        assert_eq!(shop.check_out("k", &wish).status.as_u16(), status);
        shop.settle();
        assert_eq!(shop.findings(), [Value::Null; 0]);
        assert_eq!(shop.money(), if sold_out { 0 } else { 1000 + DELIVERY });
    }
}

#[test]
fn nobody_is_charged_for_what_they_gave_up_long_ago() {
    use super::faults::Fault;
    let shop = Shop::open();
    let wish = shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve");
    shop.world.faults.next("internal/intents", Fault::DeathBefore);
    assert!(shop.try_check_out("k", &wish).is_none());
    // The host comes back the next day.
    shop.change("UPDATE orders SET created_at_ms = created_at_ms - 86400000");
    shop.waits_run_out();
    shop.sweep();
    shop.settle();
    assert_eq!(shop.check_out("k", &wish).is(409)["type"], "urn:bodega:problem:order-cancelled");
    shop.came_to_nothing("cancelled");
}
