//! The keys of tokens: made once, rotated without a token lost, dropped at once when they leaked.

use std::collections::BTreeSet;

use axum::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::Role;
use serde_json::{Value, json};

use super::desk::{Ask, Desk, tokens};
use crate::keyring::{ACCESS_LIFETIME_S, LEAD_MS, ROTATED_AFTER_MS};

fn published(desk: &Desk) -> Vec<String> {
    let jwks = desk.get("/.well-known/jwks.json").is(200);
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn kid(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["kid"].as_str().unwrap().to_owned()
}

#[test]
fn instances_that_start_together_agree_on_one_key() {
    let desk = Desk::open();
    let sets: BTreeSet<String> = std::thread::scope(|scope| {
        let ask = || {
            let router = desk.instance();
            scope.spawn(move || Ask::new(&router, Method::GET, "/.well-known/jwks.json").send().text())
        };
        let asks: Vec<_> = (0..8).map(|_| ask()).collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    assert_eq!(sets.len(), 1);
    assert_eq!(published(&desk).len(), 1);
    let caching = desk.get("/.well-known/jwks.json");
    assert_eq!(caching.header(header::CACHE_CONTROL), "public, max-age=300");
}

#[test]
fn a_rotation_announces_the_next_key_before_it_signs() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let rotate = |body: Value| {
        let ask = desk.request(Method::POST, "/api/auth/keys/rotate").role(Role::Admin);
        ask.json(body).is(200)["rotation"].as_str().unwrap().to_owned()
    };
    assert_eq!(desk.request(Method::POST, "/api/auth/keys/rotate").staff().json(json!({})).status, 403);
    let old = kid(&ann.access);
    assert_eq!(rotate(json!({})), "begun");
    assert_eq!(rotate(json!({})), "under_way");
    let [first, next] = &published(&desk)[..] else { panic!("two keys") };
    assert_eq!(*first, old);
    let still = tokens(&desk.refresh(&ann.refresh).is(200));
    assert_eq!(kid(&still.access), old);
    desk.wait_ms(LEAD_MS);
    let now = tokens(&desk.refresh(&still.refresh).is(200));
    assert_eq!(kid(&now.access), *next);
    // Tokens of both are good, until the last of the old one has expired.
    for access in [&still.access, &now.access] {
        desk.with(access, Method::GET, "/api/auth/me").send().is(200);
    }
    desk.wait_ms(ACCESS_LIFETIME_S * 1_000);
    assert_eq!(published(&desk).len(), 2);
    desk.wait_ms(60_000);
    assert_eq!(published(&desk), std::slice::from_ref(next));
}

#[test]
fn a_key_is_replaced_when_its_time_has_come() {
    let desk = Desk::open();
    let before = published(&desk);
    let tick = || desk.post("/internal/keys/rotate", json!(null)).is(200)["rotation"].clone();
    assert_eq!(tick(), "not_due");
    desk.wait_ms(ROTATED_AFTER_MS);
    assert_eq!(tick(), "begun");
    assert_eq!(tick(), "under_way");
    assert_eq!(published(&desk)[0], before[0]);
    // Also without anybody who ticks.
    desk.wait_ms(ROTATED_AFTER_MS + LEAD_MS);
    let later = published(&desk);
    assert_eq!(later.len(), 2);
    assert!(!later.contains(&before[0]));
}

#[test]
fn a_leaked_key_is_dropped_at_once() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let old = kid(&ann.access);
    let ask = desk.request(Method::POST, "/api/auth/keys/rotate").role(Role::Admin);
    ask.json(json!({"compromised": true})).is(200);
    let [new] = &published(&desk)[..] else { panic!("one key") };
    assert_ne!(*new, old);
    // An instance that has not fetched the keys yet refuses the old ones.
    let me = Ask::new(&desk.instance(), Method::GET, "/api/auth/me");
    assert_eq!(me.header("authorization", &format!("Bearer {}", ann.access)).send().status, 401);
    let again = tokens(&desk.refresh(&ann.refresh).is(200));
    assert_eq!(kid(&again.access), *new);
}

#[test]
fn a_damaged_key_signs_nothing() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    desk.database().read("UPDATE signing_keys SET seed = 'damaged'", &[]).unwrap();
    assert_eq!(desk.refresh(&ann.refresh).status, 500);
    assert_eq!(desk.get("/.well-known/jwks.json").status, 500);
}
