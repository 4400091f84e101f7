//! API keys and the tokens that machines get for them.

use axum::http::{Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commerce::rfc3339;
use identity::Role;
use serde_json::{Value, json};

use super::desk::{Answered, Desk, PASSWORD, Tokens};

const FORM: &str = "application/x-www-form-urlencoded";

fn create(desk: &Desk, owner: &Tokens, body: Value) -> Value {
    desk.with(&owner.access, Method::POST, "/api/auth/api-keys").json(body).is(201)
}

fn ask(desk: &Desk, form: &str) -> Answered {
    desk.request(Method::POST, "/api/auth/token").header("content-type", FORM).body(form.to_owned())
}

fn exchange(desk: &Desk, key: &Value, rest: &str) -> Answered {
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    ask(desk, &format!("grant_type=client_credentials&client_id={id}&client_secret={secret}{rest}"))
}

fn promote(desk: &Desk, account: &Tokens, role: &str) {
    let path = format!("/api/auth/accounts/{}/role", account.account_id);
    desk.request(Method::PUT, &path).role(Role::Admin).header("if-match", "*").json(json!({"role": role})).is(200);
}

#[test]
fn a_key_is_shown_once_and_exchanged_for_short_tokens() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let key = create(&desk, &ann, json!({"name": "till"}));
    let (id, shown) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    assert!(shown.starts_with(&format!("bdg_{id}_")) && shown.len() == 4 + 17 + 64, "{shown}");
    let list = desk.with(&ann.access, Method::GET, "/api/auth/api-keys").send();
    assert!(!list.text().contains(shown));
    assert_eq!(list.is(200)["items"][0]["last_used_at"], Value::Null);
    let kept = desk.database().read("SELECT digest FROM api_keys", &[]).unwrap().pop().unwrap().take::<String>(0);
    assert!(!shown.contains(&kept.unwrap()));

    let answer = exchange(&desk, &key, "");
    let body = answer.is(200);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(
        (&body["token_type"], &body["expires_in"], &body["scope"]),
        (&json!("Bearer"), &json!(600), &json!("customer"))
    );
    assert!(body.get("refresh_token").is_none());
    let access = body["access_token"].as_str().unwrap();
    let me = desk.with(access, Method::GET, "/api/auth/me").send().is(200);
    assert_eq!(me["id"], ann.account_id.as_str());
    let list = desk.with(access, Method::GET, "/api/auth/api-keys").send().is(200);
    assert!(list["items"][0]["last_used_at"].is_string());

    let basic = STANDARD.encode(format!("{id}:{shown}"));
    let by_header = desk.request(Method::POST, "/api/auth/token").header("content-type", FORM);
    by_header.header("authorization", &format!("Basic {basic}")).body("grant_type=client_credentials").is(200);
}

#[test]
fn errors_are_those_of_oauth() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let key = create(&desk, &ann, json!({"name": "till"}));
    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let other = create(&desk, &ann, json!({"name": "other"}));
    let wrong = other["key"].as_str().unwrap();
    for (form, status, error) in [
        (format!("grant_type=client_credentials&client_id={id}&client_secret={wrong}"), 401, "invalid_client"),
        (format!("grant_type=client_credentials&client_id=absent&client_secret={secret}"), 401, "invalid_client"),
        ("grant_type=client_credentials".to_owned(), 401, "invalid_client"),
        (format!("grant_type=password&client_id={id}&client_secret={secret}"), 400, "unsupported_grant_type"),
        (format!("client_id={id}&client_secret={secret}"), 400, "invalid_request"),
        (format!("grant_type=a&grant_type=b&client_id={id}&client_secret={secret}"), 400, "invalid_request"),
        (
            format!("grant_type=client_credentials&scope=staff&client_id={id}&client_secret={secret}"),
            400,
            "invalid_scope",
        ),
        (
            format!("grant_type=client_credentials&scope=root&client_id={id}&client_secret={secret}"),
            400,
            "invalid_scope",
        ),
    ] {
        let answer = ask(&desk, &form);
        assert_eq!(answer.is(status)["error"], error, "{form}");
        assert_eq!(answer.headers.contains_key(header::WWW_AUTHENTICATE), status == 401, "{form}");
    }
    let json = desk.post("/api/auth/token", json!({"grant_type": "client_credentials"}));
    assert_eq!(json.is(400)["error"], "invalid_request");
    let twice = desk.request(Method::POST, "/api/auth/token").header("content-type", FORM);
    let twice = twice.header("authorization", "Basic YTpi").body(format!("client_id={id}&client_secret={secret}"));
    assert_eq!(twice.is(400)["error"], "invalid_request");
}

#[test]
fn a_key_has_no_more_rights_than_its_owner_has_now() {
    let desk = Desk::open();
    let ann = desk.member("ann@example.com");
    let refused =
        desk.with(&ann.access, Method::POST, "/api/auth/api-keys").json(json!({"name": "a", "role": "staff"}));
    assert_eq!(refused.status, 403);
    promote(&desk, &ann, "staff");
    let ann = desk.login("ann@example.com", PASSWORD);
    let key = create(&desk, &ann, json!({"name": "import", "role": "staff"}));
    assert_eq!(exchange(&desk, &key, "").is(200)["scope"], "staff");
    let less = exchange(&desk, &key, "&scope=customer").is(200);
    assert_eq!(less["scope"], "customer");
    // And what has less makes nothing that has more.
    let access = less["access_token"].as_str().unwrap();
    let more = desk.with(access, Method::POST, "/api/auth/api-keys").json(json!({"name": "b", "role": "staff"}));
    assert_eq!(more.status, 403);
    promote(&desk, &ann, "customer");
    assert_eq!(exchange(&desk, &key, "").is(200)["scope"], "customer");
}

#[test]
fn a_changed_password_revokes_keys_if_asked_to() {
    let desk = Desk::open();
    let mut ann = desk.member("ann@example.com");
    let key = create(&desk, &ann, json!({"name": "till"}));
    for (current, new, revoke, status) in
        [(PASSWORD, "another one", false, 200), ("another one", "a third one", true, 401)]
    {
        let ask = desk.with(&ann.access, Method::POST, "/api/auth/password");
        ask.json(json!({"current_password": current, "new_password": new, "revoke_api_keys": revoke})).is(204);
        ann = desk.login("ann@example.com", new);
        exchange(&desk, &key, "").is(status);
    }
}

#[test]
fn a_revoked_or_expired_key_is_worth_nothing() {
    let desk = Desk::open();
    let (ann, bob) = (desk.member("ann@example.com"), desk.member("bob@example.com"));
    let expires_at = rfc3339(desk.now_ms() + 60_000);
    let short = create(&desk, &ann, json!({"name": "short", "expires_at": expires_at}));
    let key = create(&desk, &ann, json!({"name": "till"}));
    let revoke = |owner: &Tokens| {
        let path = format!("/api/auth/api-keys/{}", key["id"].as_str().unwrap());
        desk.with(&owner.access, Method::DELETE, &path).send().status.as_u16()
    };
    assert_eq!(revoke(&bob), 404);
    exchange(&desk, &key, "").is(200);
    assert_eq!((revoke(&ann), revoke(&ann)), (204, 404));
    exchange(&desk, &key, "").is(401);
    exchange(&desk, &short, "").is(200);
    desk.wait_ms(60_000);
    exchange(&desk, &short, "").is(401);
    let past = json!({"name": "", "expires_at": rfc3339(desk.now_ms() - 1)});
    let refused = desk.with(&ann.access, Method::POST, "/api/auth/api-keys").json(past).is(422);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
}
