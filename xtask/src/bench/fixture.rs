//! The database of a catalogue as an import leaves it, for tests: the catalog's own schema, filled natively.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use serde_json::json;

use crate::catalogue::{CURRENCY, Catalogue, Product};
use crate::import::keywords;
use crate::search::price_range;

const SCHEMA: &str = include_str!("../../../components/catalog/src/schema.sql");

/// A database in memory with the schema and no rows.
pub(crate) fn empty() -> Connection {
    let database = Connection::open_in_memory().unwrap();
    for statement in SCHEMA.split("\n\n") {
        database.execute_batch(statement).unwrap_or_else(|error| panic!("{error} in {statement}"));
    }
    database
}

/// A database in memory with all products.
pub(crate) fn filled(catalogue: &Catalogue) -> Connection {
    let database = empty();
    database.execute_batch("BEGIN").unwrap();
    for (product, seq) in catalogue.products.iter().zip(1..) {
        insert(&database, seq, product).unwrap();
    }
    database.execute_batch("COMMIT").unwrap();
    database
}

fn insert(database: &Connection, seq: i64, product: &Product) -> rusqlite::Result<()> {
    let execute = |sql: &str, params: &[&dyn rusqlite::ToSql]| database.prepare_cached(sql)?.execute(params);
    let variants: Vec<_> = product.variants.iter().map(|_| json!({ "available": 0 })).collect();
    let document = json!({ "available": 0, "description": product.description, "variants": variants }).to_string();
    let zeros = document.match_indices("\"available\":0").map(|(start, found)| (start + found.len() - 1).to_string());
    let count_places = zeros.collect::<Vec<_>>().join(",");
    execute(
        "INSERT INTO products (seq, id, slug, price, currency, in_stock, title, brand, count_places, document)
         VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            seq,
            format!("product-{seq:06}"),
            product.price_minor() as i64,
            CURRENCY,
            product.is_in_stock(),
            product.title,
            product.brand,
            count_places,
            document
        ],
    )?;
    for (variant, position) in product.variants.iter().zip(0_i64..) {
        execute(
            "INSERT INTO variants (product, position, sku, price, on_hand) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![seq, position, variant.sku, variant.price_minor as i64, variant.stock as i64],
        )?;
    }
    for (facet, value) in terms(product) {
        execute("INSERT INTO terms (facet, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING", &[&facet, &value])?;
        execute(
            "INSERT INTO product_terms (term, product) SELECT id, ?3 FROM terms WHERE facet = ?1 AND value = ?2",
            params![facet, value, seq],
        )?;
    }
    execute(
        "INSERT INTO product_search (rowid, title, brand, keywords, description) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![seq, product.title, product.brand, keywords(product), product.description],
    )?;
    Ok(())
}

fn terms(product: &Product) -> BTreeSet<(&'static str, String)> {
    let mut terms = BTreeSet::from(product.categories.map(|name| ("category", name.to_lowercase())));
    terms.insert(("brand", product.brand.to_owned()));
    terms.insert(("price", price_range(product.price_minor()).to_string()));
    terms.insert(("attr.material", product.material.to_owned()));
    for variant in &product.variants {
        terms.insert(("attr.color", variant.color.to_owned()));
        terms.insert(("attr.size", variant.size.to_owned()));
    }
    if product.is_in_stock() {
        terms.insert(("in_stock", "true".to_owned()));
    }
    terms
}
