//! Stock that comes back from orders that were sold.

use axum::http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::shop::{Answer, Shop};

fn sold(shop: &Shop, order_id: &str, lines: &Value) {
    shop.post("/internal/reservations", json!({"order_id": order_id, "lines": lines})).is(200);
    shop.request(Method::POST, &format!("/internal/reservations/{order_id}/commit")).send().is(200);
}

fn restock(shop: &Shop, restock_id: &str, order_id: &str, lines: Value) -> Answer {
    shop.post("/internal/restocks", json!({"restock_id": restock_id, "order_id": order_id, "lines": lines}))
}

fn line(sku: &str, quantity: u32) -> Value {
    json!({"sku": sku, "quantity": quantity})
}

#[test]
fn what_is_given_back_is_for_sale_again() {
    let shop = Shop::open();
    shop.stock_one("a", 3);
    shop.stock_one("b", 3);
    sold(&shop, "o-1", &json!([line("a", 3), line("b", 2)]));
    let tag = |answer: &Answer| answer.headers["etag"].to_str().unwrap().to_owned();
    let sold_out = shop.get("/api/products/a");
    assert_eq!(shop.get("/api/products?q=a").json()["items"][0]["in_stock"], false);

    for _ in 0..2 {
        let back = restock(&shop, "r-1", "o-1", json!([line("b", 1), line("a", 1), line("a", 1)])).is(200);
        assert_eq!(back, json!({"restock_id": "r-1", "order_id": "o-1", "lines": [line("a", 2), line("b", 1)]}));
        assert_eq!((shop.units("a"), shop.units("b")), ((2, 0), (2, 0)));
    }
    let shown = shop.get("/api/products/a");
    assert_eq!(shown.json()["available"], 2);
    assert_ne!(tag(&shown), tag(&sold_out));
    assert_eq!(shop.get("/api/products?q=a").json()["items"][0]["in_stock"], true);

    let audit = "SELECT json_array(sku, delta, on_hand, reason, actor) FROM stock_adjustments
        WHERE reason LIKE 'restock%' ORDER BY sku";
    let rows = shop.database().read(audit, &[]).unwrap();
    let rows: Vec<String> = rows.into_iter().map(|mut row| row.take(0).unwrap()).collect();
    assert_eq!(rows, [r#"["a",2,2,"restock r-1","order o-1"]"#, r#"["b",1,2,"restock r-1","order o-1"]"#]);
}

#[test]
fn no_more_comes_back_than_was_sold() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    sold(&shop, "o-1", &json!([line("a", 3)]));
    restock(&shop, "r-1", "o-1", json!([line("a", 2)])).is(200);
    restock(&shop, "r-2", "o-1", json!([line("a", 2), line("b", 1)])).is_problem(
        409,
        "restock-exceeds-order",
        "2 SKUs would be given back more often than they were sold",
        json!({"skus": ["a", "b"]}),
    );
    restock(&shop, "r-1", "o-1", json!([line("a", 1)])).is_problem(
        409,
        "restock-differs",
        "the order gave back other lines as \"r-1\"",
        json!({}),
    );
    assert_eq!(shop.units("a"), (4, 0));
    restock(&shop, "r-2", "o-1", json!([line("a", 1)])).is(200);
    assert_eq!(shop.units("a"), (5, 0));
}

#[test]
fn only_what_was_sold_comes_back() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    restock(&shop, "r-1", "o-1", json!([line("a", 1)])).is_problem(
        404,
        "not-found",
        "there is no reservation \"o-1\"",
        json!({}),
    );
    shop.post("/internal/reservations", json!({"order_id": "o-1", "lines": [line("a", 1)]})).is(200);
    restock(&shop, "r-1", "o-1", json!([line("a", 1)])).is_problem(
        409,
        "reservation-not-committed",
        "the reservation is held, and only what was sold can be given back",
        json!({"state": "held"}),
    );
    let wrong = restock(&shop, "", "o/1", json!([])).is(422);
    let fields: Vec<_> = wrong["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, [Some("restock_id"), Some("order_id"), Some("lines")]);
}

#[test]
fn a_variant_that_is_gone_holds_up_no_refund() {
    let shop = Shop::open();
    shop.stock_one("a", 5);
    sold(&shop, "o-1", &json!([line("a", 1)]));
    let other = json!({"title": "a", "variants": [{"sku": "new", "price": super::shop::price(1), "stock": 1}]});
    shop.request(Method::PUT, "/api/products/a").staff().header("if-match", "*").json(other).is(200);
    restock(&shop, "r-1", "o-1", json!([line("a", 1)])).is(200);
    assert_eq!(shop.units("new"), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is given back in whatever order and however often: what is at hand and what is still sold make up
    /// what there was.
    #[test]
    fn units_are_given_back_once(restocks in prop::collection::vec((0..4_u8, 0..2_u8, 1..4_u32), 0..16)) {
        const STOCK: u32 = 8;
        let shop = Shop::open();
        shop.stock_one("a", STOCK);
        for order in 0..2 {
            sold(&shop, &format!("o-{order}"), &json!([line("a", 4)]));
        }
        let mut made = std::collections::BTreeMap::new();
        for (restock_id, order, units) in restocks {
            let answer = restock(&shop, &format!("r-{restock_id}"), &format!("o-{order}"), json!([line("a", units)]));
            if answer.status == 200 {
                prop_assert_eq!(*made.entry(restock_id).or_insert((order, units)), (order, units));
            }
            let back = |order| made.values().filter(|(of, _)| *of == order).map(|(_, units)| units).sum::<u32>();
            prop_assert!(back(0) <= 4 && back(1) <= 4);
            prop_assert_eq!(shop.units("a"), (i64::from(back(0) + back(1)), 0));
        }
    }
}
