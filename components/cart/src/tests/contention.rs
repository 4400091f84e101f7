//! Many writes to one cart at the same time.

use std::thread;

use axum::http::Method;
use futures::executor::block_on;
use futures::future::join_all;
use serde_json::json;

use super::shop::{ANN, Shop, list, problems};
use crate::changes::TRIES_MAX;

#[test]
fn of_many_adds_on_one_instance_none_is_lost() {
    const ADDS: usize = 100;
    let shop = Shop::open();
    shop.shelf.takes_turns(2);
    for who in [shop.guest(), ANN] {
        let add = |n: usize| {
            let sku = ["MUG", "PAN"][n % 2];
            let body = json!({"sku": sku, "quantity": 1 + n % 3});
            let ask = shop.ask(&who, Method::POST, "/api/cart/lines").header("content-type", "application/json");
            ask.with_body(body.to_string()).answer()
        };
        let answers = block_on(join_all((0..ADDS).map(add)));
        // Each sees what the others added as well, with what the catalog says about it.
        for answer in answers {
            let cart = answer.is(200);
            assert!(problems(&cart).concat().iter().all(|kind| kind == "short"), "{cart}");
        }
        let sum = |first: usize| (first..ADDS).step_by(2).map(|n| 1 + n as u64 % 3).sum();
        let mut units = shop.units(&who);
        units.sort();
        assert_eq!(units, list(&[("MUG", sum(0)), ("PAN", sum(1))]));
    }
}

#[test]
fn of_adds_from_many_threads_those_that_were_answered_are_there() {
    const THREADS: u64 = 8;
    const ADDS: u64 = 25;
    let shop = Shop::open();
    let guest = shop.guest();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ADDS {
                    // A busy cart changed nothing, and may be asked again.
                    while shop.add(&guest, "MUG", 1).status == 503 {}
                }
            });
        }
    });
    assert_eq!(shop.units(&guest), list(&[("MUG", THREADS * ADDS)]));
}

#[test]
fn a_change_is_made_again_when_somebody_was_faster() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.store.rivals(TRIES_MAX - 1);
    shop.add(&guest, "MUG", 2).is(200);
    assert_eq!(shop.units(&guest), list(&[("MUG", 2)]));
    shop.store.rivals(1);
    shop.ask(&ANN, Method::DELETE, "/api/cart").send().is(204);
    shop.store.rivals(1);
    assert_eq!(shop.add(&ANN, "MUG", 1).is(200)["units"], 1, "the first write of an account is a swap as well");
}

#[test]
fn a_cart_that_others_change_all_the_time_is_busy() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.add(&guest, "MUG", 1).is(200);
    shop.store.rivals(TRIES_MAX);
    let busy = shop.add(&guest, "MUG", 2);
    busy.is_problem(503, "cart-busy", "others change the cart all the time; try again", json!({}));
    assert_eq!(busy.headers["retry-after"], "1");
    assert_eq!(shop.units(&guest), list(&[("MUG", 1)]));
}

#[test]
fn who_named_a_version_is_not_tried_again() {
    let shop = Shop::open();
    let guest = shop.guest();
    let etag = shop.etag(&guest);
    shop.store.rivals(1);
    let ask = shop.ask(&guest, Method::POST, "/api/cart/lines").header("if-match", &etag);
    ask.json(json!({"sku": "MUG", "quantity": 1})).is(412);
    assert_eq!(shop.cart(&guest)["units"], 0);
}
