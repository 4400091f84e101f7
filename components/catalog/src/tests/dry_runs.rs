//! A dry run tells what the import would, however far apart in the file the rows of a product are.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::shop::Shop;
use super::transfer::{JSONL, import};
use crate::import::BATCH_RECORDS;
use crate::product::{DESCRIPTION_CHARS_MAX, VARIANTS_MAX};

/// Rows of no product that matters, as many as keep what stands before and after them in different batches.
fn filler() -> String {
    let row = |n| json!({"title": "Filler", "slug": format!("filler-{n}"), "sku": format!("f{n}"), "price": 1});
    lines((0..BATCH_RECORDS).map(row))
}

fn lines(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

/// What a dry run tells, which must be what the import then tells.
#[track_caller]
fn told(shop: &Shop, file: &str) -> Value {
    let mut rehearsed = import(shop, "?dry_run=true", JSONL, file.to_owned()).json();
    assert_eq!(rehearsed["dry_run"], true, "{rehearsed}");
    rehearsed["dry_run"] = json!(false);
    assert_eq!(rehearsed, import(shop, "", JSONL, file.to_owned()).json());
    rehearsed
}

#[test]
fn a_key_that_an_earlier_batch_took_is_taken() {
    let shop = Shop::open();
    let before = [
        json!({"title": "Mug", "slug": "mug", "sku": "m", "price": 1}),
        json!({"title": "Cup", "slug": "cup", "sku": "c", "price": 1}),
    ];
    let after = [
        json!({"slug": "cup", "sku": "m", "price": 1}),
        json!({"slug": "mug", "sku": "c", "price": 1}),
        // A product of that title is there, so that this one gets another slug.
        json!({"title": "Mug", "sku": "m-2", "price": 1}),
        json!({"title": "Red mug", "slug": "mug-m-2", "sku": "m-2", "price": 1}),
    ];
    let told = told(&shop, &(lines(before) + &filler() + &lines(after)));
    let line = BATCH_RECORDS + 3;
    assert_eq!(
        told["errors"],
        json!([
            {"line": line, "reason": "sku: \"m\" belongs to another product"},
            {"line": line + 1, "reason": "sku: \"c\" belongs to another product"},
        ])
    );
    assert_eq!(told["imported"], BATCH_RECORDS + 3);
}

#[test]
fn rows_of_a_product_add_up_over_batches() {
    let shop = Shop::open();
    import(&shop, "", JSONL, json!({"title": "Old", "slug": "old", "sku": "o", "price": 1}).to_string());
    let before = [
        json!({"slug": "shirt", "title": "Shirt", "sku": "S", "price": 1, "category": "New/Shirts"}),
        json!({"slug": "older", "sku": "o", "stock": 4}),
    ];
    let after = [
        json!({"slug": "shirt", "sku": "M", "price": 1, "category": "New/Shirts"}),
        json!({"slug": "shirt", "sku": "L"}),
        json!({"sku": "S", "price": 1}),
        json!({"slug": "older", "brand": "Tarn"}),
        // The slug that was given up.
        json!({"slug": "old", "title": "New", "sku": "n", "price": 1, "category": "New"}),
    ];
    let filler_count = BATCH_RECORDS as u64;
    let found = told(&shop, &(lines(before) + &filler() + &lines(after)));
    assert_eq!(found["imported"], filler_count + 2);
    assert_eq!(found["updated"], 3);
    assert_eq!(found["errors"][0]["reason"], "price: the new variant \"L\" needs one");
    // Once more, to see that what is there already is told as unchanged.
    let found = told(&shop, &(filler() + &filler()));
    assert_eq!(found["unchanged"], 2 * filler_count);
}

#[test]
fn what_a_product_may_have_is_counted_over_batches() {
    let shop = Shop::open();
    let row = |n| json!({"slug": "shirt", "title": "Shirt", "sku": format!("s{n}"), "price": 1});
    let many = lines((0..VARIANTS_MAX).map(row));
    let told = told(&shop, &(many + &filler() + &lines([row(0), row(VARIANTS_MAX)])));
    assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["errors"][0]["line"], VARIANTS_MAX + BATCH_RECORDS + 2);
}

#[test]
fn what_a_dry_run_keeps_is_bounded_and_it_says_so() {
    let shop = Shop::open();
    let description = "x".repeat(DESCRIPTION_CHARS_MAX);
    let row = |n| json!({"title": "P", "slug": format!("p-{n}"), "sku": format!("s{n}"), "price": 1, "description": description});
    let rehearse = |count| import(&shop, "?dry_run=true", JSONL, lines((0..count).map(row))).json();
    assert_eq!(rehearse(BATCH_RECORDS)["forgotten"], 0);
    let told = rehearse(4 * BATCH_RECORDS);
    let forgotten = told["forgotten"].as_u64().unwrap();
    assert!((1..2 * BATCH_RECORDS as u64).contains(&forgotten), "{told}");
    assert_eq!((&told["imported"], &told["failed"]), (&json!(4 * BATCH_RECORDS), &json!(0)));

    let row = |price| json!({"title": "P", "slug": "p", "sku": "s", "price": price});
    let told = import(&shop, "?dry_run=true", JSONL, lines((1..=3 * BATCH_RECORDS).map(row))).json();
    assert_eq!((&told["updated"], &told["forgotten"]), (&json!(2), &json!(BATCH_RECORDS)));
}

/// Rows that often are about the same product, and often collide.
fn row() -> impl Strategy<Value = Value> {
    let key = |prefix: &'static str| (0..24u8).prop_map(move |n| format!("{prefix}{n}"));
    let slug = prop::option::weighted(0.5, key("slug-"));
    let title = prop::option::weighted(0.7, key("Title "));
    let skus = prop::collection::btree_set(key("sku-"), 0..3);
    let category = prop::option::weighted(0.3, key("Kind/").prop_map(|path| path.replace('3', "/")));
    (slug, title, skus, category, 0..3u32).prop_map(|(slug, title, skus, category, amount)| {
        let variant = |sku| match amount {
            0 => json!({"sku": sku, "stock": 1}),
            price => json!({"sku": sku, "price": price}),
        };
        let variants: Vec<Value> = skus.into_iter().map(variant).collect();
        json!({"slug": slug, "title": title, "category": category, "variants": variants})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_dry_run_tells_what_the_import_does(
        first in prop::collection::vec(row(), 0..40),
        rows in prop::collection::vec(row(), 2 * BATCH_RECORDS..3 * BATCH_RECORDS),
    ) {
        let shop = Shop::open();
        import(&shop, "", JSONL, lines(first));
        told(&shop, &lines(rows));
    }
}
