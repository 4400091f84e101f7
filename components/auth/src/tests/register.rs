//! Registering tells nobody who has an account, and proves nothing before the mail was read.

use serde_json::json;

use super::desk::{Desk, PASSWORD, Setup};

#[test]
fn the_answer_is_the_same_for_a_free_and_a_taken_address() {
    let desk = Desk::open();
    let ask = |password: &str| {
        let answer = desk.post("/api/auth/register", json!({"email": "Ann@example.com", "password": password}));
        (answer.status, answer.text())
    };
    let free = ask(PASSWORD);
    assert_eq!(free.0, 202);
    assert_eq!(ask("another password"), free);
    // The second one changed nothing.
    desk.login("ann@EXAMPLE.com", PASSWORD);
    assert_eq!(desk.try_login("ann@example.com", "another password").status, 401);
}

#[test]
fn the_owner_of_a_taken_address_is_told_by_mail_but_not_flooded() {
    let desk = Desk::open();
    desk.register("ann@example.com");
    assert_eq!(desk.event_types(), ["verification_requested"]);
    desk.register("ann@example.com");
    assert_eq!(desk.event_types().len(), 1, "a second mail within the minute");
    desk.wait_ms(60_000);
    desk.register("ANN@example.com");
    assert_eq!(desk.event_types(), ["verification_requested", "password_reset_requested"]);

    let token = desk.mailed_token("verification_requested");
    desk.post("/api/auth/email/verifications", json!({"token": token})).is(204);
    desk.wait_ms(60_000);
    desk.register("ann@example.com");
    assert_eq!(desk.event_types().last().unwrap(), "registration_repeated");
    let event = desk.events().pop().unwrap();
    assert!(event["data"].get("token").is_none(), "{event}");
}

#[test]
fn who_registered_with_the_address_of_another_is_out_when_its_owner_comes() {
    let desk = Desk::open();
    let intruder = desk.member("ann@example.com");
    let create = desk.with(&intruder.access, axum::http::Method::POST, "/api/auth/api-keys");
    let key = create.json(json!({"name": "till"})).is(201);
    desk.wait_ms(60_000);
    desk.post("/api/auth/register", json!({"email": "ann@example.com", "password": "of the owner"})).is(202);
    assert_eq!(desk.event_types(), ["verification_requested", "password_reset_requested"]);
    let token = desk.mailed_token("password_reset_requested");
    desk.post("/api/auth/password/resets", json!({"token": token, "new_password": "of the owner"})).is(204);
    assert_eq!(desk.try_login("ann@example.com", PASSWORD).status, 401);
    desk.refresh(&intruder.refresh).is(401);
    let exchange = desk.request(axum::http::Method::POST, "/api/auth/token");
    let exchange = exchange.header("content-type", "application/x-www-form-urlencoded");
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    exchange.body(format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")).is(401);
    desk.login("ann@example.com", "of the owner");
}

#[test]
fn every_broken_rule_is_named() {
    let desk = Desk::open();
    let input = json!({"email": "ann", "password": "short", "name": "x".repeat(101), "locale": "!"});
    let body = desk.post("/api/auth/register", input).is(422);
    let fields: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["email", "name", "locale"]);
    let input = json!({"email": "ann@example.com", "password": "ann@example.com"});
    let body = desk.post("/api/auth/register", input).is(422);
    assert_eq!(body["errors"], json!([{"field": "password", "rule": "must not be your email address"}]));
    let input = json!({"email": "ann@example.com", "password": PASSWORD, "role": "admin"});
    desk.post("/api/auth/register", input).is(422);
}

#[test]
fn a_verification_token_is_good_once_and_for_a_day() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let verified = || {
        let me = desk.with(&ann.access, axum::http::Method::GET, "/api/auth/me").send().is(200);
        me["email_verified"].as_bool().unwrap()
    };
    let verify = |token: &str| desk.post("/api/auth/email/verifications", json!({"token": token}));
    let again = || desk.with(&ann.access, axum::http::Method::POST, "/api/auth/email/verification-requests").send();
    let first = desk.mailed_token("verification_requested");
    let event = desk.events().pop().unwrap();
    assert_eq!(event["data"]["email"], "ann@example.com");
    assert_eq!(event["subject"], ann.account_id.as_str());
    assert!(!verified());

    desk.wait_ms(60_000);
    again().is(204);
    let second = desk.mailed_token("verification_requested");
    verify(&first).is_problem(
        400,
        "invalid-token",
        "the token is unknown, used or expired; ask for a new one",
        json!({}),
    );
    desk.wait_ms(24 * 60 * 60 * 1_000);
    verify(&second).is(400);
    again().is(204);
    let third = desk.mailed_token("verification_requested");
    // A token of one kind is none of the other.
    desk.post("/api/auth/password/resets", json!({"token": third, "new_password": "another one"})).is(400);
    assert!(!verified());
    verify(&third).is(204);
    assert!(verified());
    verify(&third).is(400);
}

#[test]
fn where_verification_is_required_an_unverified_account_is_as_good_as_none() {
    let desk = Desk::set_up(Setup { verified_only: true, ..Setup::default() });
    desk.register("ann@example.com");
    let unverified = desk.try_login("ann@example.com", PASSWORD);
    let unknown = desk.try_login("bob@example.com", PASSWORD);
    assert_eq!((unverified.status, unverified.text()), (unknown.status, unknown.text()));
    assert_eq!(unverified.status, 401);
    let token = desk.mailed_token("verification_requested");
    desk.post("/api/auth/email/verifications", json!({"token": token})).is(204);
    desk.login("ann@example.com", PASSWORD);
}

#[test]
fn what_is_kept_is_no_password_and_no_token() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let verification = desk.mailed_token("verification_requested");
    let database = desk.database();
    let column = |sql: &str| database.read(sql, &[]).unwrap().pop().unwrap().take::<String>(0).unwrap();
    assert!(column("SELECT password FROM accounts").starts_with("$argon2id$"));
    assert_ne!(column("SELECT digest FROM refresh_tokens"), ann.refresh);
    assert_ne!(column("SELECT digest FROM mailed_tokens"), verification);
}
