//! What the store and its readers do not learn.

use serde_json::json;

use super::shop::{ANN, Shop, Who};

#[test]
fn tokens_and_accounts_are_not_in_the_store() {
    let shop = Shop::open();
    let guest = shop.guest();
    let Who::Guest(secret) = &guest else { unreachable!() };
    shop.add(&guest, "MUG", 1).is(200);
    shop.add(&Who::Account("subject-of-ann"), "MUG", 1).is(200);
    shop.merge(&Who::Account("subject-of-ann"), &guest).is(200);
    for (key, document) in shop.store.documents() {
        let text = format!("{key} {}", String::from_utf8(document).unwrap());
        assert!(!text.contains(secret) && !text.contains("subject-of-ann"), "{text}");
    }
}

#[test]
fn tokens_are_long_random_and_shown_once() {
    let shop = Shop::open();
    let tokens = [shop.guest(), shop.guest()].map(|who| match who {
        Who::Guest(token) => token,
        Who::Account(_) => unreachable!(),
    });
    assert_ne!(tokens[0], tokens[1]);
    // 256 bits.
    assert!(tokens.iter().all(|token| token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit())));
    let shown = shop.add(&Who::Guest(tokens[0].clone()), "MUG", 1);
    assert!(!shown.text().contains(&tokens[0]));
}

#[test]
fn a_key_of_the_store_opens_no_cart() {
    let shop = Shop::open();
    shop.add(&ANN, "MUG", 1).is(200);
    shop.guest();
    for key in shop.store.documents().into_keys() {
        let digest = key.split('/').next_back().unwrap().to_owned();
        for token in [key.clone(), digest, "ann".to_owned()] {
            shop.show(&Who::Guest(token)).is(404);
        }
    }
    // Nor does an account's id that is almost another one's.
    assert_eq!(shop.internal("resolve", json!({"customer": "ann "})).is(200)["lines"], json!([]));
}
