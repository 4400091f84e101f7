//! The OpenAPI document against the running service.

use axum::http::Method;
use commerce::{Id, unix_s};
use serde_json::{Value, json};
use service::testing::{Contract, INTERNAL_SECRET};

use super::shop::{Shop, WEBHOOK_SECRET, charge, event, money};
use crate::routes::OPENAPI;
use crate::signature;

#[test]
fn every_operation_answers_with_what_it_says() {
    let shop = Shop::with_internal_secret(INTERNAL_SECRET);
    let mut contract = Contract::new(OPENAPI, &shop.instance());
    contract.describes_routes_of(include_str!("../routes.rs"));

    let (order, other, refused) = (Id::new(), Id::new(), Id::new());
    let intent = contract.ask("post", "/internal/intents", charge(order, "tok_action")).is(200);
    contract.ask("post", &format!("/api/payments/intents/{order}/confirm"), Value::Null).is(200);
    let path = format!("/api/payments/intents/{other}/confirm");
    contract.check("post", &path, &shop.request(Method::POST, &path).send());
    contract.check("post", &path, &shop.request(Method::POST, &path).header("x-order-token", "x").send());
    contract.ask("get", &format!("/internal/intents/{order}"), Value::Null);
    contract.ask("post", &format!("/internal/intents/{order}/capture"), Value::Null).is(200);
    let refund = json!({"refund_id": Id::new(), "amount": money(5), "reason": "returned"});
    contract.ask("post", &format!("/internal/intents/{order}/refunds"), refund).is(200);
    contract.ask("get", &format!("/api/payments/intents/{}", intent["id"].as_str().unwrap()), Value::Null);

    contract.ask("post", "/internal/intents", charge(other, "tok_slow")).is(202);
    contract.ask("post", &format!("/internal/intents/{other}/void"), Value::Null).is(202);
    contract.ask("post", "/internal/intents/sweep", Value::Null);
    contract.ask("post", "/internal/migrate", Value::Null);
    contract.ask("post", "/internal/intents", charge(refused, "tok_decline")).is(200);
    contract.ask("post", &format!("/internal/intents/{refused}/void"), Value::Null).is(200);
    contract.ask("get", "/internal/intents?limit=100", Value::Null);
    contract.ask("get", "/internal/webhooks/audit", Value::Null);
    contract.ask("get", "/internal/outbox?limit=100", Value::Null);
    shop.change("UPDATE outbox SET type = 'bodega.payment.shaved' WHERE seq = 1");
    let audit = contract.ask("get", "/internal/outbox/audit?after=&through=zzz", Value::Null);
    assert_eq!(audit.is(200)["total"], 2);
    contract.ask("get", "/internal/test-provider/ledger", Value::Null);
    contract.ask("get", "/api/payments/openapi.json", Value::Null);

    let path = "/api/payments/webhooks/test";
    let news = event("evt_1", order, None, "captured");
    let signature = signature::sign(WEBHOOK_SECRET, news.to_string().as_bytes(), unix_s());
    let signed = shop.request(Method::POST, path).header("bodega-signature", &signature).json(news.clone());
    contract.check("post", path, &signed);
    contract.check("post", path, &shop.request(Method::POST, path).json(news));

    for (method, path, body) in [
        ("post", format!("/internal/intents/{refused}/capture"), Value::Null),
        ("post", format!("/internal/intents/{}/capture", Id::new()), Value::Null),
        ("get", "/internal/outbox?limit=0".to_owned(), Value::Null),
        ("get", "/internal/outbox/audit?limit=1".to_owned(), Value::Null),
        ("post", "/internal/intents".to_owned(), charge(order, "4242424242424242")),
    ] {
        let ask = shop.request(method.to_uppercase().parse().unwrap(), &path);
        let answer = ask.header("x-internal-secret", INTERNAL_SECRET).json(body);
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
        contract.check(method, &path, &answer);
    }
    contract.finish();
}
