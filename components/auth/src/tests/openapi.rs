//! The OpenAPI document against the running service.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Method, Response};
use serde_json::{Value, json};
use service::Transport;
use service::testing::{Contract, INTERNAL_SECRET};

use super::desk::{Desk, PASSWORD, Setup};
use crate::routes::OPENAPI;

#[test]
fn every_operation_answers_with_what_it_says() {
    let transport: Transport = Arc::new(|_| {
        let found = json!({"issuer": "https://id.example", "authorization_endpoint": "https://id.example/a",
            "token_endpoint": "https://id.example/t"});
        let answer = Response::new(Bytes::from(found.to_string()));
        Box::pin(async move { Ok(answer) })
    });
    let issuers = json!([{"name": "acme", "issuer": "https://id.example", "client_id": "shop",
        "redirect_uri": "https://shop.example/back"}]);
    let setup = Setup { internal_secret: INTERNAL_SECRET, issuers, transport, ..Setup::default() };
    let desk = Desk::set_up(setup);
    let mut contract = Contract::new(OPENAPI, &desk.instance());
    contract.describes_routes_of(include_str!("../routes.rs"));

    let credentials = json!({"email": "ann@example.com", "password": PASSWORD});
    contract.ask("post", "/api/auth/register", credentials.clone());
    contract.ask("post", "/api/auth/login", credentials);
    let ann = desk.login("ann@example.com", PASSWORD);
    let wrong = desk.try_login("ann@example.com", "wrong password");
    contract.check("post", "/api/auth/login", &wrong);
    contract.ask("post", "/api/auth/refresh", json!({"refresh_token": ann.refresh}));
    contract.check("post", "/api/auth/refresh", &desk.refresh(&ann.refresh));
    contract.ask("post", "/api/auth/logout", json!({"refresh_token": ann.refresh}));
    contract.ask("post", "/api/auth/password/reset-requests", json!({"email": "ann@example.com"}));
    let token = desk.mailed_token("password_reset_requested");
    contract.ask("post", "/api/auth/password/resets", json!({"token": token, "new_password": PASSWORD}));
    let token = desk.mailed_token("verification_requested");
    contract.ask("post", "/api/auth/email/verifications", json!({"token": token}));
    let again = desk.post("/api/auth/email/verifications", json!({"token": token}));
    contract.check("post", "/api/auth/email/verifications", &again);

    let mut own = |method: &str, path: &str, body: Value| {
        let ask = || desk.request(method.to_uppercase().parse::<Method>().unwrap(), path).header("if-match", "*");
        let bearer = format!("Bearer {}", ann.access);
        let answer = ask().header("authorization", &bearer).json(body.clone());
        assert!(answer.status.is_success(), "{method} {path}: {}", answer.text());
        contract.check(method, path, &answer);
        contract.check(method, path, &ask().json(body));
        let unknown = ask().header("authorization", &bearer).json(json!({"no such field": 1}));
        contract.check(method, path, &unknown);
        answer
    };
    own("get", "/api/auth/me", Value::Null);
    own("patch", "/api/auth/me", json!({"name": "Ann"}));
    own("post", "/api/auth/email/verification-requests", Value::Null);
    let key = own("post", "/api/auth/api-keys", json!({"name": "till"})).json();
    own("get", "/api/auth/api-keys", Value::Null);
    own("post", "/api/auth/password", json!({"current_password": PASSWORD, "new_password": "battery staple"}));

    let (id, secret) = (key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    let form = |grant: &str| format!("grant_type={grant}&client_id={id}&client_secret={secret}");
    let media_type = "application/x-www-form-urlencoded";
    contract.ask_as("post", "/api/auth/token", media_type, form("client_credentials"));
    let ask = || desk.request(Method::POST, "/api/auth/token").header("content-type", media_type);
    contract.check("post", "/api/auth/token", &ask().body(form("password")));
    contract.check("post", "/api/auth/token", &ask().body("grant_type=client_credentials"));
    contract.check("get", "/api/auth/oidc/acme/start", &desk.get("/api/auth/oidc/acme/start"));
    contract.check("get", "/api/auth/oidc/acme/callback", &desk.get("/api/auth/oidc/acme/callback?code=1"));

    contract.ask("get", "/api/auth/accounts", Value::Null);
    let made = json!({"email": "root@example.com", "password": PASSWORD, "role": "admin"});
    contract.ask("post", "/api/auth/accounts", made);
    let account = format!("/api/auth/accounts/{}", ann.account_id);
    contract.ask("get", &account, Value::Null);
    contract.ask("put", &format!("{account}/role"), json!({"role": "staff"}));
    contract.ask("put", &format!("{account}/customer-group"), json!({"customer_group": "trade"}));
    contract.ask("post", &format!("{account}/unlock"), Value::Null);
    contract.ask("post", "/api/auth/keys/rotate", json!({}));
    contract.ask("get", "/.well-known/jwks.json", Value::Null);
    contract.ask("get", "/api/auth/openapi.json", Value::Null);
    contract.ask("get", &format!("/internal/accounts/{}", ann.account_id), Value::Null);
    contract.ask("post", "/internal/keys/rotate", Value::Null);
    contract.ask("get", "/internal/outbox?limit=2", Value::Null);
    contract.ask("post", "/internal/sweep", Value::Null);

    let bearer = format!("Bearer {}", ann.access);
    let own = |method, path: &str| desk.request(method, path).header("authorization", &bearer);
    let path = format!("/api/auth/api-keys/{id}");
    contract.check("delete", &path, &own(Method::DELETE, &path).send());
    contract.check("delete", &path, &own(Method::DELETE, &path).send());
    contract.check("delete", "/api/auth/me", &own(Method::DELETE, "/api/auth/me").json(json!({})));
    let deletion = json!({"password": "battery staple"});
    contract.check("delete", "/api/auth/me", &own(Method::DELETE, "/api/auth/me").json(deletion));
    contract.finish();
}
