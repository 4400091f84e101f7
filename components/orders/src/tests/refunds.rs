//! Giving money back, in parts and whole, and taking goods back.

use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{DELIVERY, Shop, text, usd};

fn line(sku: &str, quantity: i64) -> Value {
    json!({"sku": sku, "quantity": quantity})
}

#[test]
fn a_part_of_an_order_goes_back() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 3), ("PAN", 1)], "tok_approve");
    let wish = json!({"lines": [line("MUG", 2)], "reason": "broken", "restock": true});
    let answer = shop.refund(&order["id"], wish);
    let refund = answer.is(201);
    assert_eq!(
        (&refund["state"], &refund["amount"], &refund["restock"]),
        (&json!("succeeded"), &usd(2000), &json!(true))
    );
    assert_eq!(answer.header("etag".parse().unwrap()), "\"4-0\"", "asked for, and given");
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["state"], &shown["refunded"]), (&json!("paid"), &usd(2000)));
    assert_eq!(shown["refunds"], json!([refund]));
    assert_eq!((shop.units("MUG"), shop.money()), ((9, 0), 1000 + 2500 + DELIVERY));

    let wish = json!({"amount": usd(300), "reason": "it was late", "restock": false});
    assert_eq!(shop.refund(&order["id"], wish).is(201)["amount"], usd(300));
    let wish = json!({"lines": [line("PAN", 1)], "shipping": true, "reason": "wrong one", "restock": false});
    assert_eq!(shop.refund(&order["id"], wish).is(201)["amount"], usd(2500 + DELIVERY));
    assert_eq!((shop.units("PAN"), shop.money()), ((9, 0), 700));
    assert_eq!((shop.tasks(), shop.findings()), (vec![], vec![]));
}

#[test]
fn a_whole_order_goes_back() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 3)], "tok_approve");
    shop.refund(&order["id"], json!({"lines": [line("MUG", 1)], "reason": "broken", "restock": false})).is(201);
    let rest = shop.refund(&order["id"], json!({"reason": "sent back", "restock": true})).is(201);
    assert_eq!(
        (&rest["amount"], &rest["lines"], &rest["shipping"]),
        (&usd(2490), &json!([line("MUG", 2)]), &json!(true))
    );
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["state"], &shown["refunded"]), (&json!("refunded"), &usd(3000 + DELIVERY)));
    assert_eq!(shop.world.books().shipping.shipments[text(&order["id"])].state, "cancelled", "it is not sent any more");
    assert_eq!((shop.units("MUG"), shop.money(), shop.findings()), ((9, 0), 0, vec![]));
    let refused = shop.refund(&order["id"], json!({"amount": usd(1), "reason": "more", "restock": false}));
    refused.is_problem(409, "refund-exceeds", "0 minor units may still be refunded", json!({"refundable": 0}));
}

#[test]
fn shares_of_a_line_come_to_what_it_cost() {
    let shop = Shop::open();
    shop.coupon("TEN", 1);
    let cart = shop.cart(&[("POT", 3)]);
    shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned()];
    let order = shop.check_out("k", &shop.wish(&cart, "tok_approve")).is(201);
    // 9999 less 1000.
    assert_eq!(order["lines"][0]["gross"], usd(8999));
    let one = || {
        let wish = json!({"lines": [line("POT", 1)], "reason": "broken", "restock": true});
        shop.refund(&order["id"], wish).is(201)["amount"]["amount"].as_i64().unwrap()
    };
    assert_eq!([one(), one(), one()], [2999, 3000, 3000]);
    assert_eq!((shop.units("POT"), shop.money()), ((3, 0), DELIVERY));
}

#[test]
fn not_one_unit_more_than_was_paid_goes_back() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_approve");
    let refund = |wish: Value| shop.refund(&order["id"], wish);
    let more = json!({"amount": usd(2000 + DELIVERY + 1), "reason": "r", "restock": false});
    let detail = "2490 minor units may still be refunded";
    refund(more).is_problem(409, "refund-exceeds", detail, json!({"refundable": 2490}));
    let three = json!({"lines": [line("MUG", 2), line("MUG", 1)], "reason": "r", "restock": true});
    let detail = "2 units of \"MUG\" may still be refunded";
    refund(three).is_problem(409, "refund-units-exceed", detail, json!({"sku": "MUG", "left": 2}));
    let other = json!({"lines": [line("PAN", 1)], "reason": "r", "restock": true});
    assert_eq!(refund(other).is(409)["left"], 0);

    refund(json!({"shipping": true, "reason": "late", "restock": false})).is(201);
    assert_eq!(
        refund(json!({"shipping": true, "reason": "late", "restock": false})).is(409)["type"],
        "urn:bodega:problem:shipping-refunded"
    );
    refund(json!({"amount": usd(1500), "reason": "goodwill", "restock": false})).is(201);
    // The units are there, and their price is not.
    let one = json!({"lines": [line("MUG", 1)], "reason": "r", "restock": true});
    assert_eq!(refund(one.clone()).is(409)["refundable"], 500);
    let mut less = one;
    less["amount"] = usd(500);
    refund(less).is(201);
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["state"], shop.money(), shop.units("MUG")), (&json!("refunded"), 0, (9, 0)));
    assert_eq!(shop.findings(), [Value::Null; 0]);
}

#[test]
fn the_same_refund_goes_back_once() {
    let shop = Shop::open();
    for fault in Fault::ALL {
        for call in ["/refunds", "internal/restocks"] {
            let order = shop.ordered(&[("MUG", 1)], "tok_approve");
            let wish = json!({"lines": [line("MUG", 1)], "reason": "broken", "restock": true});
            let (path, key) = (format!("/api/orders/{}/refunds", text(&order["id"])), shop.key());
            let ask = || shop.post(&path).staff().header("idempotency-key", &key).header("if-match", "\"2-0\"");
            shop.world.faults.next(call, fault);
            shop.try_ask(ask(), &wish);
            shop.waits_run_out();
            let refund = ask().json(wish.clone()).is(201);
            assert_eq!(refund["state"], "succeeded", "{call} {fault:?}");
            assert_eq!(ask().json(wish).is(201), refund);
            let detail = "repeat the first request unchanged, or choose a new key";
            let other = json!({"reason": "other", "restock": false});
            ask().json(other).is_problem(422, "idempotency-key-reused", detail, json!({}));
            shop.settle();
            let shown = shop.order(&order["id"]);
            assert_eq!((&shown["refunded"], shown["refunds"].as_array().unwrap().len()), (&usd(1000), 1));
        }
    }
    assert_eq!((shop.units("MUG"), shop.findings()), ((10, 0), vec![]));
}

#[test]
fn a_refund_that_takes_its_time_is_finished_by_the_sweep() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_refund_pending");
    let wish = json!({"reason": "sent back", "restock": true});
    assert_eq!(shop.refund(&order["id"], wish.clone()).is(202)["state"], "pending");
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["state"], &shown["refund_pending"]), (&json!("paid"), &usd(2490)));
    assert_eq!(shop.refund(&order["id"], wish).is(409)["refundable"], 0, "what is on its way counts");
    assert_eq!(shop.units("MUG"), (8, 0), "nothing goes back into stock before");
    shop.settle();
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["state"], &shown["refunded"]), (&json!("refunded"), &usd(2490)));
    assert_eq!((shop.units("MUG"), shop.findings()), ((10, 0), vec![]));
}

#[test]
fn a_refund_that_the_bank_sends_back_is_known() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_approve");
    let refund = shop.refund(&order["id"], json!({"amount": usd(500), "reason": "late", "restock": false})).is(201);
    shop.world.books().payments.bounce(text(&order["id"]));
    shop.payment_changed(&order["id"]);
    assert_eq!(shop.order(&order["id"])["refunds"][0]["id"], refund["id"]);
    let shown = shop.order(&order["id"]);
    assert_eq!((&shown["refunds"][0]["state"], &shown["refunded"]), (&json!("failed"), &usd(0)));
    assert_eq!(shop.findings(), [Value::Null; 0]);
    shop.refund(&order["id"], json!({"amount": usd(2490), "reason": "all", "restock": false})).is(201);
}

#[test]
fn units_that_came_back_do_so_once_though_the_bank_sends_the_money_back() {
    for (restock, back) in [(true, 10), (false, 8)] {
        let shop = Shop::open();
        let order = shop.ordered(&[("MUG", 5)], "tok_approve");
        let wish = json!({"lines": [line("MUG", 2)], "reason": "broken", "restock": restock});
        shop.refund(&order["id"], wish.clone()).is(201);
        shop.world.books().payments.bounce(text(&order["id"]));
        shop.payment_changed(&order["id"]);
        assert_eq!(shop.order(&order["id"])["refunds"][0]["state"], "failed");
        assert_eq!(shop.findings(), [Value::Null; 0], "the stock is right");
        let four = json!({"lines": [line("MUG", 4)], "reason": "r", "restock": true});
        assert_eq!(shop.refund(&order["id"], four).is(409)["left"], 3);
        assert_eq!(shop.cancel(&order["id"]).is(200)["refunded"], usd(5000 + DELIVERY));
        assert_eq!((shop.units("MUG"), shop.money()), ((back, 0), 0));
        assert_eq!((shop.tasks(), shop.findings()), (vec![], vec![]));
    }
}

#[test]
fn a_refund_by_an_older_revision_that_bounced_is_known_by_its_event() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 5)], "tok_approve");
    shop.refund(&order["id"], json!({"lines": [line("MUG", 2)], "reason": "broken", "restock": true})).is(201);
    shop.world.books().payments.bounce(text(&order["id"]));
    shop.payment_changed(&order["id"]);
    shop.change("ALTER TABLE refunds DROP COLUMN taken_back");
    shop.change("DROP TABLE outbox_pruned");
    shop.change("DROP INDEX outbox_by_subject");
    shop.change("PRAGMA user_version = 1");
    drop(shop.instance());
    shop.cancel(&order["id"]).is(200);
    assert_eq!((shop.units("MUG"), shop.findings()), ((10, 0), vec![]));
}

#[test]
fn units_that_are_called_by_the_digits_of_an_article_go_back() {
    let shop = Shop::open();
    // It has the check digit of a card number, too, and begins as one.
    shop.stock("4006381330060", 1000, 5);
    let order = shop.ordered(&[("4006381330060", 2)], "tok_approve");
    let wish = json!({"lines": [line("4006381330060", 1)], "reason": "broken", "restock": true});
    assert_eq!(shop.refund(&order["id"], wish).is(201)["amount"], usd(1000));
    let wish = json!({"amount": usd(1), "reason": "card 4242424242424242", "restock": false});
    assert_eq!(shop.refund(&order["id"], wish).is(422)["type"], "urn:bodega:problem:card-number");
}

#[test]
fn what_breaks_rules_is_named() {
    let shop = Shop::open();
    let order = shop.ordered(&[("MUG", 2)], "tok_approve");
    let fields = |wish: Value| -> Vec<String> {
        let refused = shop.refund(&order["id"], wish).is(422);
        refused["errors"].as_array().unwrap().iter().map(|error| text(&error["field"]).to_owned()).collect()
    };
    assert_eq!(fields(json!({"amount": usd(0), "reason": " ", "restock": true})), ["amount", "reason", "restock"]);
    assert_eq!(
        fields(json!({"amount": {"amount": 1, "currency": "EUR"}, "reason": "r", "restock": false})),
        ["amount.currency"]
    );
    assert_eq!(fields(json!({"reason": "r"})), [""], "whether it goes back into stock is for staff to say");
    let path = format!("/api/orders/{}/refunds", text(&order["id"]));
    let wish = json!({"reason": "r", "restock": false});
    assert_eq!(shop.post(&path).staff().header("if-match", "*").json(wish.clone()).status, 400, "no key");
    assert_eq!(shop.post(&path).staff().header("idempotency-key", "k").json(wish.clone()).status, 428);
    let old = shop.post(&path).staff().header("idempotency-key", "k").header("if-match", "\"1-0\"");
    assert_eq!(old.json(wish).status, 412);
    let pending = shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_action")).is(202);
    let refused = shop.refund(&pending["id"], json!({"reason": "r", "restock": false})).is(409);
    assert_eq!(refused["type"], "urn:bodega:problem:order-state");
}
