//! Stock held for orders, by one buyer and by many at once.

use std::sync::Barrier;

use axum::http::{Method, StatusCode};
use commerce::parse_rfc3339;
use futures::executor::block_on;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::shop::{Answer, Shop, price};
use crate::store::reservations::SWEEP_MAX;

fn hold(shop: &Shop, order_id: &str, lines: Value) -> Answer {
    shop.post("/internal/reservations", json!({"order_id": order_id, "lines": lines}))
}

fn line(sku: &str, quantity: u32) -> Value {
    json!({"sku": sku, "quantity": quantity})
}

fn end(shop: &Shop, order_id: &str, how: &str) -> Answer {
    shop.request(Method::POST, &format!("/internal/reservations/{order_id}/{how}")).send()
}

/// Lets the time of every reservation run out.
fn time_passes(shop: &Shop) {
    block_on(shop.database().execute("UPDATE reservations SET expires_at_ms = 0", &[])).unwrap();
}

#[test]
fn held_stock_is_sold_or_given_back() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    shop.stock_one("b", 5);
    let held = hold(&shop, "o-1", json!([line("b", 1), line("a", 2), line("b", 1)]));
    assert_eq!(held.status, StatusCode::OK);
    let mut expected = json!({"order_id": "o-1", "state": "held", "lines": [line("a", 2), line("b", 2)]});
    expected["expires_at"] = held.json()["expires_at"].clone();
    assert_eq!(held.json(), expected);
    assert_eq!((shop.units("a"), shop.units("b")), ((5, 2), (5, 2)));
    for _ in 0..2 {
        assert_eq!(end(&shop, "o-1", "commit").json()["state"], "committed");
        assert_eq!((shop.units("a"), shop.units("b")), ((3, 0), (3, 0)));
    }
    end(&shop, "o-1", "release").is_problem(
        409,
        "reservation-closed",
        "the reservation is committed and cannot become released",
        json!({"state": "committed"}),
    );
    hold(&shop, "o-2", json!([line("a", 3)]));
    for _ in 0..2 {
        assert_eq!(end(&shop, "o-2", "release").json()["state"], "released");
        assert_eq!(shop.units("a"), (3, 0));
    }
    end(&shop, "o-2", "commit").is_problem(
        409,
        "reservation-closed",
        "the reservation is released and cannot become committed",
        json!({"state": "released"}),
    );
    assert_eq!(shop.get("/internal/reservations/o-2").json()["state"], "released");
    end(&shop, "o-3", "commit").is_problem(404, "not-found", "there is no reservation \"o-3\"", json!({}));
}

#[test]
fn all_lines_or_none() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    shop.stock_one("b", 1);
    hold(&shop, "o-1", json!([line("a", 5), line("b", 2), line("nope", 1)])).is_problem(
        409,
        "out-of-stock",
        "2 SKUs are short",
        json!({"short": [
            {"sku": "b", "requested": 2, "available": 1},
            {"sku": "nope", "requested": 1, "available": 0},
        ]}),
    );
    assert_eq!((shop.units("a"), shop.units("b")), ((5, 0), (1, 0)));
    assert_eq!(shop.get("/internal/reservations/o-1").status, StatusCode::NOT_FOUND);
}

#[test]
fn an_order_reserves_once() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    let wish = |lines: Value, expires_in_s: u32| {
        let wish = json!({"order_id": "o-1", "lines": lines, "expires_in_s": expires_in_s});
        let mut held = shop.post("/internal/reservations", wish).is(200);
        let expires_at = parse_rfc3339(held["expires_at"].take().as_str().unwrap()).unwrap();
        (held, expires_at)
    };
    let (first, expires_at) = wish(json!([line("a", 2)]), 60);
    // The same order again is held for longer, and never for less long than it was promised.
    let (second, extended) = wish(json!([line("a", 1), line("a", 1)]), 3600);
    assert!(extended - expires_at >= 3_540_000, "{expires_at} {extended}");
    assert_eq!(wish(json!([line("a", 2)]), 1), (first.clone(), extended));
    assert_eq!(second, first);
    hold(&shop, "o-1", json!([line("a", 3)])).is_problem(
        409,
        "reservation-differs",
        "the order \"o-1\" reserved other lines",
        json!({}),
    );
    assert_eq!(shop.units("a"), (5, 2));
}

#[test]
fn a_product_is_in_stock_while_one_of_its_variants_is() {
    let shop = Shop::open();
    let variant = |sku: &str| json!({"sku": sku, "price": price(100), "stock": 2});
    shop.stock("Boots", json!([variant("b-1"), variant("b-2")]));
    let shown = || {
        let page = shop.get("/api/products?q=boots&facets=true").json();
        let filtered = shop.get("/api/products?in_stock=true").json();
        let units = shop.get("/api/products/boots").json()["available"].clone();
        let item = page["items"][0]["in_stock"].clone();
        (units, item, page["facets"]["in_stock"].clone(), filtered["items"].as_array().unwrap().len())
    };
    hold(&shop, "o-1", json!([line("b-1", 2), line("b-2", 1)]));
    assert_eq!(shown(), (json!(1), json!(true), json!(1), 1));
    hold(&shop, "o-2", json!([line("b-2", 1)]));
    assert_eq!(shown(), (json!(0), json!(false), json!(0), 0));
    end(&shop, "o-1", "release");
    assert_eq!(shown(), (json!(3), json!(true), json!(1), 1));
}

#[test]
fn time_gives_stock_back() {
    let shop = Shop::open();
    shop.stock_one("a", 2);
    hold(&shop, "o-1", json!([line("a", 2)]));
    assert_eq!(shop.request(Method::POST, "/internal/reservations/sweep").send().json(), json!({"expired": 0}));
    time_passes(&shop);
    // Whoever comes next gets what nobody came for, without waiting for a sweep.
    assert_eq!(hold(&shop, "o-2", json!([line("a", 1)])).status, StatusCode::OK);
    assert_eq!(shop.units("a"), (2, 1));
    assert_eq!(end(&shop, "o-1", "release").json()["state"], "expired");
    assert_eq!(end(&shop, "o-1", "commit").json()["state"], "expired");
    // The late order is held anew, if there is enough.
    assert_eq!(hold(&shop, "o-1", json!([line("a", 2)])).json()["short"][0]["available"], 1);
    end(&shop, "o-2", "release");
    assert_eq!(hold(&shop, "o-1", json!([line("a", 2)])).json()["state"], "held");
    assert_eq!(shop.units("a"), (2, 2));
    time_passes(&shop);
    assert_eq!(shop.request(Method::POST, "/internal/reservations/sweep").send().json(), json!({"expired": 1}));
    assert_eq!(shop.units("a"), (2, 0));
}

#[test]
fn the_stock_behind_many_expired_orders_is_found() {
    const EXPIRED: u32 = SWEEP_MAX + 1;
    let shop = Shop::open();
    shop.stock_one("a", EXPIRED);
    shop.stock_one("last", 1);
    let expire = "
        WITH RECURSIVE orders (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM orders WHERE n < ?1)
        INSERT INTO reservations (order_id, lines, expires_at_ms)
        SELECT 'o-' || n, '[{\"sku\":\"a\",\"quantity\":1}]', n FROM orders";
    block_on(shop.database().execute(expire, &[EXPIRED.into()])).unwrap();
    hold(&shop, "late", json!([line("last", 1)]));
    let late = "UPDATE reservations SET expires_at_ms = ?1 WHERE order_id = 'late'";
    block_on(shop.database().execute(late, &[(EXPIRED + 1).into()])).unwrap();
    assert_eq!((shop.units("a").1, shop.units("last").1), (EXPIRED.into(), 1));

    assert_eq!(hold(&shop, "o-next", json!([line("last", 1)])).json()["state"], "held");
    assert_eq!((shop.units("a").1, shop.units("last").1), (0, 1));
    assert_eq!(hold(&shop, "o-more", json!([line("last", 1)])).status, StatusCode::CONFLICT);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let shop = Shop::open();
    let ask = |body: Value| shop.post("/internal/reservations", body);
    ask(json!({"order_id": "", "lines": [], "expires_in_s": 604_801})).is_problem(
        422,
        "invalid",
        "3 rules are broken",
        json!({
            "errors": [
                {"field": "order_id", "rule": "1 to 64 visible ASCII characters without a slash"},
                {"field": "lines", "rule": "1 to 100 lines"},
                {"field": "expires_in_s", "rule": "1 to 604800 seconds"},
            ],
        }),
    );
    assert_eq!(ask(json!({"order_id": "o", "lines": [line("a", 0)]})).status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(json!({"lines": [line("a", 1)]})).status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[test]
fn internal_routes_ask_for_the_secret_when_there_is_one() {
    let shop = Shop::with_internal_secret("hush");
    shop.stock_one("a", 1);
    for (method, path) in [
        (Method::GET, "/internal/variants?sku=a"),
        (Method::POST, "/internal/reservations"),
        (Method::GET, "/internal/reservations/o-1"),
        (Method::POST, "/internal/reservations/o-1/commit"),
        (Method::POST, "/internal/reservations/o-1/release"),
        (Method::POST, "/internal/reservations/sweep"),
        (Method::POST, "/internal/restocks"),
        (Method::GET, "/internal/pricing-rules"),
        (Method::POST, "/internal/redemptions"),
        (Method::POST, "/internal/redemptions/o-1/release"),
    ] {
        for ask in
            [shop.request(method.clone(), path), shop.request(method.clone(), path).header("x-internal-secret", "hus")]
        {
            let refused = ask.staff().json(json!({"order_id": "o-1", "lines": [line("a", 1)]}));
            refused.is_problem(401, "unauthenticated", "the internal secret is missing or wrong", json!({}));
        }
    }
    let variants = shop.request(Method::GET, "/internal/variants?sku=a").header("x-internal-secret", "hush").send();
    assert_eq!(variants.status, StatusCode::OK);
}

#[test]
fn variants_are_told_in_the_order_they_are_asked_for() {
    let shop = Shop::open();
    for (name, parent) in [("Outdoor", None), ("Shoes", Some("outdoor")), ("High", Some("shoes")), ("Sale", None)] {
        shop.post("/api/categories", json!({"name": name, "parent": parent})).is(201);
    }
    let boots = json!({
        "title": "Boots", "categories": ["sale", "high"], "images": ["/b.jpg", "/c.jpg"], "tax_class": "reduced",
        "variants": [
            {"sku": "b-42", "attributes": {"size": "42"}, "price": price(100), "weight_g": 700, "stock": 3},
            {"sku": "b-43", "attributes": {"size": "43"}, "price": price(200), "weight_g": 720, "stock": 1},
        ],
    });
    let boots = shop.post("/api/products", boots).is(201);
    shop.stock_one("plain", 1);
    hold(&shop, "o-1", json!([line("b-43", 1)]));
    let variant = |sku: &str, size: &str, amount: i64, weight_g: u32, available: u32| {
        json!({
            "sku": sku, "product_id": boots["id"], "slug": "boots", "title": "Boots", "image": "/b.jpg",
            "attributes": {"size": size}, "price": price(amount), "available": available,
            "categories": ["outdoor/shoes/high", "sale"], "tax_class": "reduced", "weight_g": weight_g,
            "archived": false,
        })
    };
    let plain = shop.get("/internal/variants?sku=plain").json()["variants"][0].clone();
    assert_eq!(
        (&plain["categories"], &plain["image"], &plain["tax_class"]),
        (&json!([]), &json!(null), &json!("standard"))
    );
    assert_eq!(
        shop.get("/internal/variants?sku=b-43&sku=nope&sku=b-42").json(),
        json!({"variants": [
            variant("b-43", "43", 200, 720, 0),
            variant("b-42", "42", 100, 700, 3),
        ]})
    );
    shop.get("/internal/variants").is_problem(
        400,
        "bad-query",
        "the query parameter \"sku\" is unusable: 1 to 200 SKUs",
        json!({"parameter": "sku"}),
    );
    assert_eq!(shop.get("/internal/variants?id=b-42").status, StatusCode::BAD_REQUEST);
}

#[test]
fn of_many_buyers_one_gets_the_last_unit() {
    const BUYERS: usize = 16;
    let shop = Shop::open();
    for round in 0..5 {
        let sku = format!("last-{round}");
        shop.stock_one(&sku, 1);
        let start = Barrier::new(BUYERS);
        let outcomes: Vec<StatusCode> = std::thread::scope(|scope| {
            let buyers: Vec<_> = (0..BUYERS)
                .map(|buyer| {
                    // Half of them are served by the same instance, the others by instances of their own.
                    let ask = shop.request(Method::POST, "/internal/reservations");
                    let ask = if buyer % 2 == 0 { ask.of(&shop.instance()) } else { ask };
                    let wish = json!({"order_id": format!("o-{round}-{buyer}"), "lines": [line(&sku, 1)]});
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        ask.json(wish).status
                    })
                })
                .collect();
            buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect()
        });
        let count = |status| outcomes.iter().filter(|outcome| **outcome == status).count();
        assert_eq!((count(StatusCode::OK), count(StatusCode::CONFLICT)), (1, BUYERS - 1), "{outcomes:?}");
        assert_eq!(shop.units(&sku), (1, 1));
    }
}

/// What may happen to the orders of a shop.
#[derive(Clone, Debug)]
enum Event {
    Hold(usize, u32, u32),
    Commit(usize),
    Release(usize),
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    let order = 0..6_usize;
    prop_oneof![
        4 => (order.clone(), 0..4_u32, 0..4_u32).prop_map(|(order, a, b)| Event::Hold(order, a, b)),
        2 => order.clone().prop_map(Event::Commit),
        2 => order.prop_map(Event::Release),
        1 => Just(Event::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever happens in whatever order: what is on hand and what was sold make up what there was, what is
    /// reserved is what open orders hold, and the shown stock is the difference.
    #[test]
    fn no_unit_is_lost_or_sold_twice(events in prop::collection::vec(event(), 1..40)) {
        const STOCK: i64 = 6;
        let shop = Shop::open();
        let skus = ["a", "b"];
        for sku in skus {
            shop.stock_one(sku, STOCK as u32);
        }
        for event in events {
            match event {
                Event::Hold(order, a, b) => {
                    let lines: Vec<Value> = skus.iter().zip([a, b]).filter(|(_, units)| *units > 0)
                        .map(|(sku, units)| line(sku, units)).collect();
                    hold(&shop, &format!("o-{order}"), lines.into());
                }
                Event::Commit(order) => drop(end(&shop, &format!("o-{order}"), "commit")),
                Event::Release(order) => drop(end(&shop, &format!("o-{order}"), "release")),
                Event::Sweep => {
                    time_passes(&shop);
                    shop.request(Method::POST, "/internal/reservations/sweep").send();
                }
            }
            for sku in skus {
                let (on_hand, reserved) = shop.units(sku);
                let units = |state: &str| {
                    let sum = "SELECT coalesce(sum(line.value ->> 'quantity'), 0) FROM reservations, json_each(lines) AS line
                        WHERE state = ?1 AND line.value ->> 'sku' = ?2";
                    shop.database().read(sum, &[state.into(), sku.into()]).unwrap().pop().unwrap().take::<i64>(0).unwrap()
                };
                prop_assert_eq!(reserved, units("held"));
                prop_assert_eq!(on_hand + units("committed"), STOCK);
                let shown = shop.get(&format!("/api/products/{sku}")).json();
                prop_assert_eq!(&shown["variants"][0]["available"], &json!(on_hand - reserved));
                prop_assert_eq!(&shown["available"], &json!(on_hand - reserved));
                let listed = shop.get(&format!("/api/products?q={sku}&in_stock=true")).json();
                prop_assert_eq!(listed["items"].as_array().unwrap().len(), usize::from(on_hand > reserved));
            }
        }
    }
}
