//! Coupons that are used as often as they may be, and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;

use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::shop::{Answer, Shop};

/// Makes a promotion with a coupon, and gives its path.
fn coupon(shop: &Shop, code: &str, limits: Value) -> String {
    let mut promotion = json!({"title": code, "coupon": code, "reward": {"kind": "free_shipping"}});
    promotion.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
    format!("/api/promotions/{}", shop.post("/api/promotions", promotion).is(201)["id"].as_str().unwrap())
}

fn redeem(shop: &Shop, order_id: &str, customer: Option<&str>, coupons: &[&str]) -> Answer {
    shop.post("/internal/redemptions", json!({"order_id": order_id, "customer": customer, "coupons": coupons}))
}

fn release(shop: &Shop, order_id: &str) -> Answer {
    shop.request(Method::POST, &format!("/internal/redemptions/{order_id}/release")).send()
}

fn used(shop: &Shop, path: &str) -> Value {
    shop.request(Method::GET, path).staff().send().is(200)["used"].clone()
}

fn offered(shop: &Shop) -> Vec<String> {
    let book = shop.get("/internal/pricing-rules").json();
    let promotions = book["promotions"].as_array().unwrap().iter();
    promotions.map(|promotion| promotion["coupon"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_order_uses_a_coupon_once() {
    let shop = Shop::open();
    let (spring, free) = (coupon(&shop, "Spring", json!({})), coupon(&shop, "FREE", json!({})));
    let redemption = json!({"order_id": "o-1", "state": "redeemed", "customer": "c-1", "coupons": ["FREE", "SPRING"]});
    for _ in 0..2 {
        assert_eq!(redeem(&shop, "o-1", Some("c-1"), &[" spring", "free", "SPRING"]).is(200), redemption);
        assert_eq!((used(&shop, &spring), used(&shop, &free)), (json!(1), json!(1)));
    }
    for (customer, coupons) in [(Some("c-1"), &["SPRING"][..]), (None, &["SPRING", "FREE"])] {
        redeem(&shop, "o-1", customer, coupons).is_problem(
            409,
            "redemption-differs",
            "the order \"o-1\" redeemed other coupons",
            json!({}),
        );
    }
    for _ in 0..2 {
        assert_eq!(release(&shop, "o-1").is(200)["state"], "released");
        assert_eq!((used(&shop, &spring), used(&shop, &free)), (json!(0), json!(0)));
    }
    assert_eq!(redeem(&shop, "o-1", Some("c-1"), &["spring", "free"]).is(200)["state"], "released");
    release(&shop, "o-2").is_problem(404, "not-found", "there is no redemption \"o-2\"", json!({}));
}

#[test]
fn all_coupons_or_none() {
    let shop = Shop::open();
    let good = coupon(&shop, "GOOD", json!({}));
    coupon(&shop, "ONCE", json!({"usage_max": 1}));
    coupon(&shop, "EACH", json!({"usage_max_per_customer": 1}));
    redeem(&shop, "o-1", Some("c-1"), &["ONCE", "EACH"]).is(200);
    let refused = |customer, coupons: &[&str], expected: Value| {
        let count = expected.as_array().unwrap().len();
        redeem(&shop, "o-2", customer, coupons).is_problem(
            409,
            "coupons-refused",
            &format!("{count} coupons cannot be used"),
            json!({"coupons": expected}),
        );
    };
    let why = |coupon: &str, reason: &str| json!({"coupon": coupon, "reason": reason});
    refused(Some("c-1"), &["GOOD", "EACH"], json!([why("EACH", "used-up-by-customer")]));
    refused(None, &["GOOD", "EACH"], json!([why("EACH", "needs-customer")]));
    refused(Some("c-2"), &["ONCE", "GOOD", "NEVER"], json!([why("NEVER", "unknown"), why("ONCE", "used-up")]));
    assert_eq!(used(&shop, &good), 0);
    redeem(&shop, "o-2", Some("c-2"), &["GOOD", "EACH"]).is(200);
    let wrong = shop.post("/internal/redemptions", json!({"order_id": "", "customer": "a/b", "coupons": []})).is(422);
    assert_eq!(wrong["errors"].as_array().unwrap().len(), 3);
}

#[test]
fn a_coupon_that_is_used_up_is_offered_no_more() {
    let shop = Shop::open();
    let path = coupon(&shop, "TWICE", json!({"usage_max": 2}));
    let tag = || shop.get("/internal/pricing-rules").headers["etag"].clone();
    let before = tag();
    redeem(&shop, "o-1", None, &["twice"]).is(200);
    assert_eq!((tag(), offered(&shop)), (before.clone(), vec!["TWICE".to_owned()]));
    redeem(&shop, "o-2", None, &["twice"]).is(200);
    let used_up = tag();
    assert_ne!(used_up, before);
    assert!(offered(&shop).is_empty());
    release(&shop, "o-1").is(200);
    assert_ne!(tag(), used_up);
    assert_eq!(offered(&shop), ["TWICE"]);
    // The count outlives an edit, and an order of a promotion that is gone can still be released.
    let more = json!({"title": "Twice", "coupon": "TWICE", "reward": {"kind": "free_shipping"}, "usage_max": 1});
    shop.request(Method::PUT, &path).staff().header("if-match", "*").json(more).is(200);
    assert!(offered(&shop).is_empty());
    redeem(&shop, "o-3", None, &["twice"]).is(409);
    shop.request(Method::DELETE, &path).staff().header("if-match", "*").send().is(200);
    assert_eq!(release(&shop, "o-2").is(200)["state"], "released");
}

#[test]
fn of_many_orders_as_many_as_may_use_a_coupon() {
    const ORDERS: usize = 32;
    const USES: usize = 5;
    let shop = Shop::open();
    let path = coupon(&shop, "FEW", json!({"usage_max": USES}));
    let start = Barrier::new(ORDERS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let orders: Vec<_> = (0..ORDERS)
            .map(|order| {
                let ask = shop.request(Method::POST, "/internal/redemptions");
                let ask = if order % 2 == 0 { ask.of(&shop.instance()) } else { ask };
                let wish = json!({"order_id": format!("o-{order}"), "coupons": ["few"]});
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    ask.json(wish).status.as_u16()
                })
            })
            .collect();
        orders.into_iter().map(|order| order.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(200), count(409)), (USES, ORDERS - USES), "{statuses:?}");
    assert_eq!(used(&shop, &path), json!(USES));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever orders come and go: a coupon is used as often as open redemptions say, never more often than it
    /// may be, and never more often by one customer.
    #[test]
    fn uses_are_counted_exactly(steps in prop::collection::vec((0..8_u8, 0..3_u8, any::<bool>()), 1..40)) {
        let shop = Shop::open();
        let path = coupon(&shop, "MOST", json!({"usage_max": 4, "usage_max_per_customer": 2}));
        let (mut open, mut closed) = (BTreeMap::new(), BTreeSet::new());
        for (order, customer, comes) in steps {
            let order_id = format!("o-{order}");
            if comes {
                let answer = redeem(&shop, &order_id, Some(&format!("c-{customer}")), &["MOST"]);
                let of_customer = open.values().filter(|other| **other == customer).count();
                let free = open.len() < 4 && of_customer < 2;
                if !open.contains_key(&order) && !closed.contains(&order) {
                    prop_assert_eq!(answer.status.as_u16(), if free { 200 } else { 409 });
                    if free {
                        open.insert(order, customer);
                    }
                }
            } else if release(&shop, &order_id).status == 200 {
                open.remove(&order);
                closed.insert(order);
            }
            prop_assert_eq!(used(&shop, &path), json!(open.len()));
            prop_assert_eq!(offered(&shop).len(), usize::from(open.len() < 4));
        }
    }
}
