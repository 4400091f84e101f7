//! The category tree.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::shop::{Shop, price};

fn add(shop: &Shop, name: &str, parent: Option<&str>) -> Value {
    let made = shop.post("/api/categories", json!({"name": name, "parent": parent}));
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
    made.json()
}

fn outdoor() -> Shop {
    let shop = Shop::open();
    add(&shop, "Outdoor", None);
    add(&shop, "Shoes", Some("outdoor"));
    add(&shop, "Indoor", None);
    for (sku, category) in [("boot", "shoes"), ("tent", "outdoor"), ("lamp", "indoor")] {
        let product = json!({"title": sku, "categories": [category], "variants": [{"sku": sku, "price": price(100)}]});
        assert_eq!(shop.post("/api/products", product).status, StatusCode::CREATED);
    }
    shop
}

fn found(shop: &Shop, category: &str) -> Vec<String> {
    let items = shop.get(&format!("/api/products?sort=name&category={category}")).json();
    items["items"].as_array().unwrap().iter().map(|item| item["slug"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_tree_counts_whole_branches() {
    let shop = outdoor();
    assert_eq!(
        shop.get("/api/categories").json(),
        json!({"categories": [
            {"slug": "indoor", "name": "Indoor", "position": 0, "products": 1, "children": []},
            {"slug": "outdoor", "name": "Outdoor", "position": 0, "products": 2, "children": [
                {"slug": "shoes", "name": "Shoes", "position": 0, "products": 1, "children": []},
            ]},
        ]})
    );
    assert_eq!(found(&shop, "outdoor"), ["boot", "tent"]);
    assert_eq!(found(&shop, "shoes"), ["boot"]);
}

#[test]
fn a_moved_category_takes_its_products_along() {
    let shop = outdoor();
    let shoes = shop.get("/api/categories/shoes");
    let moved =
        shop.request(Method::PUT, "/api/categories/shoes").staff().header("if-match", shoes.header(header::ETAG));
    let moved = moved.json(json!({"name": "Footwear", "parent": "indoor", "position": 2}));
    assert_eq!(
        moved.json(),
        json!({"slug": "shoes", "name": "Footwear", "parent": "indoor", "position": 2, "products": 1})
    );
    assert_eq!(found(&shop, "outdoor"), ["tent"]);
    assert_eq!(found(&shop, "indoor"), ["boot", "lamp"]);
    assert_eq!(found(&shop, "shoes"), ["boot"]);
    let counts = shop.get("/api/products?facets=true").json()["facets"]["categories"].clone();
    assert_eq!(
        counts,
        json!([
            {"value": "indoor", "count": 2},
            {"value": "outdoor", "count": 1},
            {"value": "shoes", "count": 1},
        ])
    );
    let again =
        shop.request(Method::PUT, "/api/categories/shoes").staff().header("if-match", shoes.header(header::ETAG));
    again.json(json!({"name": "Late"})).is_problem(
        412,
        "precondition-failed",
        "it was changed since you read it",
        json!({}),
    );
}

#[test]
fn a_category_keeps_to_the_tree() {
    let shop = outdoor();
    let put = |slug: &str, body: Value| {
        shop.request(Method::PUT, &format!("/api/categories/{slug}")).staff().header("if-match", "*").json(body)
    };
    let invalid = |field: &str, rule: &str| json!({"errors": [{"field": field, "rule": rule}]});
    put("outdoor", json!({"name": "Outdoor", "parent": "shoes"})).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        invalid("parent", "a category cannot stand below itself"),
    );
    put("outdoor", json!({"name": "Outdoor", "parent": "nowhere"})).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        invalid("parent", "there is no category \"nowhere\""),
    );
    put("indoor", json!({"name": "Outdoor"})).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        invalid("name", "the parent has a category of this name"),
    );
    put("indoor", json!({"name": "Indoor", "slug": "inside"})).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        invalid("slug", "the slug of a category never changes"),
    );
    put("nowhere", json!({"name": "X"})).is_problem(404, "not-found", "there is no category \"nowhere\"", json!({}));
    shop.post("/api/categories", json!({"name": "a/b"})).is_problem(
        422,
        "invalid",
        "1 rules are broken",
        invalid("name", "1 to 80 characters without a slash"),
    );
    shop.post("/api/categories", json!({"name": "Shoes"})).is_problem(
        409,
        "taken",
        "the slug \"shoes\" is taken",
        json!({}),
    );
    assert_eq!(shop.get("/api/categories/nowhere").status, StatusCode::NOT_FOUND);
}

#[test]
fn a_name_of_any_script_has_an_address() {
    let shop = Shop::open();
    let made = shop.post("/api/categories", json!({"name": "Écharpes d'hiver"}));
    assert_eq!(made.json()["slug"], "écharpes-dhiver");
    let location = made.header(header::LOCATION);
    assert_eq!(location, "/api/categories/%C3%A9charpes-dhiver");
    assert_eq!(shop.get(location).json(), made.json());
}

#[test]
fn nesting_has_a_bound() {
    let shop = Shop::open();
    let mut parent: Option<String> = None;
    for depth in 0..crate::category::DEPTH_MAX {
        parent = add(&shop, &format!("level {depth}"), parent.as_deref())["slug"].as_str().map(str::to_owned);
    }
    let below = shop.post("/api/categories", json!({"name": "too deep", "parent": parent}));
    assert_eq!(below.json()["errors"][0]["rule"], "categories nest at most 12 deep");
}
