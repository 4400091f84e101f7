//! A guest logs in.

use axum::http::{Method, header};
use commerce::QUANTITY_MAX;
use pricing_client::COUPONS_MAX;
use serde_json::{Value, json};
use service::testing::Ask;

use super::shop::{ANN, Shop, Who, list, problems, units};
use crate::cart::LINES_MAX;

const BOB: Who = Who::Account("bob");

#[test]
fn both_carts_become_one() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&ANN, "MUG", 2).is(200);
    shop.enter(&ANN, "BIG5").is(200);
    shop.add(&guest, "PAN", 1).is(200);
    shop.add(&guest, "MUG", 3).is(200);
    shop.enter(&guest, "big5").is(200);
    shop.enter(&guest, "PAN10").is(200);
    shop.ask(&guest, Method::PUT, "/api/cart/destination").json(json!({"country": "DE"})).is(200);

    let answer = shop.merge(&ANN, &guest);
    let merged = answer.is(200);
    assert_eq!(units(&merged["cart"]), list(&[("MUG", 5), ("PAN", 1)]));
    assert_eq!(merged["cart"]["coupons"], json!(["BIG5", "PAN10"]));
    assert_eq!(merged["cart"]["destination"]["country"], "DE");
    assert_eq!(merged["left_out"], json!([]));
    assert_eq!(merged["cart"], shop.cart(&ANN));
    assert_eq!(answer.header(header::ETAG), shop.etag(&ANN));

    // The guest's cart is gone, and once more does nothing.
    shop.show(&guest).is(404);
    shop.add(&guest, "MUG", 1).is(404);
    shop.add(&ANN, "PAN", 1).is(200);
    let before = shop.store.documents();
    let again = shop.merge(&ANN, &guest).is(200);
    assert_eq!((&again["cart"], &again["left_out"]), (&shop.cart(&ANN), &json!([])));
    assert_eq!(shop.store.documents(), before);
    shop.merge(&BOB, &guest).is(404);
}

#[test]
fn merging_is_capped_by_stock_and_says_what_was_left_out() {
    let shop = Shop::open();
    let guest = shop.guest();
    for sku in ["SOLD-OUT", "OLD", "MANY"] {
        shop.shelf.put(sku, json!({"available": 2 * QUANTITY_MAX}));
    }
    for (who, quantity) in [(&ANN, 6), (&guest, 7)] {
        shop.add(who, "MUG", quantity).is(200);
        shop.add(who, "MANY", QUANTITY_MAX - 1).is(200);
    }
    shop.add(&guest, "SOLD-OUT", 3).is(200);
    shop.add(&guest, "OLD", 1).is(200);
    shop.shelf.put("SOLD-OUT", json!({"available": 0}));
    shop.shelf.put("OLD", json!({"archived": true}));
    let merged = shop.merge(&ANN, &guest).is(200);
    let expected = [("MUG", 10), ("MANY", u64::from(QUANTITY_MAX)), ("SOLD-OUT", 1), ("OLD", 1)];
    assert_eq!(units(&merged["cart"]), list(&expected));
    assert_eq!(problems(&merged["cart"]), [vec![], vec![], vec!["sold_out"], vec!["archived"]]);
    let left_out = |sku: &str, quantity: u32| json!({"sku": sku, "quantity": quantity});
    assert_eq!(
        merged["left_out"],
        json!([left_out("MUG", 3), left_out("MANY", QUANTITY_MAX - 2), left_out("SOLD-OUT", 2)])
    );
}

#[test]
fn a_full_cart_takes_in_what_it_has_room_for() {
    let shop = Shop::open();
    let guest = shop.guest();
    for n in 0..LINES_MAX - 1 {
        shop.shelf.put(&format!("S{n}"), json!({}));
        shop.add(&ANN, &format!("S{n}"), 1).is(200);
    }
    (0..COUPONS_MAX - 1).for_each(|n| drop(shop.enter(&ANN, &format!("C{n}")).is(200)));
    for sku in ["MUG", "PAN", "S3"] {
        shop.add(&guest, sku, 2).is(200);
        shop.enter(&guest, sku).is(200);
    }
    let merged = shop.merge(&ANN, &guest).is(200);
    let units = units(&merged["cart"]);
    assert_eq!((units.len(), &units[3], &units[LINES_MAX - 1]), (LINES_MAX, &("S3".into(), 3), &("MUG".into(), 2)));
    assert_eq!(merged["left_out"], json!([{"sku": "PAN", "quantity": 2}]));
    assert_eq!(merged["cart"]["coupons"].as_array().unwrap().len(), COUPONS_MAX);
}

#[test]
fn it_takes_an_account_and_a_token() {
    let shop = Shop::open();
    let guest = shop.guest();
    let token = |token: &str| json!({"token": token});
    shop.post(&guest, "/api/cart/merge", token("x")).is(401);
    Ask::new(&shop.router, Method::POST, "/api/cart/merge").json(token("x")).is(401);
    shop.post(&ANN, "/api/cart/merge", token("x")).is(404);
    for wrong in [json!({}), json!({"token": 1}), json!({"token": "x", "policy": "mine"})] {
        shop.post(&ANN, "/api/cart/merge", wrong).is(422);
    }
    // An empty one changes the account's cart in nothing that is seen.
    shop.add(&ANN, "MUG", 1).is(200);
    let before = shop.cart(&ANN)["lines"].clone();
    assert_eq!(shop.merge(&ANN, &guest).is(200)["cart"]["lines"], before);
}

#[test]
fn an_old_version_of_the_accounts_cart_is_refused_and_the_guest_keeps_theirs() {
    let shop = Shop::open();
    let guest = shop.guest();
    let Who::Guest(token) = &guest else { unreachable!() };
    shop.add(&guest, "MUG", 1).is(200);
    let etag = shop.etag(&ANN);
    shop.add(&ANN, "PAN", 1).is(200);
    let merge = |etag: &str| {
        let ask = shop.ask(&ANN, Method::POST, "/api/cart/merge").header("if-match", etag);
        ask.json(json!({"token": token}))
    };
    merge(&etag).is(412);
    assert_eq!(shop.units(&guest), list(&[("MUG", 1)]));
    assert_eq!(units(&merge(&shop.etag(&ANN)).is(200)["cart"]), list(&[("PAN", 1), ("MUG", 1)]));
}

#[test]
fn a_merge_that_died_at_any_point_is_finished_by_a_repeat() {
    // It writes three times: the guest's cart, the account's, the guest's.
    for writes in 0..3 {
        let shop = Shop::open();
        let guest = shop.guest();
        shop.add(&guest, "MUG", 2).is(200);
        shop.add(&ANN, "MUG", 1).is(200);
        shop.store.fails_after(Some(writes));
        shop.merge(&ANN, &guest).is(500);
        shop.store.fails_after(None);

        // Until then it is still shown, and cannot grow beside what is taken in.
        assert_eq!(shop.units(&guest), list(&[("MUG", 2)]));
        if writes > 0 {
            let refused = shop.add(&guest, "MUG", 1);
            let detail = "the cart is on its way into an account; repeat POST /api/cart/merge";
            refused.is_problem(409, "cart-merging", detail, json!({}));
            shop.ask(&guest, Method::DELETE, "/api/cart").send().is(409);
            shop.merge(&BOB, &guest).is(404);
        }
        for _ in 0..2 {
            assert_eq!(units(&shop.merge(&ANN, &guest).is(200)["cart"]), list(&[("MUG", 3)]));
        }
        shop.show(&guest).is(404);
        assert_eq!(shop.cart(&BOB)["lines"], json!([]));
    }
}

#[test]
fn a_merge_goes_on_when_others_write() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 2).is(200);
    for rivals in 1..4 {
        let guest = shop.guest();
        shop.add(&guest, "PAN", 1).is(200);
        shop.store.rivals(rivals);
        shop.merge(&ANN, &guest).is(200);
        shop.store.rivals(0);
    }
    assert_eq!(units(&shop.merge(&ANN, &guest).is(200)["cart"]), list(&[("PAN", 3), ("MUG", 2)]));
}

#[test]
fn two_merges_at_once_take_in_the_cart_once() {
    let shop = Shop::open();
    let guest = shop.guest();
    let Who::Guest(token) = &guest else { unreachable!() };
    shop.add(&guest, "MUG", 2).is(200);
    shop.shelf.takes_turns(3);
    let merge = || {
        let ask = shop.ask(&ANN, Method::POST, "/api/cart/merge").header("content-type", "application/json");
        ask.with_body(json!({"token": token}).to_string()).answer()
    };
    let answers = futures::executor::block_on(futures::future::join_all((0..5).map(|_| merge())));
    let carts: Vec<Value> = answers.iter().map(|answer| answer.is(200)["cart"]["units"].clone()).collect();
    assert!(carts.iter().all(|units| *units == 2), "{carts:?}");
    assert_eq!(shop.units(&ANN), list(&[("MUG", 2)]));
}
