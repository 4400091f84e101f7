//! Carts whose time is up.

use serde_json::{Value, json};

use super::memory::Memory;
use super::shop::{ANN, Shop, Who, list};
use crate::cart::TTL_MS;
use crate::sweep::CARTS_MAX;

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
    let before = commerce::unix_ms();
    let added = shop.add(&ANN, "MUG", 1).is(200);
    let expires_at = commerce::parse_rfc3339(added["expires_at"].as_str().unwrap()).unwrap();
    assert!((before + TTL_MS..=commerce::unix_ms() + TTL_MS).contains(&expires_at));
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

#[test]
fn a_sweep_goes_on_where_the_last_one_ended() {
    const KEPT: usize = 2 * CARTS_MAX + 50;
    for store in [Memory::default(), Memory::with_pages_of(CARTS_MAX + 100)] {
        let shop = Shop::with(store, "");
        let kept = json!({"version": 1, "updated_at_ms": commerce::unix_ms()}).to_string();
        (0..KEPT).for_each(|n| shop.store.put(&format!("guest/{n:05}"), &kept));
        shop.store.put("guest/the-last", &json!({"version": 1}).to_string());
        let mut sweeps = Vec::new();
        while sweeps.last().is_none_or(|swept: &Value| swept["finished"] == false) {
            sweeps.push(shop.internal("sweep", Value::Null).is(200));
            assert!(sweeps.len() < 10, "{sweeps:?}");
        }
        let examined: Vec<usize> = sweeps.iter().map(|swept| swept["examined"].as_u64().unwrap() as usize).collect();
        assert_eq!(examined.iter().sum::<usize>(), KEPT + 1, "each is looked at once: {examined:?}");
        assert!(examined.iter().all(|count| *count <= CARTS_MAX), "{examined:?}");
        assert_eq!(sweeps.last().unwrap()["expired"], 1);
        // The next one begins anew.
        assert_eq!(shop.internal("sweep", Value::Null).is(200)["examined"], CARTS_MAX);
    }
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
