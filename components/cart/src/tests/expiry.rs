//! Carts whose time is up.

use std::cell::Cell;

use axum::http::Method;
use commerce::unix_ms;
use futures::executor::block_on;
use futures::future::join;
use serde_json::{Value, json};

use super::memory::Memory;
use super::shop::{ANN, Shop, Who, list};
use crate::cart::TTL_MS;
use crate::sweep::{CARTS_PER_PIECE, SWEEP_MS_MAX, Swept, sweep};

const HOUR_MS: i64 = 60 * 60 * 1000;

#[test]
fn a_cart_that_nobody_touched_for_thirty_days_is_gone() {
    let shop = Shop::open();
    let guest = shop.guest();
    for who in [&guest, &ANN] {
        shop.add(who, "MUG", 1).is(200);
    }
    shop.store.time_passes(TTL_MS - HOUR_MS);
    assert_eq!([shop.units(&guest), shop.units(&ANN)], [list(&[("MUG", 1)]), list(&[("MUG", 1)])]);
    // Looking does not keep it, writing does.
    shop.add(&ANN, "MUG", 1).is(200);
    let (old, etag) = (shop.cart(&ANN), shop.etag(&ANN));
    shop.store.time_passes(HOUR_MS);
    shop.show(&guest).is(404);
    shop.add(&guest, "MUG", 1).is(404);
    shop.merge(&ANN, &guest).is(404);
    assert_eq!(shop.units(&ANN), list(&[("MUG", 2)]));

    shop.store.time_passes(TTL_MS);
    assert_eq!(shop.cart(&ANN)["lines"], json!([]));
    assert_eq!(shop.add(&ANN, "MUG", 2).is(200)["lines"], old["lines"]);
    assert_ne!(shop.etag(&ANN), etag, "a version never comes back");
}

#[test]
fn the_time_until_a_cart_is_gone_is_told() {
    let shop = Shop::open();
    assert_eq!(shop.cart(&ANN)["expires_at"], Value::Null);
    let before = unix_ms();
    let added = shop.add(&ANN, "MUG", 1).is(200);
    let expires_at = commerce::parse_rfc3339(added["expires_at"].as_str().unwrap()).unwrap();
    assert!((before + TTL_MS..=unix_ms() + TTL_MS).contains(&expires_at));
}

#[test]
fn a_sweep_removes_what_is_gone_and_nothing_else() {
    for store in [Memory::default(), Memory::with_pages_of(2)] {
        let shop = Shop::with(store, "");
        let bob = Who::Account("bob");
        let gone: Vec<Who> = (0..5).map(|_| shop.guest()).collect();
        shop.add(&bob, "MUG", 1).is(200);
        shop.store.time_passes(TTL_MS + 2 * HOUR_MS);
        let kept: Vec<Who> = (0..5).map(|_| shop.guest()).collect();
        shop.add(&ANN, "MUG", 1).is(200);
        shop.store.put("account/unreadable", "{");

        let mut sweeps = vec![shop.internal("sweep", Value::Null).is(200)];
        while sweeps.last().unwrap()["finished"] == false {
            sweeps.push(shop.internal("sweep", Value::Null).is(200));
        }
        let sum = |what: &str| sweeps.iter().map(|swept| swept[what].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("examined"), sum("expired")), (13, 6), "{sweeps:?}");
        gone.iter().for_each(|who| drop(shop.show(who).is(404)));
        kept.iter().for_each(|who| drop(shop.show(who).is(200)));
        assert_eq!(shop.units(&ANN), list(&[("MUG", 1)]));
        let guests = shop.store.documents().into_keys().filter(|key| key.starts_with("guest/")).count();
        assert_eq!(guests, 5);

        // An account's document stays, without what it is about, and so do its versions.
        let (empty, etag) = (shop.cart(&bob), shop.etag(&bob));
        assert_eq!((&empty["lines"], &shop.internal("sweep", Value::Null).is(200)["expired"]), (&json!([]), &json!(0)));
        shop.add(&bob, "MUG", 1).is(200);
        assert_ne!(shop.etag(&bob), etag);
    }
}

/// A store with so many carts that are kept, and after them one whose time is up.
fn many(store: Memory, kept: usize) -> Shop {
    let shop = Shop::with(store, "");
    let document = json!({"version": 1, "updated_at_ms": unix_ms()}).to_string();
    (0..kept).for_each(|n| shop.store.put(&format!("guest/{n:05}"), &document));
    shop.store.put("guest/the-last", &json!({"version": 1}).to_string());
    shop
}

fn stores() -> [Memory; 2] {
    [Memory::default(), Memory::with_pages_of(CARTS_PER_PIECE + 100)]
}

#[test]
fn a_sweep_comes_to_the_last_cart_however_many_there_are() {
    const KEPT: usize = 2 * CARTS_PER_PIECE + 50;
    for store in stores() {
        let shop = many(store, KEPT);
        let swept = json!({"examined": KEPT + 1, "expired": 1, "finished": true});
        assert_eq!(shop.internal("sweep", Value::Null).is(200), swept);
        // The next one begins anew.
        let again = json!({"examined": KEPT, "expired": 0, "finished": true});
        assert_eq!(shop.internal("sweep", Value::Null).is(200), again);
    }
}

#[test]
fn a_sweep_ends_in_time_and_the_next_one_goes_on_from_there() {
    const KEPT: usize = 2 * CARTS_PER_PIECE + 50;
    // What a look at the clock takes; the last is a store that takes longer for a cart than a sweep may for all.
    for (step_ms, in_one) in [(30, 334), (12, 834), (SWEEP_MS_MAX, 1)] {
        for store in stores() {
            let shop = many(store, if in_one == 1 { 5 } else { KEPT });
            let mut sweeps = Vec::new();
            while sweeps.last().is_none_or(|swept: &Swept| !swept.finished) {
                let now_ms = Cell::new(unix_ms());
                let clock = || now_ms.replace(now_ms.get() + step_ms);
                sweeps.push(block_on(sweep(&shop.app(), clock)).unwrap());
                assert!(sweeps.len() < 20, "{sweeps:?}");
            }
            let (last, others) = sweeps.split_last().unwrap();
            assert!(others.iter().all(|swept| swept.examined == in_one), "{sweeps:?}");
            let examined: usize = sweeps.iter().map(|swept| swept.examined).sum();
            let carts = shop.store.documents().keys().filter(|key| key.starts_with("guest/")).count();
            assert_eq!((examined, last.expired), (carts + 1, 1), "each is looked at once: {sweeps:?}");
        }
    }
}

#[test]
fn a_sweep_that_is_cut_off_has_not_looked_in_vain() {
    for store in stores() {
        let shop = many(store, 3 * CARTS_PER_PIECE);
        // The store is gone when it writes down for the second time where it is.
        shop.store.fails_after(Some(1));
        shop.internal("sweep", Value::Null).is(500);
        shop.store.fails_after(None);
        let swept = shop.internal("sweep", Value::Null).is(200);
        assert_eq!(swept, json!({"examined": 2 * CARTS_PER_PIECE + 1, "expired": 1, "finished": true}));
    }
}

#[test]
fn of_two_sweeps_at_once_one_ends_with_its_piece() {
    for store in stores() {
        let shop = many(store, 3 * CARTS_PER_PIECE);
        let app = shop.app();
        let (one, other) = block_on(join(sweep(&app, unix_ms), sweep(&app, unix_ms)));
        let mut sweeps = [one.unwrap(), other.unwrap()];
        sweeps.sort_by_key(|swept| swept.examined);
        let [short, long] = sweeps;
        assert_eq!((short.examined, short.finished), (CARTS_PER_PIECE, false));
        assert_eq!((long.examined, long.finished), (3 * CARTS_PER_PIECE + 1, true));
    }
}

#[test]
fn others_are_answered_while_a_sweep_goes_on() {
    let shop = many(Memory::default(), 100);
    let guest = shop.guest();
    let swept = Cell::new(false);
    let sweep = async {
        sweep(&shop.app(), unix_ms).await.unwrap();
        swept.set(true);
    };
    let shows = async {
        shop.ask(&guest, Method::GET, "/api/cart").answer().await.is(200);
        assert!(!swept.get(), "the sweep held everybody up");
    };
    block_on(join(sweep, shows));
}

#[test]
fn a_place_that_cannot_be_read_is_the_beginning() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.store.put("sweep", "garbage");
    shop.store.time_passes(TTL_MS + 2 * HOUR_MS);
    assert_eq!(shop.internal("sweep", Value::Null).is(200), json!({"examined": 1, "expired": 1, "finished": true}));
    shop.show(&guest).is(404);
}
