//! Import and export: what goes in comes out again, and what is bad is told by its line.

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, header};
use futures::stream;
use serde_json::{Value, json};

use super::shop::{Answer, Shop, price};
use crate::import::BATCH_RECORDS;

pub(super) const JSONL: &str = "application/x-ndjson";

pub(super) fn import(shop: &Shop, query: &str, media_type: &str, body: impl Into<Body>) -> Answer {
    let path = format!("/api/catalog/import{query}");
    shop.request(Method::POST, &path).staff().header("content-type", media_type).body(body)
}

fn export(shop: &Shop, format: &str) -> Answer {
    shop.request(Method::GET, &format!("/api/catalog/export?format={format}")).staff().send()
}

fn report(rows: u64, imported: u64, updated: u64, unchanged: u64, errors: &[(u64, &str)]) -> Value {
    let errors: Vec<Value> = errors.iter().map(|(line, reason)| json!({"line": line, "reason": reason})).collect();
    json!({
        "dry_run": false, "rows": rows, "imported": imported, "updated": updated, "unchanged": unchanged,
        "failed": errors.len(), "forgotten": 0, "errors": errors, "ignored_fields": [],
    })
}

/// A shop whose products use every field.
fn furnished() -> Shop {
    let shop = Shop::open();
    let records = [
        json!({
            "title": "Ridge Boots", "brand": "Tarn", "description": "Line one.\nSays \"two\", too.",
            "categories": ["Outdoor/Footwear", "Sale"], "attributes": {"material": "leather"},
            "images": ["/a.jpg", "https://cdn.example/b.jpg"], "tax_class": "reduced",
            "variants": [
                {"sku": "RB-42", "attributes": {"size": "42"}, "price": price(12900), "weight_g": 900, "stock": 3},
                {"sku": "RB-43", "attributes": {"size": "43"}, "price": "139.5"},
            ],
        }),
        json!({"title": "Écru Mug", "sku": "M-1", "price": 9, "weight_g": "350", "stock": 12, "category": "Home", "attr.color": "écru"}),
        json!({"title": "Old Lamp", "sku": "L-1", "price": 0.5, "archived": true, "variant.bulb": "E27"}),
    ];
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    assert_eq!(import(&shop, "", JSONL, lines.join("\n")).json(), report(3, 3, 0, 0, &[]));
    shop
}

fn documents(shop: &Shop) -> Vec<Value> {
    ["ridge-boots", "écru-mug", "old-lamp"]
        .map(|slug| {
            let path = format!("/api/products/{}", slug.replace('é', "%C3%A9"));
            let mut document = shop.request(Method::GET, &path).staff().send().json();
            for volatile in ["created_at", "updated_at"] {
                document.as_object_mut().unwrap().remove(volatile).unwrap();
            }
            document
        })
        .to_vec()
}

#[test]
fn an_export_is_an_import_in_every_format() {
    let shop = furnished();
    for (format, media_type, rows) in [("jsonl", JSONL, 3), ("json", "application/json", 3), ("csv", "text/csv", 4)] {
        let file = export(&shop, format);
        assert_eq!(file.status, StatusCode::OK);
        assert_eq!(file.header(header::CONTENT_DISPOSITION), format!("attachment; filename=\"catalog.{format}\""));
        // Into the shop it came from, where there is nothing to change ...
        assert_eq!(
            import(&shop, "", media_type, file.body.clone()).json(),
            report(rows, 0, 0, 3, &[]),
            "{}",
            file.text()
        );
        // ... and into an empty one, which then has the same products, categories and stock, and exports the same.
        let other = Shop::open();
        assert_eq!(import(&other, "", media_type, file.body.clone()).json(), report(rows, 3, 0, 0, &[]));
        assert_eq!(documents(&other), documents(&shop));
        assert_eq!(other.get("/api/categories").json(), shop.get("/api/categories").json());
        assert_eq!(export(&other, format).text(), file.text());
    }
}

#[test]
fn an_export_is_complete_however_long() {
    let shop = Shop::open();
    for count in [0, 1, 200, 401] {
        let lines: Vec<String> = (0..count)
            .map(|n| json!({"title": format!("P {n}"), "sku": format!("s{n}"), "price": 1}).to_string())
            .collect();
        import(&shop, "", JSONL, lines.join("\n"));
        let exported: Vec<Value> = serde_json::from_slice(&export(&shop, "json").body).unwrap();
        assert_eq!(exported.len(), count);
        assert_eq!(export(&shop, "jsonl").text().lines().count(), count);
        assert_eq!(export(&shop, "csv").text().lines().count(), count + 1);
    }
}

#[test]
fn bad_rows_are_told_and_good_ones_go_in() {
    let shop = furnished();
    let csv = "sku,title,price,stock,category\n\
        A-1,Alpha,1.00,5,New\n\
        A-2,,1.00,5,\n\
        A-3,Gamma,1.001,5,\n\
        A 4,Delta,1,5,Only here\n\
        A-5,Epsilon,,5,\n\
        A-6,Zeta,1\n\
        RB-42,,99.99,1,\n\
        A-8,Eta,1,many,\n\
        A-9,Theta,1,2,\n";
    assert_eq!(
        import(&shop, "", "text/csv; charset=utf-8", csv).json(),
        report(
            9,
            2,
            1,
            0,
            &[
                (3, "title: 1 to 200 characters"),
                (4, "price: \"1.001\" has more decimals than USD allows (2)"),
                (5, "variants[0].sku: a SKU is 1 to 64 visible ASCII characters without spaces, not \"A 4\""),
                (6, "price: the new variant \"A-5\" needs one"),
                (7, "3 cells under 5 column names"),
                (9, "stock: not a count"),
            ]
        )
    );
    assert_eq!(shop.get("/api/products/alpha").json()["categories"], json!(["new"]));
    let boots = shop.get("/api/products/ridge-boots").json();
    assert_eq!((&boots["variants"][0]["price"], &boots["variants"][0]["available"]), (&price(9999), &json!(1)));
    assert_eq!(boots["title"], "Ridge Boots");
    let categories = shop.get("/api/categories").text();
    assert!(!categories.contains("only-here"), "a category that only a bad row names is not made: {categories}");
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let shop = furnished();
    let before = export(&shop, "jsonl").text();
    let lines = "{\"title\": \"New\", \"sku\": \"N\", \"price\": 1, \"category\": \"New\", \"colour\": \"red\"}\n{\"sku\": \"RB-42\", \"price\": 1}\noops";
    let told = import(&shop, "?dry_run=true", JSONL, lines).json();
    let mut expected = report(3, 1, 1, 0, &[(3, "not a JSON object: expected value at line 1 column 1")]);
    (expected["dry_run"], expected["ignored_fields"]) = (json!(true), json!(["colour"]));
    assert_eq!(told, expected);
    assert_eq!(export(&shop, "jsonl").text(), before);
    assert!(!shop.get("/api/categories").text().contains("new"));
}

#[test]
fn rows_of_one_product_add_up() {
    let shop = Shop::open();
    let csv = "slug,title,sku,price,variant.size\nshirt,Shirt,S-S,20,S\nshirt,Shirt,S-M,21,M\nshirt,Shirt,S-S,19,\n";
    assert_eq!(import(&shop, "", "text/csv", csv).json(), report(3, 1, 0, 0, &[]));
    assert_eq!(
        shop.get("/api/products/shirt").json()["variants"],
        json!([
            {"sku": "S-S", "attributes": {"size": "S"}, "price": price(1900), "weight_g": 0, "available": 0},
            {"sku": "S-M", "attributes": {"size": "M"}, "price": price(2100), "weight_g": 0, "available": 0},
        ])
    );
}

#[test]
fn equal_titles_get_slugs_of_their_own_and_keys_of_others_stay_theirs() {
    let shop = furnished();
    let lines = [
        json!({"title": "Ridge Boots", "sku": "X-1", "price": 1}),
        json!({"title": "Ridge Boots", "sku": "X-2", "price": 1}),
        json!({"title": "!!!", "sku": "X-3", "price": 1}),
        json!({"title": "Thief", "slug": "ridge-boots", "sku": "M-1", "price": 1}),
        json!({"variants": [{"sku": "RB-42", "price": 1}, {"sku": "M-1", "price": 1}]}),
        json!({"sku": "L-1", "slug": "ridge-boots-x-1", "price": 1}),
    ];
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    let told = import(&shop, "", JSONL, lines.join("\n")).json();
    assert_eq!(
        told["errors"],
        json!([
            {"line": 4, "reason": "sku: \"M-1\" belongs to another product"},
            {"line": 5, "reason": "sku: \"M-1\" belongs to another product"},
            {"line": 6, "reason": "sku: \"L-1\" belongs to another product"},
        ])
    );
    for slug in ["ridge-boots-x-1", "ridge-boots-x-2", "product-x-3"] {
        assert_eq!(shop.get(&format!("/api/products/{slug}")).status, StatusCode::OK, "{slug}");
    }
}

#[test]
fn a_broken_stream_keeps_what_was_written() {
    let shop = Shop::open();
    let lines = |from: usize, to: usize| -> String {
        (from..to)
            .map(|n| {
                json!({"title": "P", "slug": format!("p-{n}"), "sku": format!("s{n}"), "price": 1}).to_string() + "\n"
            })
            .collect()
    };
    let pieces = vec![Ok(Bytes::from(lines(0, BATCH_RECORDS + 1))), Err(std::io::Error::other("cable cut"))];
    let broken = import(&shop, "", JSONL, Body::from_stream(stream::iter(pieces)));
    broken.is_problem(400, "broken-body", "the body broke off", json!({}));
    assert_eq!(export(&shop, "jsonl").text().lines().count(), BATCH_RECORDS);
    // Sending the file again finishes the work.
    let again = import(&shop, "", JSONL, lines(0, BATCH_RECORDS + 1)).json();
    assert_eq!(again, report(BATCH_RECORDS as u64 + 1, 1, 0, BATCH_RECORDS as u64, &[]));
}

#[test]
fn unusable_imports_are_refused() {
    let shop = Shop::open();
    import(&shop, "", "application/xml", "<a/>").is_problem(
        415,
        "unsupported-media-type",
        "the content type \"application/xml\" is not one of application/x-ndjson, application/json, text/csv",
        json!({}),
    );
    for (query, detail) in [
        ("?map=Name", "the query parameter \"map\" is unusable: \"Name\" is not theirs:ours"),
        ("?map=Name:tittle", "the query parameter \"map\" is unusable: there is no field \"tittle\""),
    ] {
        import(&shop, query, JSONL, "").is_problem(400, "bad-query", detail, json!({"parameter": "map"}));
    }
    assert_eq!(import(&shop, "?dryrun=true", JSONL, "").status, StatusCode::BAD_REQUEST);
    assert_eq!(export(&shop, "xml").status, StatusCode::BAD_REQUEST);
}

#[test]
fn the_demo_catalogue_goes_in() {
    let shop = Shop::open();
    let demo = include_str!("../../demo.jsonl");
    let told = import(&shop, "", JSONL, demo).json();
    assert_eq!(told, report(demo.lines().count() as u64, demo.lines().count() as u64, 0, 0, &[]));
    assert!(demo.lines().count() >= 24);
    let list = shop.get("/api/products?in_stock=true&facets=true").json();
    assert!(list["facets"]["categories"].as_array().unwrap().len() >= 6);
    assert!(list["facets"]["brands"].as_array().unwrap().len() >= 3);
}

/// A catalogue in a shape of somebody else's: ours, and a larger one that lies beside the checkout where it is at hand.
#[test]
fn a_foreign_catalogue_goes_in_by_a_mapping() {
    foreign_catalogue_goes_in(include_bytes!("foreign_catalogue.json"));
    let checkout = std::fs::canonicalize(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).unwrap();
    if let Ok(file) = std::fs::read(checkout.join("../shared/data/catalogs/eshop.json")) {
        foreign_catalogue_goes_in(&file);
    }
}

fn foreign_catalogue_goes_in(file: &[u8]) {
    let theirs: Vec<Value> = serde_json::from_slice(file).unwrap();
    let shop = Shop::open();
    let map = "?map=Id:sku,Type:category,Brand:brand,Name:title,Description:description,Price:price";
    let told = import(&shop, map, "application/json", file.to_vec()).json();
    assert_eq!(told, report(theirs.len() as u64, theirs.len() as u64, 0, 0, &[]));
    for their in &theirs {
        let variants = shop.get(&format!("/internal/variants?sku={}", their["Id"])).json();
        let variant = &variants["variants"][0];
        assert_eq!(variant["title"], their["Name"]);
        let cents = (their["Price"].as_f64().unwrap() * 100.0).round() as i64;
        assert_eq!(variant["price"], price(cents));
    }
    let total = |query: &str| {
        shop.get(&format!("/api/products?facets=true&{query}")).json()["facets"]["total"].as_u64().unwrap() as usize
    };
    let of_type = |kind: &str| theirs.iter().filter(|their| their["Type"] == kind).count();
    assert!(of_type("Footwear") > 1);
    assert_eq!(total("category=footwear"), of_type("Footwear"));
    assert!(total("q=hiking%20boots") > 0);
}
