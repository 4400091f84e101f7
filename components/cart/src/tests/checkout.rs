//! What orders learns of a cart, and tells it.

use serde_json::{Value, json};

use super::shelf::euro;
use super::shop::{ANN, Shop, list};
use crate::cart::ORDERS_KEPT;

fn ordered(order_id: &str, lines: &[(&str, u32)]) -> Value {
    let lines: Vec<Value> = lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect();
    json!({"order_id": order_id, "lines": lines})
}

#[test]
fn orders_reads_a_cart_of_an_account_or_a_guest() {
    let shop = Shop::open();
    for who in [shop.guest(), ANN] {
        shop.add(&who, "MUG", 2).is(200);
        shop.enter(&who, "PAN10").is(200);
        // It takes no catalog.
        shop.shelf.is_down(true);
        let found = shop.internal("resolve", who.named(json!({}))).is(200);
        shop.shelf.is_down(false);
        assert_eq!(found["lines"], json!([{"sku": "MUG", "quantity": 2, "seen_price": euro(900)}]));
        assert_eq!((&found["coupons"], &found["destination"]), (&json!(["PAN10"]), &Value::Null));
        assert!(shop.etag(&who).starts_with(&format!("\"{}-", found["version"])));
    }
    let none = shop.internal("resolve", json!({"customer": "bob"})).is(200);
    assert_eq!((&none["version"], &none["lines"], &none["expires_at"]), (&json!(0), &json!([]), &Value::Null));
    shop.internal("resolve", json!({"token": "unknown"})).is(404);
    for wrong in [
        json!({}),
        json!({"customer": "a", "token": "b"}),
        json!({"customer": ""}),
        json!({"customer": "a".repeat(129)}),
        json!({"customer": "a", "version": 1}),
    ] {
        shop.internal("resolve", wrong).is(422);
    }
}

#[test]
fn what_was_ordered_is_taken_out_once() {
    let shop = Shop::open();
    for who in [shop.guest(), ANN] {
        shop.add(&who, "MUG", 3).is(200);
        shop.add(&who, "PAN", 1).is(200);
        shop.enter(&who, "PAN10").is(200);
        let check_out = |order: Value| shop.internal("checked-out", who.named(order)).is(200);
        for _ in 0..2 {
            let left = check_out(ordered("o-1", &[("MUG", 2), ("PAN", 5), ("GONE", 1)]));
            assert_eq!(left["lines"][0]["quantity"], 1);
        }
        assert_eq!(shop.units(&who), list(&[("MUG", 1)]));
        assert_eq!(shop.cart(&who)["coupons"], json!(["PAN10"]));
        // What was added meanwhile is not what was ordered.
        shop.add(&who, "MUG", 1).is(200);
        check_out(ordered("o-1", &[("MUG", 2)]));
        assert_eq!(shop.units(&who), list(&[("MUG", 2)]));
        // With the last line the coupons go.
        let left = check_out(ordered("o-2", &[("MUG", 2)]));
        assert_eq!((&left["lines"], &left["coupons"]), (&json!([]), &json!([])));
    }
}

#[test]
fn orders_are_remembered_for_a_while() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", 100).is(200);
    let check_out = |id: &str| drop(shop.internal("checked-out", ANN.named(ordered(id, &[("MUG", 1)]))).is(200));
    (0..ORDERS_KEPT).for_each(|n| check_out(&format!("o-{n}")));
    (0..ORDERS_KEPT).for_each(|n| check_out(&format!("o-{n}")));
    assert_eq!(shop.units(&ANN), list(&[("MUG", 100 - ORDERS_KEPT as u64)]));
}

#[test]
fn an_order_made_as_a_guest_is_taken_out_of_the_cart_that_the_guests_became_part_of() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 2).is(200);
    shop.add(&ANN, "MUG", 1).is(200);
    shop.merge(&ANN, &guest).is(200);
    for _ in 0..2 {
        shop.internal("checked-out", guest.named(ordered("o-1", &[("MUG", 2)]))).is(200);
    }
    assert_eq!(shop.units(&ANN), list(&[("MUG", 1)]));
}

#[test]
fn of_a_cart_that_is_gone_nothing_is_left_to_take_out() {
    let shop = Shop::open();
    let left = shop.internal("checked-out", {
        let mut order = ordered("o-1", &[("MUG", 1)]);
        order["token"] = json!("unknown");
        order
    });
    assert_eq!((&left.is(200)["version"], &left.json()["lines"]), (&json!(0), &json!([])));
    assert!(shop.store.documents().is_empty());
    for wrong in [
        ordered("", &[]),
        ordered(&"o".repeat(129), &[]),
        ordered("o", &[("MUG", 0)]),
        ordered("o", &[("MUG", 1); 501]),
    ] {
        shop.internal("checked-out", ANN.named(wrong)).is(422);
    }
}

#[test]
fn a_check_out_is_made_again_when_the_shopper_was_faster() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", 3).is(200);
    shop.store.rivals(3);
    shop.internal("checked-out", ANN.named(ordered("o-1", &[("MUG", 1)]))).is(200);
    assert_eq!(shop.units(&ANN), list(&[("MUG", 2)]));
}

#[test]
fn only_who_knows_the_secret_asks_so() {
    let shop = Shop::with(super::memory::Memory::default(), "secret");
    for path in ["resolve", "checked-out", "sweep"] {
        shop.internal(path, json!({})).is(401);
    }
}
