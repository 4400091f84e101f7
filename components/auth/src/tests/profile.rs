//! One's own account: read, changed, deleted.

use axum::http::{Method, header};
use identity::Role;
use serde_json::json;
use service::testing::token;

use super::desk::{Desk, PASSWORD, Setup};

#[test]
fn a_profile_is_changed_by_whoever_read_it_last() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let me = || desk.with(&ann.access, Method::GET, "/api/auth/me").send();
    let patch =
        |tag: &str, body| desk.with(&ann.access, Method::PATCH, "/api/auth/me").header("if-match", tag).json(body);
    let read = me();
    let tag = read.header(header::ETAG).to_owned();
    assert_eq!(read.json()["name"], "");

    let changed = patch(&tag, json!({"name": " Ann Lee ", "locale": "de-AT", "marketing": true}));
    let body = changed.is(200);
    assert_eq!(
        (&body["name"], &body["locale"], &body["marketing"]),
        (&json!("Ann Lee"), &json!("de-AT"), &json!(true))
    );
    assert_eq!(me().is(200), body);
    assert_eq!(me().header(header::ETAG), changed.header(header::ETAG));
    assert_eq!(patch(&tag, json!({"name": "late"})).status, 412);
    assert_eq!(desk.with(&ann.access, Method::PATCH, "/api/auth/me").json(json!({})).status, 428);
    let cleared = patch(changed.header(header::ETAG), json!({"locale": null})).is(200);
    assert_eq!((&cleared["locale"], &cleared["name"]), (&json!(null), &json!("Ann Lee")));
    assert_eq!(patch("*", json!({"name": "x".repeat(101)})).status, 422);
    assert_eq!(patch("*", json!({"role": "admin"})).status, 422);
}

#[test]
fn a_token_without_an_account_shows_nothing() {
    let desk = Desk::open();
    // As the host's own commands have it.
    let host = token("bodega-host", Role::Staff);
    let answer = desk.with(&host, Method::GET, "/api/auth/me").send();
    answer.is_problem(401, "no-account", "the token belongs to no account of this shop", json!({}));
    assert_eq!(desk.get("/api/auth/me").status, 401);
}

#[test]
fn a_deleted_account_leaves_nothing_but_an_event() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    desk.with(&ann.access, Method::POST, "/api/auth/api-keys").json(json!({"name": "till"})).is(201);
    let delete = |body| desk.with(&ann.access, Method::DELETE, "/api/auth/me").json(body);
    assert_eq!(delete(json!({})).status, 403);
    assert_eq!(delete(json!({"password": "wrong password"})).status, 403);
    delete(json!({"password": PASSWORD})).is(204);
    for table in ["accounts", "sessions", "refresh_tokens", "mailed_tokens", "api_keys"] {
        let rows = desk.database().read(&format!("SELECT 1 FROM {table}"), &[]).unwrap();
        assert!(rows.is_empty(), "{table}");
    }
    let event = desk.events().pop().unwrap();
    assert_eq!(
        (event["type"].as_str(), event["subject"].as_str()),
        (Some("bodega.account.deleted"), Some(&*ann.account_id))
    );
    assert_eq!(desk.with(&ann.access, Method::GET, "/api/auth/me").send().status, 401);
    desk.member("ann@example.com");
}

#[test]
fn other_services_ask_by_id_and_show_the_secret() {
    let desk = Desk::set_up(Setup { internal_secret: "hush", ..Setup::default() });
    let ann = desk.member("ann@example.com");
    let path = format!("/internal/accounts/{}", ann.account_id);
    assert_eq!(desk.get(&path).status, 401);
    let account = desk.request(Method::GET, &path).header("x-internal-secret", "hush").send().is(200);
    assert_eq!(account["email"], "ann@example.com");
    assert!(account.get("password").is_none());
    for (method, path) in
        [(Method::GET, "/internal/outbox"), (Method::POST, "/internal/sweep"), (Method::POST, "/internal/keys/rotate")]
    {
        assert_eq!(desk.request(method, path).send().status, 401, "{path}");
    }
}
