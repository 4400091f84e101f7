//! Showing, making, changing and archiving products, and adjusting their stock.

use axum::http::{Method, StatusCode, header};
use identity::Role;
use serde_json::{Value, json};

use super::shop::{Answer, Shop, price};

fn boots() -> Value {
    json!({
        "title": "Ridge Boots",
        "brand": "Tarn",
        "description": "Waterproof.",
        "attributes": {"material": "leather"},
        "images": ["/images/boots.jpg"],
        "variants": [
            {"sku": "RB-42", "attributes": {"size": "42"}, "price": price(12900), "weight_g": 900, "stock": 3},
            {"sku": "RB-43", "attributes": {"size": "43"}, "price": price(13900)},
        ],
    })
}

fn edit(shop: &Shop, method: Method, path: &str, etag: &str) -> super::shop::Ask {
    shop.request(method, path).staff().header("if-match", etag)
}

/// An entity tag, which changes with every change of the body.
fn etag(answer: &Answer) -> String {
    answer.header(header::ETAG).to_owned()
}

#[test]
fn a_made_product_is_shown_by_id_and_by_slug() {
    let shop = Shop::open();
    let made = shop.post("/api/products", boots());
    assert_eq!(made.status, StatusCode::CREATED);
    let document = made.json();
    let id = document["id"].as_str().unwrap();
    assert_eq!(made.header(header::LOCATION), format!("/api/products/{id}"));
    let mut expected = boots();
    for (field, value) in [
        ("id", document["id"].clone()),
        ("slug", json!("ridge-boots")),
        ("categories", json!([])),
        ("tax_class", json!("standard")),
        ("price", price(12900)),
        ("available", json!(3)),
        ("archived", json!(false)),
        ("created_at", document["created_at"].clone()),
        ("updated_at", document["created_at"].clone()),
    ] {
        expected[field] = value;
    }
    expected["variants"] = json!([
        {"sku": "RB-42", "attributes": {"size": "42"}, "price": price(12900), "weight_g": 900, "available": 3},
        {"sku": "RB-43", "attributes": {"size": "43"}, "price": price(13900), "weight_g": 0, "available": 0},
    ]);
    assert_eq!(document, expected);
    assert!(commerce::parse_rfc3339(document["created_at"].as_str().unwrap()).is_some());
    for key in [id, &id.to_uppercase(), "ridge-boots"] {
        let shown = shop.get(&format!("/api/products/{key}"));
        assert_eq!(shown.status, StatusCode::OK);
        assert_eq!(shown.header(header::CONTENT_TYPE), "application/json");
        assert_eq!(shown.json(), document);
        assert_eq!(etag(&shown), etag(&made));
    }
}

#[test]
fn a_known_representation_is_not_sent_again() {
    let shop = Shop::open();
    let made = shop.post("/api/products", boots());
    let again =
        |etag: &str| shop.request(Method::GET, "/api/products/ridge-boots").header("if-none-match", etag).send();
    let unchanged = again(&etag(&made));
    assert_eq!((unchanged.status, unchanged.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(etag(&unchanged), etag(&made));
    shop.post("/internal/reservations", json!({"order_id": "o-1", "lines": [{"sku": "RB-42", "quantity": 1}]}));
    let changed = again(&etag(&made));
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.json()["variants"][0]["available"], 2);
    assert_eq!(changed.json()["available"], 2);
}

#[test]
fn what_is_not_there_is_a_404() {
    let shop = Shop::open();
    shop.get("/api/products/nothing").is_problem(404, "not-found", "there is no product \"nothing\"", json!({}));
    let id = "0190a3c0-7b5e-7000-8000-000000000000";
    shop.get(&format!("/api/products/{id}")).is_problem(
        404,
        "not-found",
        &format!("there is no product \"{id}\""),
        json!({}),
    );
    assert_eq!(shop.get("/api/products/%FF").status, StatusCode::NOT_FOUND);
    assert_eq!(shop.get("/nowhere").status, StatusCode::NOT_FOUND);
    assert_eq!(shop.request(Method::DELETE, "/api/products").send().status, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn only_staff_write() {
    let shop = Shop::open();
    let made = shop.post("/api/products", boots());
    let path = "/api/products/ridge-boots";
    let writes = [
        (Method::POST, "/api/products"),
        (Method::PUT, path),
        (Method::PATCH, path),
        (Method::DELETE, path),
        (Method::POST, "/api/products/ridge-boots/variants/RB-42/stock"),
        (Method::POST, "/api/categories"),
        (Method::PUT, "/api/categories/any"),
        (Method::POST, "/api/catalog/import"),
        (Method::GET, "/api/catalog/export"),
        (Method::GET, "/api/promotions"),
        (Method::POST, "/api/promotions"),
        (Method::PUT, "/api/promotions/any"),
        (Method::DELETE, "/api/tax-rates/any"),
        (Method::GET, "/api/tax-rates/any"),
        (Method::PUT, "/api/tax-settings"),
    ];
    for (method, path) in writes {
        let anonymous = shop.request(method.clone(), path).json(boots());
        anonymous.is_problem(401, "unauthenticated", "send a bearer token in the Authorization header", json!({}));
        assert_eq!(anonymous.header(header::WWW_AUTHENTICATE), "Bearer");
        let customer = shop.request(method, path).role(Role::Customer).json(boots());
        customer.is_problem(403, "forbidden", "this takes the role Staff", json!({}));
    }
    assert_eq!(shop.get(path).json(), made.json());
    assert_eq!(
        shop.request(Method::POST, "/api/products")
            .role(Role::Admin)
            .json(json!({
                "title": "Other",
                "variants": [{"sku": "O", "price": price(1)}],
            }))
            .status,
        StatusCode::CREATED
    );
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let shop = Shop::open();
    let wrong = shop.post(
        "/api/products",
        json!({
            "title": " ",
            "slug": "Not A Slug",
            "images": ["javascript:alert(1)"],
            "categories": ["nowhere"],
            "attributes": {"a b": "c", "d": " "},
            "variants": [
                {"sku": "A", "price": {"amount": -1, "currency": "USD"}},
                {"sku": "A", "price": {"amount": 1, "currency": "EUR"}, "stock": 4_000_000},
                {"sku": "b c", "price": price(1)},
            ],
        }),
    );
    wrong.is_problem(422, "invalid", "10 rules are broken", json!({"errors": [
        {"field": "title", "rule": "1 to 200 characters"},
        {"field": "images", "rule": "an http(s) address or a path, at most 500 bytes"},
        {"field": "attributes", "rule": "\"a b\": a name is 1 to 40 of a-z, A-Z, 0-9, _ and -"},
        {"field": "attributes", "rule": "d: a value is 1 to 100 characters"},
        {"field": "variants[0].price", "rule": "a price is not negative"},
        {"field": "variants[1].sku", "rule": "\"A\" is there twice"},
        {"field": "variants[1].price", "rule": "this catalogue sells in USD"},
        {"field": "slug", "rule": "\"Not A Slug\" is not a slug: letters and digits in lower case joined by single hyphens, at most 96"},
        {"field": "variants[1].stock", "rule": "at most 1000000"},
        {"field": "variants[2].sku", "rule": "a SKU is 1 to 64 visible ASCII characters without spaces, not \"b c\""},
    ]}));
    let mut unknown = boots();
    unknown["categories"] = json!(["nowhere"]);
    shop.post("/api/products", unknown).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        json!({"errors": [
            {"field": "categories", "rule": "there is no category \"nowhere\""},
        ]}),
    );
    shop.post("/api/products", json!({"title": "T", "variants": [], "color": "red"}));
    assert_eq!(shop.get("/api/products").json()["items"], json!([]));
}

#[test]
fn unreadable_bodies_are_refused() {
    let shop = Shop::open();
    let send = |body: String| shop.request(Method::POST, "/api/products").staff().body(body);
    assert_eq!(send("{".into()).json()["type"], "urn:bodega:problem:malformed-json");
    assert_eq!(send("[1]".into()).json()["type"], "urn:bodega:problem:invalid");
    let unknown = send(r#"{"title": "T", "colour": "red"}"#.into());
    assert!(unknown.json()["errors"][0]["rule"].as_str().unwrap().contains("unknown field `colour`"));
    let large = send("x".repeat(service::request::BODY_BYTES_MAX + 1));
    large.is_problem(413, "body-too-large", "a body may have 524288 bytes", json!({}));
}

#[test]
fn keys_of_other_products_are_taken() {
    let shop = Shop::open();
    shop.post("/api/products", boots());
    shop.post("/api/products", boots()).is_problem(409, "taken", "the slug \"ridge-boots\" is taken", json!({}));
    let mut other = boots();
    other["slug"] = json!("other-boots");
    shop.post("/api/products", other).is_problem(409, "taken", "the SKU \"RB-42\" is taken", json!({}));
}

#[test]
fn a_repeated_post_with_its_key_makes_one_product() {
    let shop = Shop::open();
    let send =
        |body: Value| shop.request(Method::POST, "/api/products").staff().header("idempotency-key", "k-1").json(body);
    let (first, second) = (send(boots()), send(boots()));
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!((second.status, &second.body), (first.status, &first.body));
    assert_eq!(etag(&second), etag(&first));
    assert_eq!(second.header(header::LOCATION), first.header(header::LOCATION));
    let mut other = boots();
    other["title"] = json!("Other");
    send(other).is_problem(
        422,
        "idempotency-key-reused",
        "repeat the first request unchanged, or choose a new key",
        json!({}),
    );
    assert_eq!(shop.get("/api/products").json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_change_needs_the_version_it_is_about() {
    let shop = Shop::open();
    let made = shop.post("/api/products", boots());
    let path = "/api/products/ridge-boots";
    shop.request(Method::PUT, path).staff().json(boots()).is_problem(
        428,
        "precondition-required",
        "send If-Match with the ETag that you read",
        json!({}),
    );
    let first = edit(&shop, Method::PATCH, path, &etag(&made)).json(json!({"title": "Ridge Boots II"}));
    assert_eq!((first.status, &first.json()["title"]), (StatusCode::OK, &json!("Ridge Boots II")));
    assert_ne!(etag(&first), etag(&made));
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let late = edit(&shop, method, path, &etag(&made)).json(boots());
        late.is_problem(412, "precondition-failed", "it was changed since you read it", json!({}));
    }
    // Shoppers who buy meanwhile do not stand in the way of an editor.
    shop.post("/internal/reservations", json!({"order_id": "o-1", "lines": [{"sku": "RB-42", "quantity": 1}]}));
    assert_eq!(
        edit(&shop, Method::PATCH, path, &etag(&first)).json(json!({"brand": null})).json()["brand"],
        Value::Null
    );
}

#[test]
fn what_shipping_and_tax_need_has_bounds() {
    let shop = Shop::open();
    let mut heavy = boots();
    heavy["tax_class"] = json!("reduced rate");
    heavy["variants"][0]["weight_g"] = json!(10_000_001);
    shop.post("/api/products", heavy).is_problem(
        422,
        "invalid",
        "2 rules are broken",
        json!({"errors": [
            {"field": "tax_class", "rule": "1 to 40 of a-z, A-Z, 0-9, _ and -"},
            {"field": "variants[0].weight_g", "rule": "at most 10000000"},
        ]}),
    );
}

#[test]
fn a_patch_changes_what_it_names_and_a_put_everything() {
    let shop = Shop::open();
    let made = shop.post("/api/products", boots()).json();
    let path = "/api/products/ridge-boots";
    let patched =
        edit(&shop, Method::PATCH, path, "*").json(json!({"attributes": {"color": "red"}, "description": null}));
    let mut expected = made.clone();
    expected["attributes"] = json!({"material": "leather", "color": "red"});
    expected["description"] = json!("");
    expected["updated_at"] = patched.json()["updated_at"].clone();
    assert_eq!(patched.json(), expected);
    let put = json!({"title": "Plain", "variants": [{"sku": "RB-43", "price": price(500)}, {"sku": "RB-44", "price": price(700), "stock": 9}]});
    let put = edit(&shop, Method::PUT, path, "*").json(put).json();
    assert_eq!(put["slug"], "ridge-boots");
    assert_eq!((&put["attributes"], &put["brand"]), (&json!({}), &Value::Null));
    assert_eq!(
        put["variants"],
        json!([
            {"sku": "RB-43", "attributes": {}, "price": price(500), "weight_g": 0, "available": 0},
            {"sku": "RB-44", "attributes": {}, "price": price(700), "weight_g": 0, "available": 9},
        ])
    );
    assert_eq!(put["available"], 9);
    assert_eq!(put["id"], made["id"]);
    assert_eq!(put["created_at"], made["created_at"]);
    // A SKU that was given up is free for another product.
    shop.stock_one("RB-42", 1);
}

#[test]
fn reserved_stock_cannot_be_edited_away() {
    let shop = Shop::open();
    shop.post("/api/products", boots());
    shop.post("/internal/reservations", json!({"order_id": "o-1", "lines": [{"sku": "RB-42", "quantity": 2}]}));
    let path = "/api/products/ridge-boots";
    let without = json!({"variants": [{"sku": "RB-43", "price": price(1)}]});
    edit(&shop, Method::PATCH, path, "*").json(without).is_problem(
        409,
        "stock-reserved",
        "units of \"RB-42\" are reserved by open orders",
        json!({}),
    );
    let fewer = json!({"variants": [{"sku": "RB-42", "price": price(1), "stock": 1}]});
    edit(&shop, Method::PATCH, path, "*").json(fewer).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        json!({"errors": [
            {"field": "variants[0].stock", "rule": "2 units are reserved by open orders"},
        ]}),
    );
    let counted = json!({"variants": [{"sku": "RB-42", "price": price(1), "stock": 7}]});
    let counted = edit(&shop, Method::PATCH, path, "*").json(counted).json();
    assert_eq!((&counted["variants"][0]["available"], &counted["available"]), (&json!(5), &json!(5)));
    assert_eq!(shop.units("RB-42"), (7, 2));
}

#[test]
fn an_archived_product_is_gone_for_shoppers_and_can_come_back() {
    let shop = Shop::open();
    shop.post("/api/products", boots());
    let path = "/api/products/ridge-boots";
    let archived = edit(&shop, Method::DELETE, path, "*").send();
    assert_eq!((archived.status, &archived.json()["archived"]), (StatusCode::OK, &json!(true)));
    assert_eq!(shop.get(path).status, StatusCode::NOT_FOUND);
    assert_eq!(shop.request(Method::GET, path).role(Role::Customer).send().status, StatusCode::NOT_FOUND);
    assert_eq!(shop.request(Method::GET, path).staff().send().json(), archived.json());
    let found = || shop.get("/api/products?q=boots&facets=true").json();
    assert_eq!((&found()["items"], &found()["facets"]["total"]), (&json!([]), &json!(0)));
    assert_eq!(found()["facets"]["brands"], json!([]));
    let order = json!({"order_id": "o-1", "lines": [{"sku": "RB-42", "quantity": 1}]});
    assert_eq!(shop.post("/internal/reservations", order.clone()).json()["short"][0]["available"], 0);
    let back = edit(&shop, Method::PATCH, path, &etag(&archived)).json(json!({"archived": false}));
    assert_eq!(back.status, StatusCode::OK);
    assert_eq!(found()["facets"]["brands"], json!([{"value": "Tarn", "count": 1}]));
    assert_eq!(found()["items"][0]["slug"], "ridge-boots");
    assert_eq!(shop.post("/internal/reservations", order).status, StatusCode::OK);
}

#[test]
fn stock_is_adjusted_with_an_audit_row() {
    let shop = Shop::open();
    shop.post("/api/products", boots());
    let path = "/api/products/ridge-boots/variants/RB-42/stock";
    let adjusted = shop.post(path, json!({"delta": 5, "reason": "delivery 17"}));
    assert_eq!(adjusted.json(), json!({"sku": "RB-42", "on_hand": 8, "reserved": 0, "available": 8}));
    assert_eq!(shop.get("/api/products/ridge-boots").json()["variants"][0]["available"], 8);
    shop.post("/internal/reservations", json!({"order_id": "o-1", "lines": [{"sku": "RB-42", "quantity": 6}]}));
    shop.post(path, json!({"delta": -3, "reason": "damaged"})).is_problem(
        409,
        "stock-short",
        "only 2 of \"RB-42\" can be taken away",
        json!({"available": 2}),
    );
    assert_eq!(shop.post(path, json!({"delta": -2, "reason": "damaged"})).json()["available"], 0);
    let audit = "SELECT json_group_array(json_array(sku, delta, on_hand, reason, actor)) FROM stock_adjustments";
    let mut row = shop.database().read(audit, &[]).unwrap().pop().unwrap();
    let rows: Value = serde_json::from_str(&row.take::<String>(0).unwrap()).unwrap();
    assert_eq!(
        rows,
        json!([
            ["RB-42", 3, 3, "product created", "tester"],
            ["RB-42", 5, 8, "delivery 17", "tester"],
            ["RB-42", -2, 6, "damaged", "tester"],
        ])
    );
}

#[test]
fn bad_adjustments_change_nothing() {
    let shop = Shop::open();
    shop.post("/api/products", boots());
    let path = |sku: &str| format!("/api/products/ridge-boots/variants/{sku}/stock");
    shop.post(&path("RB-42"), json!({"delta": 0, "reason": " "})).is_problem(
        422,
        "invalid",
        "2 rules are broken",
        json!({
            "errors": [
                {"field": "delta", "rule": "up to 1000000 units more or less, and not 0"},
                {"field": "reason", "rule": "1 to 200 characters"},
            ],
        }),
    );
    let adjustment = json!({"delta": 1, "reason": "found"});
    shop.post(&path("nope"), adjustment.clone()).is_problem(
        404,
        "not-found",
        "there is no variant \"nope\"",
        json!({}),
    );
    shop.stock_one("elsewhere", 1);
    assert_eq!(shop.post(&path("elsewhere"), adjustment.clone()).status, StatusCode::NOT_FOUND);
    let send =
        || shop.request(Method::POST, &path("RB-42")).staff().header("idempotency-key", "k").json(adjustment.clone());
    assert_eq!(send().json()["on_hand"], 4);
    assert_eq!(send().json()["on_hand"], 4);
    assert_eq!(shop.units("RB-42"), (4, 0));
}
