//! What an audit finds when books have been tampered with, and that it finds nothing else.

use commerce::Cursor;
use identity::Role;
use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, text};
use super::world::{Books, Variant};

/// A shop with an order in every state.
fn shop() -> (Shop, Vec<Value>) {
    let shop = Shop::open();
    shop.stock("CUP", 500, 100);
    let mut orders: Vec<Value> = (0..6).map(|_| shop.ordered(&[("CUP", 2)], "tok_approve")["id"].clone()).collect();
    for (order, way) in orders.iter().skip(1).zip([1, 2, 3]) {
        for to in ["packed", "shipped", "delivered"].iter().take(way) {
            shop.transition(order, to).is(200);
        }
    }
    shop.cancel(&orders[4]).is(200);
    shop.refund(&orders[5], json!({"reason": "sent back", "restock": true})).is(201);
    let declined = shop.check_out("k", &shop.wish(&shop.cart(&[("CUP", 1)]), "tok_decline")).is(402);
    orders.push(declined["order_id"].clone());
    (shop, orders)
}

fn kinds(shop: &Shop) -> Vec<(String, Value)> {
    let kind = |finding: Value| (text(&finding["kind"]).to_owned(), finding["order_id"].clone());
    shop.findings().into_iter().map(kind).collect()
}

#[test]
fn what_agrees_is_counted_and_not_named() {
    let (shop, orders) = shop();
    shop.check_out("k2", &shop.wish(&shop.cart(&[("CUP", 1)]), "tok_action")).is(202);
    shop.change("UPDATE orders SET touched_at_ms = touched_at_ms - 1000");
    let page = shop.get("/api/orders/audit").role(Role::Admin).send().is(200);
    let all = orders.len() + 1;
    let checked = json!({"orders": all, "reservations": all, "intents": all, "in_motion": 1, "variants": 4});
    assert_eq!(page, json!({"checked": checked, "findings": [], "next_cursor": null}));
}

#[test]
fn what_was_tampered_with_elsewhere_is_named() {
    let (_, orders) = shop();
    type Tamper = fn(&mut Books, &str);
    let cases: [(usize, Tamper, &[&str]); 13] = [
        (0, |books, order| reservation(books, order).state = "released", &["stock-count", "stock-not-sold"]),
        (0, |books, order| drop(books.catalog.reservations.remove(order)), &["stock-count", "stock-not-sold"]),
        (
            1,
            |books, order| reservation(books, order).lines = json!([{"sku": "CUP", "quantity": 1}]),
            &["stock-count", "reservation-differs"],
        ),
        (4, |books, _| books.catalog.restocks.clear(), &["stock-lost", "restock-differs"]),
        (6, |books, order| reservation(books, order).state = "held", &["stock-count", "stock-held"]),
        (2, |books, order| drop(books.payments.intents.remove(order)), &["payment-missing"]),
        (3, |books, order| intent(books, order).captured -= 1, &["payment-missing"]),
        (0, |books, order| intent(books, order).state = "authorized", &["payment-missing"]),
        (5, |books, order| intent(books, order).refunds.clear(), &["refunds-differ", "payment-kept"]),
        (6, |books, order| intent(books, order).state = "authorized", &["payment-held"]),
        (4, |books, order| intent(books, order).refunds.clear(), &["payment-kept", "refunds-differ"]),
        (0, |books, order| intent(books, order).amount += 1, &["payment-differs"]),
        (
            0,
            |books, order| drop(books.catalog.redemptions.insert(order.to_owned(), ("redeemed", json!([])))),
            &["coupons"],
        ),
    ];
    assert_eq!(orders.len(), 7);
    for (index, (which, tamper, expected)) in cases.into_iter().enumerate() {
        let (shop, orders) = self::shop();
        tamper(&mut shop.world.books(), text(&orders[which]));
        let found = kinds(&shop);
        let named: Vec<&str> = found.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(named, expected, "case {index}");
    }
}

fn reservation<'a>(books: &'a mut Books, order: &str) -> &'a mut super::world::Reservation {
    books.catalog.reservations.get_mut(order).unwrap()
}

fn intent<'a>(books: &'a mut Books, order: &str) -> &'a mut super::world::Intent {
    books.payments.intents.get_mut(order).unwrap()
}

#[test]
fn what_was_tampered_with_here_is_named() {
    for (sql, expected) in [
        ("DELETE FROM outbox", "event-missing"),
        ("UPDATE orders SET refunded = refunded + 1 WHERE state = 'paid'", "refund-sums"),
        ("UPDATE orders SET state = 'delivered' WHERE state = 'packed'", "history"),
        ("UPDATE orders SET state = 'pending', step = 'commit' WHERE state = 'failed'", "stuck"),
    ] {
        let (shop, _) = shop();
        shop.change(sql);
        assert!(kinds(&shop).iter().any(|(kind, _)| kind == expected), "{expected}");
    }
    let (shop, _) = shop();
    let asked = shop.check_out("k2", &shop.wish(&shop.cart(&[("CUP", 1)]), "tok_action")).is(202);
    assert_eq!(kinds(&shop), []);
    // Nobody swept for a day.
    shop.change("UPDATE tasks SET due_at_ms = due_at_ms - 86400000");
    assert_eq!(kinds(&shop), [("stuck".to_owned(), asked["id"].clone())]);
}

#[test]
fn what_a_provider_told_and_payments_cannot_apply_is_named() {
    let shop = Shop::open();
    shop.ordered(&[("MUG", 1)], "tok_approve");
    shop.world.books().payments.unapplied = vec![json!({"provider": "stripe", "id": "evt_1"})];
    assert_eq!(kinds(&shop), [("webhook-unapplied".to_owned(), Value::Null)]);
}

#[test]
fn what_is_tried_for_ever_is_named() {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    const DAY_MS: i64 = 24 * HOUR_MS;
    let shop = Shop::open();
    let older = |ms: i64| shop.change(&format!("UPDATE tasks SET created_at_ms = created_at_ms - {ms}"));
    let cart = shop.cart(&[("MUG", 1)]);
    let wish = shop.wish(&cart, "tok_approve");
    shop.world.faults.next("/capture", Fault::Fails);
    let order = shop.check_out("k", &wish).is(202);
    assert_eq!(kinds(&shop), [], "it is tried again");
    older(HOUR_MS + 1);
    assert_eq!(kinds(&shop), [("stuck".to_owned(), order["id"].clone())]);
    shop.settle();
    assert_eq!(kinds(&shop), []);

    let order = shop.ordered(&[("MUG", 2)], "tok_refund_pending");
    shop.world.books().payments.time_has_passed = false;
    shop.refund(&order["id"], json!({"reason": "sent back", "restock": true})).is(202);
    older(10 * DAY_MS);
    assert_eq!(kinds(&shop), [], "a bank takes its time");
    older(5 * DAY_MS);
    assert_eq!(kinds(&shop), [("stuck".to_owned(), order["id"].clone())]);
}

#[test]
fn while_the_shop_is_stopped_open_work_is_not_late_and_all_else_is_looked_at() {
    let (shop, orders) = shop();
    let asked = shop.check_out("k2", &shop.wish(&shop.cart(&[("CUP", 1)]), "tok_action")).is(202);
    shop.change("UPDATE tasks SET due_at_ms = due_at_ms - 86400000");
    shop.change("UPDATE orders SET touched_at_ms = touched_at_ms - 86400000");
    let day_ms = 86_400_000;
    reservation(&mut shop.world.books(), text(&asked["id"])).expires_at_ms -= day_ms;
    let audit = |query: &str| {
        let page = shop.get(&format!("/api/orders/audit{query}")).role(Role::Admin).send().is(200);
        let kinds: Vec<Value> =
            page["findings"].as_array().unwrap().iter().map(|finding| finding["kind"].clone()).collect();
        (page["checked"]["in_motion"].clone(), kinds)
    };
    assert_eq!(audit(""), (json!(0), vec![json!("reservation-expired"), json!("stuck")]));
    assert_eq!(audit("?stopped=false"), audit(""));
    assert_eq!(audit("?stopped=true"), (json!(1), vec![]));

    intent(&mut shop.world.books(), text(&orders[3])).captured -= 1;
    assert_eq!(audit("?stopped=true"), (json!(1), vec![json!("payment-missing")]));
    // Nobody would go on with it when the shop does.
    shop.change("DELETE FROM tasks");
    assert_eq!(audit("?stopped=true"), (json!(0), vec![json!("payment-missing"), json!("stuck")]));
    shop.get("/api/orders/audit?stopped=yes").role(Role::Admin).send().is(400);
}

#[test]
fn an_order_whose_charge_is_still_worked_on_is_in_motion_until_it_has_been_for_too_long() {
    let (shop, orders) = shop();
    shop.change("UPDATE orders SET touched_at_ms = touched_at_ms - 1000");
    let dead = text(&orders[4]);
    let audit = |minutes: i64| {
        intent(&mut shop.world.books(), dead).open_since_ms = Some(commerce::unix_ms() - minutes * 60_000);
        let page = shop.get("/api/orders/audit").role(Role::Admin).send().is(200);
        (page["checked"]["in_motion"].clone(), page["findings"].clone())
    };
    assert_eq!(audit(59), (json!(1), json!([])), "its money is being given up");
    let (in_motion, findings) = audit(61);
    assert_eq!((in_motion, &findings[0]["kind"], &findings[0]["order_id"]), (json!(0), &json!("stuck"), &orders[4]));
    assert!(text(&findings[0]["detail"]).contains("provider"), "{findings}");
}

#[test]
fn a_total_that_its_parts_do_not_come_to_is_named() {
    let shop = Shop::open();
    shop.coupon("TEN", 5);
    shop.world.books().catalog.tax_rates.push(json!({
        "name": "Sales tax", "country": "US", "region": null, "postcode_prefix": null, "tax_class": "standard",
        "rate": 100_000, "applies_to_shipping": true,
    }));
    let cart = shop.cart(&[("MUG", 2), ("PAN", 1)]);
    shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned()];
    let mut wish = shop.wish(&cart, "tok_action");
    let quoted = shop.check_out("k", &wish).is(409);
    wish["expected_total"] = quoted["quote"]["totals"]["total"].clone();
    // The shopper has yet to confirm the payment, so the order is in motion.
    let order = shop.check_out("k2", &wish).is(202);
    assert_eq!(kinds(&shop), []);

    shop.change("DROP TRIGGER order_is_fixed");
    let figures = [
        "totals.subtotal",
        "totals.discount_total",
        "totals.shipping_total",
        "totals.tax_total",
        "totals.total",
        "lines[0].unit_price",
        "lines[0].subtotal",
        "lines[1].discount_total",
        "lines[1].net",
        "lines[1].tax",
        "lines[1].gross",
        "lines[1].discounts[0].amount",
        "lines[1].taxes[0].amount",
        "shipping.price",
        "shipping.net",
        "shipping.tax",
        "shipping.gross",
        "discounts[0].amount",
        "taxes[0].base",
        "taxes[0].amount",
    ];
    let shift = |figure: &str, by: &str| {
        let path = format!("'$.{figure}.amount'");
        shop.change(&format!("UPDATE orders SET content = json_set(content, {path}, (content ->> {path}) {by})"));
    };
    let named = [("order-total".to_owned(), order["id"].clone())];
    for figure in figures {
        shift(figure, "+ 1");
        assert_eq!(kinds(&shop), named, "{figure}");
        shift(figure, "- 1");
    }
    assert_eq!(kinds(&shop), []);
    for (change, back) in [
        ("total = total + 1", "total = total - 1"),
        ("currency = 'EUR'", "currency = 'USD'"),
        (
            "content = json_set(content, '$.shipping.price.currency', 'EUR')",
            "content = json_set(content, '$.shipping.price.currency', 'USD')",
        ),
        (
            "content = json_set(content, '$.lines[0].quantity', 3)",
            "content = json_set(content, '$.lines[0].quantity', 2)",
        ),
    ] {
        shop.change(&format!("UPDATE orders SET {change}"));
        assert_eq!(kinds(&shop), named, "{change}");
        shop.change(&format!("UPDATE orders SET {back}"));
    }
    shop.change("UPDATE orders SET content = json_remove(content, '$.totals.total')");
    assert_eq!(kinds(&shop), named);
}

#[test]
fn a_second_order_of_the_same_request_is_named() {
    let shop = Shop::open();
    shop.stock("CUP", 500, 100);
    let orders: Vec<Value> = (0..4).map(|_| shop.ordered(&[("CUP", 1)], "tok_approve")["id"].clone()).collect();
    // As if the books had never refused it.
    shop.change("ALTER TABLE orders RENAME TO guarded");
    shop.change("CREATE TABLE orders AS SELECT * FROM guarded");
    let copy = |what: &str, from: usize, to: usize| {
        let (from, to) = (text(&orders[from]), text(&orders[to]));
        let value = format!("(SELECT {what} FROM orders WHERE id = '{from}')");
        shop.change(&format!("UPDATE orders SET {what} = {value} WHERE id = '{to}'"));
    };
    copy("actor", 0, 1);
    copy("key", 0, 2);
    assert_eq!(kinds(&shop), [], "others may choose the same key, and anybody may choose many");
    copy("key", 0, 1);
    copy("actor", 0, 3);
    copy("key", 0, 3);
    let twice = |order: &Value| ("ordered-twice".to_owned(), order.clone());
    assert_eq!(kinds(&shop), [twice(&orders[1]), twice(&orders[3])]);
}

#[test]
fn what_belongs_to_no_order_is_named() {
    let (shop, orders) = shop();
    {
        let mut books = shop.world.books();
        let held = super::world::Reservation::held(json!([{"sku": "CUP", "quantity": 1}]));
        books.catalog.reservations.insert("zzz".to_owned(), held);
        books.catalog.variants.get_mut("CUP").unwrap().reserved += 1;
    }
    shop.change("DROP TRIGGER history_stays_removed");
    let order = text(&orders[0]);
    for table in ["history WHERE order_id", "steps WHERE order_id", "orders WHERE id"] {
        shop.change(&format!("DELETE FROM {table} = '{order}'"));
    }
    assert_eq!(
        kinds(&shop),
        [
            ("reservation-without-order".to_owned(), json!(order)),
            ("intent-without-order".to_owned(), json!(order)),
            ("reservation-without-order".to_owned(), json!("zzz")),
            // That it was placed, and paid.
            ("event-without-change".to_owned(), json!(order)),
            ("event-without-change".to_owned(), json!(order)),
        ]
    );
}

#[test]
fn stock_that_is_held_beyond_its_time_is_named() {
    const GRACE_MS: i64 = 5 * 60 * 1000;
    let (shop, orders) = shop();
    let pending = shop.check_out("k2", &shop.wish(&shop.cart(&[("CUP", 1)]), "tok_action")).is(202);
    assert_eq!(shop.order(&pending["id"])["state"], "pending");
    let pending = text(&pending["id"]);
    let expires = |order: &str, ago_ms: i64| {
        reservation(&mut shop.world.books(), order).expires_at_ms = commerce::unix_ms() - ago_ms;
    };
    // What is sold, or was given back, holds nothing.
    expires(text(&orders[0]), 10 * GRACE_MS);
    expires(text(&orders[6]), 10 * GRACE_MS);
    expires(pending, GRACE_MS - 10_000);
    assert_eq!(kinds(&shop), [], "the sweep is yet to come");
    expires(pending, GRACE_MS + 1000);
    let expired = |order: &str| ("reservation-expired".to_owned(), json!(order));
    assert_eq!(kinds(&shop), [expired(pending)]);

    let held = super::world::Reservation::held(json!([{"sku": "CUP", "quantity": 1}]));
    shop.world.books().catalog.reservations.insert("zzz".to_owned(), held);
    shop.world.books().catalog.variants.get_mut("CUP").unwrap().reserved += 1;
    expires("zzz", GRACE_MS + 1000);
    let nobodys = ("reservation-without-order".to_owned(), json!("zzz"));
    assert_eq!(kinds(&shop), [expired(pending), expired("zzz"), nobodys]);
}

#[test]
fn no_variant_that_is_miscounted_is_passed_over() {
    let shop = Shop::open();
    for n in 0..103 {
        let counted = Variant { price: 1, on_hand: 2, reserved: 0, counted: 1, archived: false };
        shop.world.books().catalog.variants.insert(format!("ODD-{n:03}"), counted);
    }
    let found = shop.findings();
    assert!(found.iter().all(|finding| finding["kind"] == "stock-count"), "{found:?}");
    assert_eq!((found.len(), &found[100]["detail"]), (101, &json!("3 more variants, which are not listed")));
}

#[test]
fn every_page_is_looked_at() {
    let shop = Shop::open();
    shop.stock("CUP", 500, 1000);
    let orders: Vec<Value> = (0..105).map(|_| shop.ordered(&[("CUP", 1)], "tok_approve")["id"].clone()).collect();
    assert_eq!(shop.findings(), [Value::Null; 0]);
    let first = shop.get("/api/orders/audit").role(Role::Admin).send().is(200);
    assert_eq!(first["checked"]["orders"], 100);
    let next = shop.get(&format!("/api/orders/audit?cursor={}", text(&first["next_cursor"]))).role(Role::Admin);
    let next = next.send().is(200);
    assert_eq!((&next["checked"]["orders"], &next["checked"]["variants"]), (&json!(5), &json!(0)));
    intent(&mut shop.world.books(), text(&orders[104])).captured = 0;
    assert_eq!(kinds(&shop), [("payment-missing".to_owned(), orders[104].clone())]);
    assert_eq!(shop.get("/api/orders/audit?cursor=x").role(Role::Admin).send().status, 400);
    let counted = Variant { price: 1, on_hand: 1, reserved: 2, counted: 1, archived: false };
    shop.world.books().catalog.variants.insert("ODD".to_owned(), counted);
    assert_eq!(kinds(&shop)[0].0, "stock-count");
}

#[test]
fn a_page_begins_after_whatever_key_and_after_nothing_else() {
    let shop = Shop::open();
    for key in ["zz", "zz&limit=0#", "zzz"] {
        let held = super::world::Reservation::held(json!([{"sku": "CUP", "quantity": 1}]));
        shop.world.books().catalog.reservations.insert(key.to_owned(), held);
    }
    let ask = |after: &str| {
        let cursor = Cursor { sort: "audit".to_owned(), after: after.to_owned() }.encode();
        shop.get(&format!("/api/orders/audit?cursor={cursor}")).role(Role::Admin).send()
    };
    let found = ask("zz&limit=0#").is(200);
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["findings"][0]["order_id"], "zzz");
    for forged in ["", " ", "a b", "a\r\nx-internal-secret: x", "é", &"a".repeat(65)] {
        assert_eq!(ask(forged).status, 400, "{forged:?}");
    }
}
