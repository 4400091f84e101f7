//! Guessing passwords is slowed down, by account and by address, and tells nothing.

use axum::http::{Method, header};
use serde_json::json;

use super::desk::{Answered, Desk, PASSWORD};

fn from(desk: &Desk, address: &str, email: &str, password: &str) -> Answered {
    let ask = desk.request(Method::POST, "/api/auth/login").header("spin-client-addr", address);
    ask.json(json!({"email": email, "password": password}))
}

#[test]
fn after_five_failures_each_further_one_doubles_the_delay() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    // Each from another address, as a botnet does it; an account that is not there looks the same.
    for email in ["ann@example.com", "nobody@example.com"] {
        let attempt = |number: usize, password: &str| from(&desk, &format!("192.0.2.{number}:1"), email, password);
        for number in 1..=5 {
            assert_eq!(attempt(number, "wrong password").status, 401, "{email} {number}");
        }
        for (number, delay_s) in [(6, 1), (7, 2), (8, 4)] {
            let refused = attempt(number, PASSWORD);
            let retry_after: i64 = refused.header(header::RETRY_AFTER).parse().unwrap();
            assert_eq!((refused.status.as_u16(), retry_after), (429, delay_s), "{email}");
            desk.wait_ms(delay_s * 1_000);
            assert_eq!(attempt(number, "wrong password").status, 401);
        }
    }
}

#[test]
fn a_refused_attempt_does_not_look_at_the_password() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    for _ in 0..5 {
        desk.try_login("ann@example.com", "wrong password").is(401);
    }
    let refused = desk.try_login("ann@example.com", PASSWORD);
    refused.is_problem(429, "too-many-attempts", "too many attempts failed; wait 1 s", json!({}));
    // Refused attempts do not make the delay longer.
    desk.wait_ms(1_000);
    desk.login("ann@example.com", PASSWORD);
    // And success starts anew.
    for _ in 0..4 {
        desk.try_login("ann@example.com", "wrong password").is(401);
    }
    desk.login("ann@example.com", PASSWORD);
}

#[test]
fn an_address_that_tries_many_accounts_is_slowed_down_too() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    for number in 0..20 {
        let answer = from(&desk, "[2001:db8::1]:5000", &format!("user{number}@example.com"), "Password1");
        assert_eq!(answer.status, 401, "{number}");
    }
    // Another port or another address of the same network is the same client.
    assert_eq!(from(&desk, "[2001:db8::2]:6000", "ann@example.com", PASSWORD).status, 429);
    assert_eq!(from(&desk, "[2001:db8:0:1::1]:5000", "ann@example.com", PASSWORD).status, 200);
    desk.wait_ms(1_000);
    // An account of one's own does not give the others' guesses back.
    assert_eq!(from(&desk, "[2001:db8::1]:5000", "ann@example.com", PASSWORD).status, 200);
    assert_eq!(from(&desk, "[2001:db8::1]:5000", "user0@example.com", "Password2").status, 401);
    let refused = from(&desk, "[2001:db8::1]:5000", "user1@example.com", "Password2");
    assert_eq!(refused.status, 429);
}

#[test]
fn failures_are_forgotten_and_swept_away() {
    let desk = Desk::open();
    for _ in 0..4 {
        desk.try_login("ann@example.com", "wrong password").is(401);
    }
    let rows = || desk.database().read("SELECT 1 FROM attempts", &[]).unwrap().len();
    assert_eq!(rows(), 1);
    desk.post("/internal/sweep", json!(null)).is(200);
    assert_eq!(rows(), 1, "they still count");
    desk.wait_ms(60 * 60 * 1_000);
    assert_eq!(desk.post("/internal/sweep", json!(null)).is(200), json!({"removed": 1}));
    assert_eq!(rows(), 0);
}

#[test]
fn a_sweep_removes_all_that_it_is_time_for() {
    let desk = Desk::open();
    let insert = "
        INSERT INTO attempts (subject, failures, blocked_until_ms, last_ms)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT 'a' || i, 0, 0, 0 FROM n";
    desk.database().read(insert, &[]).unwrap();
    assert_eq!(desk.post("/internal/sweep", json!(null)).is(200), json!({"removed": 2500}));
}

#[test]
fn guesses_at_once_are_all_counted() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guess = || {
            let router = desk.instance();
            scope.spawn(move || {
                let ask = super::desk::Ask::new(&router, Method::POST, "/api/auth/login");
                ask.json(json!({"email": "ann@example.com", "password": "wrong password"})).status.as_u16()
            })
        };
        let guesses: Vec<_> = (0..12).map(|_| guess()).collect();
        guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
    });
    let looked_at = statuses.iter().filter(|status| **status == 401).count();
    // Seconds may pass meanwhile on a slow machine, and each delay that ends lets one more through.
    assert!((5..9).contains(&looked_at), "{statuses:?}");
    assert_eq!(looked_at + statuses.iter().filter(|status| **status == 429).count(), 12);
}

#[test]
fn changing_a_password_is_no_way_around() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let change = |current: &str| {
        let ask = desk.with(&ann.access, Method::POST, "/api/auth/password");
        ask.json(json!({"current_password": current, "new_password": "something new"}))
    };
    for _ in 0..5 {
        change("wrong password").is_problem(403, "wrong-password", "the current password is wrong", json!({}));
    }
    assert_eq!(change(PASSWORD).status, 429);
    assert_eq!(desk.try_login("ann@example.com", PASSWORD).status, 429);
}
