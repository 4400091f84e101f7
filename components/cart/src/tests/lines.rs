//! A shopper fills a cart and changes it.

use axum::http::{Method, header};
use serde_json::{Value, json};
use service::testing::Ask;

use super::shelf::euro;
use super::shop::{ANN, Shop, Who, list, units};

#[test]
fn a_guest_fills_a_cart_and_sees_what_it_costs() {
    let shop = Shop::open();
    let made = Ask::new(&shop.router, Method::POST, "/api/cart").send();
    let new = made.is(201);
    assert_eq!(made.header(header::LOCATION), "/api/cart");
    assert_eq!((&new["cart"]["lines"], &new["cart"]["totals"]["total"]), (&json!([]), &euro(0)));
    assert_eq!(new["cart"]["can_be_ordered"], false);

    let guest = Who::Guest(new["token"].as_str().unwrap().to_owned());
    shop.add(&guest, "MUG", 2).is(200);
    let cart = shop.add(&guest, "PAN", 1).is(200);
    assert_eq!(cart, shop.cart(&guest));
    assert_eq!((&cart["currency"], &cart["units"], &cart["can_be_ordered"]), (&json!("EUR"), &json!(3), &json!(true)));
    let mug = &cart["lines"][0];
    assert_eq!(
        (&mug["sku"], &mug["product"]["title"], &mug["product"]["slug"]),
        (&json!("MUG"), &json!("Mug"), &json!("mug"))
    );
    assert_eq!((&mug["unit_price"], &mug["available"], &mug["problems"]), (&euro(900), &json!(10), &json!([])));
    assert_eq!(mug["amounts"]["subtotal"], euro(1800));
    assert_eq!(
        cart["totals"],
        json!({
            "prices_include_tax": false, "subtotal": euro(5800), "discount_total": euro(0), "shipping_total": euro(0),
            "tax_total": euro(0), "total": euro(5800),
        })
    );
    assert_eq!(cart["shipping"], Value::Null);
}

#[test]
fn a_line_is_added_to_changed_and_removed() {
    let shop = Shop::open();
    for who in [shop.guest(), ANN] {
        shop.add(&who, "MUG", 2).is(200);
        shop.add(&who, "PAN", 1).is(200);
        assert_eq!(units(&shop.add(&who, "MUG", 3).is(200)), list(&[("MUG", 5), ("PAN", 1)]));
        assert_eq!(units(&shop.set(&who, "MUG", 1).is(200)), list(&[("MUG", 1), ("PAN", 1)]));
        assert_eq!(units(&shop.remove(&who, "MUG").is(200)), list(&[("PAN", 1)]));
        shop.remove(&who, "MUG").is_problem(404, "not-found", "there is no line \"MUG\"", json!({}));
        shop.set(&who, "MUG", 1).is(404);
        shop.remove(&who, "no%20sku").is(404);
        assert_eq!(shop.units(&who), list(&[("PAN", 1)]));
    }
}

#[test]
fn each_shopper_has_a_cart_of_their_own() {
    let shop = Shop::open();
    let (one, two) = (shop.guest(), shop.guest());
    shop.add(&one, "MUG", 1).is(200);
    shop.add(&ANN, "MUG", 2).is(200);
    shop.add(&Who::Account("bob"), "MUG", 3).is(200);
    let found =
        [&one, &two, &ANN, &Who::Account("bob"), &Who::Account("eve")].map(|who| shop.cart(who)["units"].clone());
    assert_eq!(found, [1, 0, 2, 3, 0].map(|units| json!(units)));
    // Who is logged in sees the account's cart, whatever other token there is.
    let Who::Guest(token) = &one else { unreachable!() };
    let both = shop.ask(&ANN, Method::GET, "/api/cart").header("x-cart-token", token).send();
    assert_eq!(both.is(200)["units"], 2);
    let opened = shop.ask(&ANN, Method::POST, "/api/cart").send().is(200);
    assert_eq!((&opened["cart"]["units"], &opened["token"]), (&json!(2), &Value::Null));
}

#[test]
fn a_cart_that_is_not_named_or_not_known_is_none() {
    let shop = Shop::open();
    let nobody = |method, path: &str| Ask::new(&shop.router, method, path);
    let detail = "send X-Cart-Token, which POST /api/cart gives, or the bearer token of an account";
    nobody(Method::GET, "/api/cart").send().is_problem(400, "no-cart-token", detail, json!({}));
    let body = json!({"sku": "MUG", "quantity": 1});
    nobody(Method::POST, "/api/cart/lines").json(body.clone()).is(400);
    for token in ["", "no-token", &"0".repeat(64)] {
        let detail = "there is no cart of this token, or its time is up; make a new one";
        let unknown = nobody(Method::GET, "/api/cart").header("x-cart-token", token).send();
        unknown.is_problem(404, "not-found", detail, json!({}));
        nobody(Method::POST, "/api/cart/lines").header("x-cart-token", token).json(body.clone()).is(404);
        nobody(Method::DELETE, "/api/cart").header("x-cart-token", token).send().is(404);
    }
    nobody(Method::GET, "/api/cart").header("authorization", "Bearer forged").send().is(401);
    assert!(shop.store.documents().is_empty(), "asking makes nothing");
}

#[test]
fn a_cart_is_thrown_away() {
    let shop = Shop::open();
    let guest = shop.guest();
    for who in [&guest, &ANN] {
        shop.add(who, "MUG", 1).is(200);
        shop.enter(who, "PAN10").is(200);
        // It takes no catalog to want nothing.
        shop.shelf.is_down(true);
        shop.ask(who, Method::DELETE, "/api/cart").header("if-match", "\"1-0\"").send().is(412);
        shop.ask(who, Method::DELETE, "/api/cart").send().is(204);
        shop.shelf.is_down(false);
    }
    shop.show(&guest).is(404);
    shop.add(&guest, "MUG", 1).is(404);
    let empty = shop.cart(&ANN);
    assert_eq!((&empty["lines"], &empty["coupons"]), (&json!([]), &json!([])));
    shop.ask(&ANN, Method::DELETE, "/api/cart").send().is(204);
    assert_eq!(shop.store.documents().len(), 1, "of the guest's cart nothing is left");
    assert_eq!(units(&shop.add(&ANN, "PAN", 1).is(200)), list(&[("PAN", 1)]));
}

#[test]
fn what_the_shop_does_not_sell_is_not_added() {
    let shop = Shop::open();
    let guest = shop.guest();
    shop.shelf.put("OLD", json!({"archived": true}));
    shop.shelf.put("FOREIGN", json!({"price": {"amount": 1, "currency": "USD"}}));
    for sku in ["NONE", "OLD", "FOREIGN"] {
        let detail = format!("the shop does not sell {sku:?}");
        shop.add(&guest, sku, 1).is_problem(422, "not-for-sale", &detail, json!({"sku": sku}));
    }
    assert_eq!(shop.cart(&guest)["lines"], json!([]));
}
