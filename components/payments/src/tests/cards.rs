//! A card number gets nowhere.

use commerce::Id;
use serde_json::{Value, json};

use super::shop::{Shop, charge};

const CARD: &str = "4242424242424242";

#[test]
fn a_card_number_is_refused_and_never_stored() {
    let shop = Shop::open();
    let order = Id::new();
    let with = |member: &str, value: Value| {
        let mut body = charge(order, "tok_approve");
        body[member] = value;
        body
    };
    for body in [
        with("payment_method", json!(CARD)),
        with("payment_method", json!("4242-4242-4242-4242")),
        with("customer", json!(CARD)),
        with("return_url", json!(format!("https://shop.example/?card={CARD}"))),
        with("card", json!({"number": CARD, "cvc": "123"})),
        with("amount", json!({"amount": 4_242_424_242_424_242_i64, "currency": "USD"})),
    ] {
        let refused = shop.post("/internal/intents").json(body);
        assert!(!refused.text().contains(CARD), "{}", refused.text());
        refused.is_problem(
            422,
            "card-number",
            "card numbers are not accepted; send a token of the payment provider",
            json!({}),
        );
    }
    assert_eq!(shop.get(&format!("/internal/intents/{order}")).status, 404);

    shop.authorize(order, "tok_approve").is(200);
    shop.end(order, "capture").is(200);
    let refund = json!({"refund_id": Id::new(), "amount": {"amount": 1, "currency": "USD"}, "reason": CARD});
    assert_eq!(shop.post(&format!("/internal/intents/{order}/refunds")).json(refund).status, 422);
    let files = shop.files();
    assert!(!files.windows(CARD.len()).any(|window| window == CARD.as_bytes()));
    let token = b"tok_approve";
    assert!(files.windows(token.len()).any(|window| window == token), "the search finds what is stored");
}

#[test]
fn the_digits_of_a_digest_are_no_card_number() {
    let shop = Shop::open();
    let digest = format!("{}{CARD}{}", "a".repeat(24), "b".repeat(24));
    let with = |member: &str, value: String| {
        let mut body = charge(Id::new(), "tok_approve");
        body["order_token_digest"] = json!(digest);
        body[member] = json!(value);
        shop.post("/internal/intents").json(body)
    };
    assert_eq!(with("order_token_digest", digest.clone()).is(200)["state"], "authorized");
    // What stands beside it, or is no digest, is looked at as ever.
    for (member, value) in [
        ("payment_method", CARD.to_owned()),
        ("customer", digest.clone()),
        ("order_token_digest", CARD.to_owned()),
        ("order_token_digest", format!("{digest} ")),
    ] {
        assert_eq!(with(member, value).is(422)["type"], "urn:bodega:problem:card-number", "{member}");
    }
}

#[test]
fn what_breaks_rules_is_named() {
    let shop = Shop::open();
    let body = json!({
        "order_id": Id::new(), "amount": {"amount": 0, "currency": "USD"}, "payment_method": "two words",
    });
    let refused = shop.post("/internal/intents").json(body).is(422);
    let fields: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, [Some("amount"), Some("payment_method")]);
    let mut body = charge(Id::new(), "tok_approve");
    body["unknown"] = json!(1);
    assert_eq!(shop.post("/internal/intents").json(body).status, 422);
}
