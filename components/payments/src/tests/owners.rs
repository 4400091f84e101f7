//! Who may go on with a payment that waits for the shopper.

use axum::http::Method;
use commerce::Id;
use identity::{Role, guest};
use serde_json::{Value, json};
use service::testing::{Answered, Ask};

use super::shop::{Shop, charge};

const TOKEN: &str = "FPcNWb6A08CvMbaoxkG4DlB3gOr0-W87hMoscAnIRyQ";

/// A payment that waits for its shopper: of an account, or of a guest who has the order's token.
fn waiting(shop: &Shop, customer: Option<&str>, token: Option<&str>) -> Id {
    let order = Id::new();
    let mut wish = charge(order, "tok_action");
    wish["customer"] = json!(customer);
    wish["order_token_digest"] = json!(token.map(guest::token_digest));
    assert_eq!(shop.post("/internal/intents").json(wish).is(200)["state"], "requires_action");
    order
}

fn confirm(shop: &Shop, order: Id) -> Ask {
    shop.request(Method::POST, &format!("/api/payments/intents/{order}/confirm"))
}

fn by_token(shop: &Shop, order: Id, token: &str) -> Answered {
    confirm(shop, order).header("x-order-token", token).send()
}

fn is_missing(answer: &Answered, order: Id) {
    answer.is_problem(404, "not-found", &format!("there is no intent \"{order}\""), json!({}));
}

#[test]
fn an_account_goes_on_with_its_own_payment() {
    let shop = Shop::open();
    let order = waiting(&shop, Some("ann"), None);
    assert_eq!(confirm(&shop, order).send().status, 401);
    is_missing(&confirm(&shop, order).account("bob", Role::Customer).send(), order);
    is_missing(&by_token(&shop, order, TOKEN), order);
    assert_eq!(confirm(&shop, order).header("authorization", "Bearer x.y.z").send().status, 401);
    assert_eq!(shop.state(order), "requires_action");
    let seen = confirm(&shop, order).account("ann", Role::Customer).send().is(200);
    assert_eq!((&seen["state"], seen.get("amount")), (&json!("authorized"), None));
}

#[test]
fn a_guest_goes_on_with_the_payment_whose_token_they_have() {
    let shop = Shop::open();
    let order = waiting(&shop, None, Some(TOKEN));
    assert_eq!(confirm(&shop, order).send().status, 401);
    for token in ["", "x", &guest::token_digest(TOKEN), &TOKEN.to_lowercase()] {
        is_missing(&by_token(&shop, order, token), order);
    }
    is_missing(&confirm(&shop, order).account("ann", Role::Customer).send(), order);
    // Who shows a token that proves nothing is not asked what else they have.
    let forged = confirm(&shop, order).header("x-order-token", TOKEN).header("authorization", "Bearer x.y.z");
    assert_eq!(forged.send().status, 401);
    assert_eq!(shop.state(order), "requires_action");
    // Somebody who has logged in meanwhile still is the guest who ordered.
    let logged_in = confirm(&shop, order).header("x-order-token", TOKEN).account("ann", Role::Customer);
    assert_eq!(logged_in.send().is(200)["state"], "authorized");
    assert_eq!(by_token(&shop, order, TOKEN).is(200)["state"], "authorized");
    let other = waiting(&shop, None, Some("another"));
    is_missing(&by_token(&shop, other, TOKEN), other);
}

#[test]
fn staff_goes_on_with_any_payment_and_nobody_learns_which_there_are() {
    let shop = Shop::open();
    let unknown = Id::new();
    for order in [waiting(&shop, Some("ann"), None), waiting(&shop, None, Some(TOKEN))] {
        let refused = confirm(&shop, order).send();
        assert_eq!((refused.status, refused.json()), {
            let answer = confirm(&shop, unknown).send();
            (answer.status, answer.json())
        });
        assert_eq!(confirm(&shop, order).staff().send().is(200)["state"], "authorized");
    }
    is_missing(&confirm(&shop, unknown).staff().send(), unknown);
}

#[test]
fn a_payment_of_an_order_that_told_of_no_owner_is_gone_on_with_by_who_knows_it_while_it_waits() {
    const WAIT_MS_MAX: i64 = 30 * 60 * 1000;
    let shop = Shop::open();
    let is_refused = |order: Id| {
        assert_eq!(confirm(&shop, order).send().status, 401);
        is_missing(&by_token(&shop, order, TOKEN), order);
        is_missing(&confirm(&shop, order).account("ann", Role::Customer).send(), order);
        confirm(&shop, order).staff().send().is(200);
    };
    let order = waiting(&shop, None, None);
    assert_eq!(confirm(&shop, order).send().is(200)["state"], "authorized");
    is_refused(order);

    let order = waiting(&shop, None, None);
    let older = |ms: i64| shop.change(&format!("UPDATE intents SET created_at_ms = created_at_ms - {ms}"));
    older(WAIT_MS_MAX);
    is_refused(order);
    let order = waiting(&shop, None, None);
    older(WAIT_MS_MAX - 60_000);
    assert_eq!(confirm(&shop, order).account("ann", Role::Customer).send().is(200)["state"], "authorized");

    // As a store from before has it.
    let order = waiting(&shop, None, Some(TOKEN));
    shop.change("ALTER TABLE intents DROP COLUMN order_token_digest");
    shop.change("PRAGMA user_version = 6");
    assert_eq!(confirm(&shop, order).of(&shop.instance()).send().is(200)["state"], "authorized");
}

#[test]
fn what_is_kept_of_a_guests_token_is_its_digest_and_others_do_not_see_it() {
    let shop = Shop::open();
    let order = waiting(&shop, None, Some(TOKEN));
    let id = shop.intent(order)["id"].as_str().unwrap().to_owned();
    let shown: [Value; 3] = [
        shop.intent(order),
        by_token(&shop, order, TOKEN).is(200),
        shop.request(Method::GET, &format!("/api/payments/intents/{id}")).staff().send().is(200),
    ];
    for shown in shown {
        assert!(!shown.to_string().contains(&guest::token_digest(TOKEN)), "{shown}");
    }
    let mut wish = charge(Id::new(), "tok_approve");
    wish["order_token_digest"] = json!(TOKEN);
    shop.post("/internal/intents").json(wish).is(422);
}
