//! Changing and resetting a password.

use axum::http::Method;
use serde_json::json;

use super::desk::{Desk, PASSWORD, tokens};

const NEW: &str = "battery staple";

#[test]
fn a_changed_password_ends_every_session() {
    let desk = Desk::open();
    let here = desk.member("ann@example.com");
    let elsewhere = desk.login("ann@example.com", PASSWORD);
    let change = |new: &str| {
        let ask = desk.with(&here.access, Method::POST, "/api/auth/password");
        ask.json(json!({"current_password": PASSWORD, "new_password": new}))
    };
    let refused = change("short").is(422);
    assert_eq!(refused["errors"], json!([{"field": "new_password", "rule": "is 8 to 128 characters"}]));
    desk.refresh(&elsewhere.refresh).is(200);
    change(NEW).is(204);
    desk.refresh(&here.refresh).is(401);
    assert_eq!(desk.try_login("ann@example.com", PASSWORD).status, 401);
    desk.login("ann@example.com", NEW);
    assert_eq!(desk.event_types(), ["verification_requested", "password_changed"]);
}

#[test]
fn a_forgotten_password_is_reset_by_mail() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let request = |email: &str| {
        let answer = desk.post("/api/auth/password/reset-requests", json!({"email": email}));
        (answer.status, answer.text())
    };
    let reset =
        |token: &str, new: &str| desk.post("/api/auth/password/resets", json!({"token": token, "new_password": new}));
    // Five wrong ones, as happens before.
    for _ in 0..5 {
        desk.try_login("ann@example.com", "wrong password").is(401);
    }
    assert_eq!(request("ann@example.com"), request("nobody@example.com"));
    assert_eq!(desk.event_types(), ["verification_requested", "password_reset_requested"]);
    let token = desk.mailed_token("password_reset_requested");
    // What may not be chosen does not cost the token.
    reset(&token, "short").is(422);
    reset(&token, NEW).is(204);
    reset(&token, "once more than that").is_problem(
        400,
        "invalid-token",
        "the token is unknown, used or expired; ask for a new one",
        json!({}),
    );
    desk.refresh(&ann.refresh).is(401);
    assert_eq!(desk.try_login("ann@example.com", PASSWORD).status, 401);
    let again = desk.login("ann@example.com", NEW);
    let me = desk.with(&again.access, Method::GET, "/api/auth/me").send().is(200);
    assert_eq!(me["email_verified"], true, "who reads the mail has shown it");
}

#[test]
fn a_reset_token_is_good_for_an_hour_and_the_newest_alone() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    let request = || {
        desk.post("/api/auth/password/reset-requests", json!({"email": "Ann@example.com"})).is(202);
        desk.mailed_token("password_reset_requested")
    };
    let reset = |token: &str| {
        desk.post("/api/auth/password/resets", json!({"token": token, "new_password": NEW})).status.as_u16()
    };
    let first = request();
    assert_eq!(request(), first, "no second mail within the minute");
    desk.wait_ms(60_000);
    let second = request();
    assert_eq!(reset(&first), 400);
    desk.wait_ms(60 * 60 * 1_000);
    assert_eq!(reset(&second), 400);
    let third = request();
    assert_eq!(reset(&third), 204);
}

#[test]
fn of_two_resets_with_one_token_one_goes_through() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    desk.post("/api/auth/password/reset-requests", json!({"email": "ann@example.com"})).is(202);
    let token = desk.mailed_token("password_reset_requested");
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let reset = |number: u32| {
            let (router, token) = (desk.instance(), token.clone());
            scope.spawn(move || {
                let ask = super::desk::Ask::new(&router, Method::POST, "/api/auth/password/resets");
                let answer = ask.json(json!({"token": token, "new_password": format!("password {number}")}));
                answer.status.as_u16()
            })
        };
        let resets: Vec<_> = (0..3).map(reset).collect();
        resets.into_iter().map(|reset| reset.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 400, 400]);
}

#[test]
fn an_event_with_a_token_goes_when_the_token_does() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    desk.post("/api/auth/password/reset-requests", json!({"email": "ann@example.com"})).is(202);
    let refreshed = tokens(&desk.refresh(&ann.refresh).is(200));
    desk.refresh(&ann.refresh).is(401);
    drop(refreshed);
    assert_eq!(desk.event_types(), ["verification_requested", "password_reset_requested", "session_revoked"]);
    desk.wait_ms(60 * 60 * 1_000);
    assert_eq!(desk.event_types(), ["verification_requested", "session_revoked"]);
    desk.wait_ms(23 * 60 * 60 * 1_000);
    assert_eq!(desk.event_types(), ["session_revoked"]);
    let page = desk.get("/internal/outbox?after=2&limit=1").is(200);
    assert_eq!(page["events"][0]["seq"], 3);
    assert_eq!(desk.get("/internal/outbox?after=3").is(200), json!({"events": []}));
}
