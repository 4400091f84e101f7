//! The catalogue through the gateway: search, facets, staff changes, imports, and the last unit in stock.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::host::Host;
use tests::programs;
use tests::shop::{Shop, json_of};
use tests::tokens::TokenIssuer;

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_found_by_words_and_by_id() {
    let shop = Shop::start().await.with_products(12).await;
    let page = shop.host.json("/api/products?q=product&limit=5").await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(5), "{page}");
    let cursor = page["next_cursor"].as_str().expect("a second page");
    let next = shop.host.json(&format!("/api/products?q=product&limit=50&cursor={cursor}")).await;
    assert_eq!(next["items"].as_array().map(Vec::len), Some(7), "{next}");
    assert_eq!(next["next_cursor"], Value::Null);

    let id = page["items"][0]["id"].as_str().expect("an id");
    let answer = shop.host.get(&format!("/api/products/{id}")).await;
    let tag = answer.headers()["etag"].clone();
    assert_eq!(answer.json::<Value>().await.expect("JSON")["id"], id);
    let again = shop.host.request(&format!("/api/products/{id}")).header("if-none-match", tag);
    assert_eq!(again.send().await.expect("an answer").status(), 304);
    assert_eq!(shop.host.get("/api/products/absent").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_staff_may_import() {
    let shop = Shop::start().await;
    let import = || shop.host.post("/api/catalog/import").header("content-type", "text/csv").body("sku,title\n");
    assert_eq!(import().send().await.expect("an answer").status(), 401);
    let customer = import().bearer_auth(shop.issuer.access_token("customer"));
    assert_eq!(customer.send().await.expect("an answer").status(), 403);
    let stranger = import().bearer_auth(TokenIssuer::new().access_token("staff"));
    assert_eq!(stranger.send().await.expect("an answer").status(), 401);
    let unsigned = shop.issuer.token(&json!({ "alg": "none", "typ": "JWT" }), &TokenIssuer::claims("staff"));
    let answer = import().bearer_auth(unsigned).send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert!(answer.headers().contains_key("www-authenticate"));
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
}

/// A catalogue in a shape of somebody else's: ours, and a larger one that lies beside the checkout where it is at hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_in_a_foreign_shape_is_imported_and_searched() {
    let repository = programs::repository();
    foreign_catalogue_is_imported(&repository.join("components/catalog/src/tests/foreign_catalogue.json")).await;
    let other = repository.join("../shared/data/catalogs/eshop.json");
    match other.exists() {
        true => assert_eq!(foreign_catalogue_is_imported(&other).await, 101),
        false => eprintln!("skipped: {} is not here", other.display()),
    }
}

/// The number of products in it.
async fn foreign_catalogue_is_imported(file: &Path) -> usize {
    let text = fs::read_to_string(file).expect("the catalogue is readable");
    let products: Vec<Value> = serde_json::from_str(&text).expect("a JSON array");
    let host = Shop::host_with_its_own_keys(|app| app).await;
    let map = "Id:sku,Name:title,Description:description,Brand:brand,Type:category,Price:price";
    let file = file.to_str().expect("UTF-8");
    let counts = format!("imported {}, updated 0, unchanged 0, failed 0\n", products.len());
    assert_eq!(run(&host, &["import", file, "--map", map, "--dry-run"]).await, counts);
    assert_eq!(host.json("/api/products").await["items"], json!([]), "a dry run changes nothing");
    assert_eq!(run(&host, &["import", file, "--map", map]).await, counts);
    let counts = format!("imported 0, updated 0, unchanged {}, failed 0\n", products.len());
    assert_eq!(run(&host, &["import", file, "--map", map]).await, counts);

    let page = host.json("/api/products?facets=true&limit=1").await;
    let facet = page["facets"]["brands"].as_array().expect("a facet of brands");
    let found: BTreeMap<&str, u64> =
        facet.iter().map(|brand| (text_of(&brand["value"]), brand["count"].as_u64().expect("a count"))).collect();
    let mut expected = BTreeMap::new();
    for product in &products {
        *expected.entry(text_of(&product["Brand"])).or_default() += 1;
    }
    assert_eq!(found, expected);

    let wanted = text_of(&products[0]["Name"]);
    let search = host.request("/api/products").query(&[("q", wanted), ("limit", "1")]).send().await;
    let found = json_of(search.expect("an answer"), 200).await;
    assert_eq!(found["items"][0]["title"], wanted, "{found}");

    let export = host.folder().join("export.jsonl");
    run(&host, &["export", export.to_str().expect("UTF-8")]).await;
    let lines = fs::read_to_string(&export).expect("the export is there").lines().count();
    assert_eq!(lines, products.len());
    lines
}

/// Runs a command of the host against the running `host`, which must succeed; returns what it printed.
async fn run(host: &Host, arguments: &[&str]) -> String {
    let state = host.app().state_dir();
    let arguments = [arguments, &["--state-dir", state.to_str().expect("UTF-8")]].concat();
    let output = host.app().command(&arguments).await.expect("the host's binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_are_reported_by_line_while_good_ones_go_in() {
    let shop = Shop::start().await;
    let rows = "sku,title,price,currency,stock\nA,Apple,1.20,USD,5\nB,Bread,cheap,USD,5\nC,Cheese,4.00,USD,2\n";
    let report = shop.import("?dry_run=true", "text/csv", rows).await;
    assert_eq!(report["failed"], 1, "{report}");
    assert_eq!(shop.host.json("/api/products").await["items"], json!([]), "a dry run changes nothing");

    let report = shop.import("", "text/csv", rows).await;
    assert_eq!((&report["imported"], &report["failed"]), (&json!(2), &json!(1)), "{report}");
    assert_eq!(report["errors"][0]["line"], 3, "{report}");
    assert_eq!(shop.host.json("/api/products").await["items"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_an_import() {
    let shop = Shop::start().await.with_products(5).await;
    let export = shop.staff(shop.host.request("/api/catalog/export?format=jsonl")).send().await;
    let exported = export.expect("an answer").text().await.expect("the body is complete");
    assert_eq!(exported.lines().count(), 5, "{exported}");

    let copy = Shop::start().await;
    let report = copy.import("", "application/jsonl", exported.clone()).await;
    assert_eq!(report["imported"], 5, "{report}");
    let export = copy.staff(copy.host.request("/api/catalog/export?format=jsonl")).send().await;
    assert_eq!(export.expect("an answer").text().await.expect("the body is complete"), exported);
}

#[tokio::test(flavor = "multi_thread")]
async fn internal_routes_are_not_public() {
    let shop = Shop::start().await.with_products(1).await;
    let reserve = shop.host.post("/internal/reservations").json(&json!({
        "order_id": "01890000-0000-7000-8000-000000000001", "lines": [{ "sku": "P-1", "quantity": 1 }],
    }));
    assert_eq!(reserve.send().await.expect("an answer").status(), 404);
    assert_eq!(shop.host.get("/internal/variants?sku=P-1").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_units_go_to_exactly_as_many_buyers() {
    const BUYERS: u32 = 64;
    const STOCK: usize = 10;
    let shop = Shop::start_with_internal_routes().await.with_products(1).await;
    let buy = |buyer: u32| {
        let order = format!("01890000-0000-7000-8000-{buyer:012}");
        let lines = json!([{ "sku": "P-1", "quantity": 1 }]);
        let body = json!({ "order_id": order, "lines": lines, "expires_in_s": 60 });
        shop.host.post("/internal/reservations").json(&body).send()
    };
    let answers = join_all((0..BUYERS).map(buy)).await;
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()).collect();
    let won = statuses.iter().filter(|status| (200..300).contains(*status)).count();
    let lost = statuses.iter().filter(|status| **status == 409).count();
    assert_eq!((won, lost), (STOCK, BUYERS as usize - STOCK), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coupon_is_used_as_often_as_it_may_be() {
    const ORDERS: u32 = 32;
    const USES: usize = 5;
    let shop = Shop::start_with_internal_routes().await;
    let promotion = json!({
        "title": "Opening week", "coupon": "OPEN", "reward": { "kind": "percentage", "basis_points": 1_000 },
        "usage_max": USES,
    });
    let made = shop.staff(shop.host.post("/api/promotions")).json(&promotion).send().await.expect("an answer");
    let id = json_of(made, 201).await["id"].clone();
    let redeem = |order: u32| {
        let body = json!({ "order_id": format!("o-{order}"), "coupons": ["open"] });
        shop.host.post("/internal/redemptions").json(&body).send()
    };
    let answers = join_all((0..ORDERS).map(redeem)).await;
    let statuses: Vec<u16> = answers.into_iter().map(|answer| answer.expect("an answer").status().as_u16()).collect();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(200), count(409)), (USES, ORDERS as usize - USES), "{statuses:?}");

    let shown = shop.staff(shop.host.request(&format!("/api/promotions/{}", text_of(&id)))).send().await;
    assert_eq!(json_of(shown.expect("an answer"), 200).await["used"], USES);
    let rules = shop.host.json("/internal/pricing-rules").await;
    assert_eq!(rules["promotions"], json!([]), "what is used up is offered no more");
}
