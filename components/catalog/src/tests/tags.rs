//! What a cache in front is told: of what answers are made, and what changes concern.

use axum::http::{HeaderName, Method, StatusCode};
use futures::executor::block_on;
use serde_json::json;

use super::shop::{Answer, Shop, price};

const MADE_OF: HeaderName = HeaderName::from_static("surrogate-key");
const CHANGED: HeaderName = HeaderName::from_static("x-bodega-purge");

fn tags(answer: &Answer, name: HeaderName) -> &str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn answers_say_what_they_are_made_of() {
    let shop = Shop::open();
    shop.stock_one("a", 1);
    for (path, expected) in [
        ("/api/products/a", "catalog product-1"),
        ("/api/products", "catalog products"),
        ("/api/categories", "catalog categories"),
        ("/api/products/none", ""),
        ("/internal/variants?sku=a", ""),
    ] {
        assert_eq!(tags(&shop.get(path), MADE_OF), expected, "{path}");
    }
    let etag = shop.get("/api/products/a").headers["etag"].to_str().unwrap().to_owned();
    let known = shop.request(Method::GET, "/api/products/a").header("if-none-match", &etag).send();
    assert_eq!((known.status, tags(&known, MADE_OF)), (StatusCode::NOT_MODIFIED, "catalog product-1"));
    shop.request(Method::DELETE, "/api/products/a").staff().header("if-match", "*").send().is(200);
    let archived = shop.request(Method::GET, "/api/products/a").staff().send();
    assert_eq!((archived.status, &archived.headers["cache-control"]), (StatusCode::OK, &"private".parse().unwrap()));
}

#[test]
fn every_change_says_what_it_concerns() {
    const SAVED: &str = "product-2 products categories";
    const MOVED: &str = "product-2 products";
    let shop = Shop::open();
    shop.stock_one("other", 5);
    let product = |title: &str| json!({"title": title, "variants": [{"sku": "a", "price": price(1), "stock": 5}]});
    let made = shop.post("/api/products", product("a"));
    assert_eq!(tags(&made, CHANGED), SAVED);
    let changed = |answer: Answer, status: u16, expected: &str, what: &str| {
        assert_eq!((answer.status.as_u16(), tags(&answer, CHANGED)), (status, expected), "{what}");
    };
    let edit = |method: Method| shop.request(method, "/api/products/a").staff().header("if-match", "*");
    changed(edit(Method::PUT).json(product("b")), 200, SAVED, "replace");
    changed(edit(Method::PATCH).json(json!({"brand": "Tarn"})), 200, SAVED, "patch");
    changed(edit(Method::PATCH).json(json!({"nonsense": 1})), 422, "", "a change that is refused");
    let adjustment = json!({"delta": 1, "reason": "found"});
    changed(shop.post("/api/products/a/variants/a/stock", adjustment), 200, MOVED, "adjust");

    let hold = |order: &str, quantity: u32, expires_in_s: u32| {
        let line = json!({"sku": "a", "quantity": quantity});
        let wish = json!({"order_id": order, "lines": [line], "expires_in_s": expires_in_s});
        shop.request(Method::POST, "/internal/reservations").json(wish)
    };
    let post = |path: &str, body: serde_json::Value| shop.request(Method::POST, path).json(body);
    changed(hold("o-1", 2, 600), 200, MOVED, "hold");
    changed(hold("o-2", 9, 600), 409, "", "too little, and nothing was given back");
    changed(post("/internal/reservations/o-1/release", json!({})), 200, MOVED, "release");
    changed(hold("o-3", 1, 600), 200, MOVED, "hold");
    changed(post("/internal/reservations/o-3/commit", json!({})), 200, "", "what was held is sold");
    let restock = json!({"restock_id": "r-1", "order_id": "o-3", "lines": [{"sku": "a", "quantity": 1}]});
    changed(post("/internal/restocks", restock), 200, MOVED, "restock");
    changed(post("/internal/reservations/sweep", json!({})), 200, "", "nothing to sweep");
    for order in ["o-4", "o-5"] {
        hold(order, 1, 1).is(200);
    }
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    changed(hold("o-6", 9, 600), 409, MOVED, "too little, but something was given back");
    hold("o-7", 1, 1).is(200);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    changed(post("/internal/reservations/sweep", json!({})), 200, MOVED, "sweep");

    hold("o-8", 1, 600).is(200);
    let broken = "UPDATE reservations SET expires_at_ms = 0, lines = '[{}]' WHERE order_id = 'o-8'";
    block_on(shop.database().execute(broken, &[])).unwrap();
    changed(
        post("/internal/reservations/sweep", json!({})),
        500,
        "catalog",
        "a sweep that cannot say what it has ended",
    );

    let again = |path: &str, body: serde_json::Value| {
        let send = || shop.request(Method::POST, path).staff().header("idempotency-key", path).json(body.clone());
        assert!(send().status.is_success(), "{path}");
        let repeated = send();
        changed(repeated, if path.ends_with("stock") { 200 } else { 201 }, "catalog", path);
    };
    let other = json!({"title": "again", "variants": [{"sku": "again", "price": price(1), "stock": 5}]});
    again("/api/products", other);
    again("/api/products/again/variants/again/stock", json!({"delta": 1, "reason": "found"}));
    again("/api/categories", json!({"name": "Again"}));

    let category = json!({"name": "Boots"});
    changed(shop.post("/api/categories", category.clone()), 201, "categories", "a category");
    let renamed = shop.request(Method::PUT, "/api/categories/boots").staff().header("if-match", "*").json(category);
    changed(renamed, 200, "categories products", "a category is changed");
    for (query, expected) in [("?dry_run=true", ""), ("", "catalog")] {
        let import = shop.request(Method::POST, &format!("/api/catalog/import{query}")).staff();
        let import = import.header("content-type", "application/jsonl").body(format!("{}\n", product("c")));
        changed(import, 200, expected, "import");
    }
    changed(edit(Method::DELETE).send(), 200, SAVED, "archive");
}
