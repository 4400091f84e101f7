//! The import of a large catalogue over HTTP, beside bare inserts of the same rows into the same schema.

use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

use anyhow::{Result, ensure};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::catalogue::{Catalogue, Product};
use crate::report::{Bar, Section, Table};
use crate::shop::copy_database;
use crate::statistics::Pairs;
use crate::{Bench, SKUS};

/// Rows of one transaction of the bare inserts.
const TRANSACTION_ROWS: usize = 10_000;
/// The tables that an import fills, and the rows of each that no trigger makes; terms are counted by a trigger.
const TABLES: [(&str, &str); 6] = [
    ("categories", "SELECT * FROM categories"),
    ("products", "SELECT * FROM products"),
    ("variants", "SELECT * FROM variants"),
    ("stock_adjustments", "SELECT * FROM stock_adjustments"),
    ("terms", "SELECT id, facet, value, 0 FROM terms WHERE id > 1"),
    ("product_terms", "SELECT * FROM product_terms"),
];
const INDEX: &str =
    "INSERT INTO product_search (rowid, title, brand, keywords, description) VALUES (?1, ?2, ?3, ?4, ?5)";

/// A statement and the parameters of all its rows.
struct Inserts {
    statement: String,
    rows: Vec<Vec<Value>>,
}

/// Measures both ways to fill an empty database.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let imported = Connection::open(stocked.shop.database())?;
    let (inserts, expected) = (inserts(&imported, &stocked.catalogue)?, contents(&imported)?);
    drop(imported);
    let empty = bench.shop("import-empty")?;
    empty.start()?.0.stop()?;

    let mut peaks_mib = Vec::new();
    let over_http = || {
        let shop = bench.shop("import-http")?;
        let (server, _) = shop.start()?;
        let elapsed = shop.import(&server, &stocked.rows, stocked.catalogue.products.len())?;
        peaks_mib.push(server.memory()?.peak_bytes as f64 / f64::from(1 << 20));
        server.stop()?;
        fs::remove_dir_all(bench.folder.path().join("import-http"))?;
        Ok(elapsed.as_secs_f64())
    };
    let bare = || {
        let database = bench.folder.path().join("import-bare.db");
        copy_database(&empty.database(), &database)?;
        let mut bare = Connection::open(&database)?;
        bare.pragma_update(None, "journal_mode", "WAL")?;
        bare.pragma_update(None, "synchronous", "FULL")?;
        let seconds = insert(&mut bare, &inserts)?;
        ensure!(contents(&bare)? == expected, "the rows differ from the shop's");
        Ok::<_, anyhow::Error>(seconds)
    };
    let pairs = Pairs::measure(bench.rounds, over_http, bare)?;

    let (ours, theirs, ratio) = (pairs.ours(|s| *s), pairs.theirs(|s| *s), pairs.ratio(|s| *s));
    let rate = |seconds: f64| format!("{:.0}", SKUS as f64 / seconds);
    Ok(Section {
        title: "Import",
        about: format!(
            "{SKUS} SKUs of {} products, {:.1} MiB of JSONL, over HTTP into an empty shop, beside inserts by rusqlite of the \
             rows that result (full-text index, triggers and indexes included, {TRANSACTION_ROWS} rows a transaction, \
             synchronous=FULL) into the same schema.\nThe host has {:.0} MiB resident at its peak.",
            stocked.catalogue.products.len(),
            fs::metadata(&stocked.rows)?.len() as f64 / f64::from(1 << 20),
            peaks_mib.iter().copied().fold(0.0, f64::max),
        ),
        table: Table {
            columns: vec!["", "bodega", "bare inserts", "ratio (lowest to highest round)"],
            rows: vec![
                vec!["seconds".to_owned(), format!("{ours:.2}"), format!("{theirs:.2}"), ratio.to_string()],
                vec!["SKUs/s".to_owned(), rate(ours), rate(theirs), String::new()],
            ],
        },
        details: Vec::new(),
        bars: vec![Bar::at_most(3.0, "x", format!("import of {SKUS} SKUs: time, bodega / bare inserts"), ratio.median)],
    })
}

fn inserts(database: &Connection, catalogue: &Catalogue) -> Result<Vec<Inserts>> {
    let mut inserts = Vec::new();
    for (table, select) in TABLES {
        let rows = read(database, select)?;
        let columns = database.prepare(select)?.column_count();
        let statement = format!("INSERT INTO {table} VALUES ({})", vec!["?"; columns].join(", "));
        inserts.push(Inserts { statement, rows });
    }
    // The full-text index keeps no copy of its texts. Products are numbered in the order of their import.
    let numbered = read(database, "SELECT seq, title, brand FROM products ORDER BY seq")?;
    let rows = numbered.into_iter().zip(&catalogue.products).map(|(mut row, product)| {
        ensure!(row[1] == Value::Text(product.title.clone()), "{} was imported out of order", product.title);
        row.extend([Value::Text(keywords(product)), Value::Text(product.description.clone())]);
        Ok(row)
    });
    inserts.push(Inserts { statement: INDEX.to_owned(), rows: rows.collect::<Result<_>>()? });
    Ok(inserts)
}

/// Words that find a product besides its texts, as the catalog indexes them.
pub(crate) fn keywords(product: &Product) -> String {
    let variants = product.variants.iter().flat_map(|variant| [&variant.sku, variant.color, variant.size]);
    let category = product.categories[1].to_lowercase();
    let words: BTreeSet<&str> = variants.chain([product.material, &category]).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// Inserts all, and tells the seconds from before the first to after the last commit.
fn insert(database: &mut Connection, inserts: &[Inserts]) -> Result<f64> {
    let begin = Instant::now();
    for Inserts { statement, rows } in inserts {
        for rows in rows.chunks(TRANSACTION_ROWS) {
            let transaction = database.transaction()?;
            let mut prepared = transaction.prepare_cached(statement)?;
            for row in rows {
                prepared.execute(params_from_iter(row))?;
            }
            drop(prepared);
            transaction.commit()?;
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// What tells whether two databases hold the same catalogue: rows of each table, counts of the terms, and the index.
fn contents(database: &Connection) -> Result<Vec<Vec<Value>>> {
    let counts = TABLES.iter().map(|(table, _)| format!("SELECT count(*) FROM {table}"));
    let terms = "SELECT sum(products) FROM terms".to_owned();
    let index = "SELECT count(*) FROM product_search WHERE product_search MATCH 'wool'".to_owned();
    counts.chain([terms, index]).map(|query| Ok(read(database, &query)?.remove(0))).collect()
}

fn read(database: &Connection, query: &str) -> Result<Vec<Vec<Value>>> {
    let mut statement = database.prepare(query)?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn bare_inserts_make_the_same_database() {
        let catalogue = Catalogue::generate(11, 600);
        let imported = fixture::filled(&catalogue);
        let mut bare = fixture::empty();
        insert(&mut bare, &inserts(&imported, &catalogue).unwrap()).unwrap();
        assert_eq!(contents(&bare).unwrap(), contents(&imported).unwrap());
        assert_eq!(read(&bare, "SELECT count(*) FROM variants").unwrap(), [[Value::Integer(600)]]);
        for (table, select) in TABLES {
            assert_eq!(read(&bare, select).unwrap(), read(&imported, select).unwrap(), "{table}");
        }
        let terms = "SELECT * FROM terms ORDER BY id";
        assert_eq!(read(&bare, terms).unwrap(), read(&imported, terms).unwrap());
    }

    #[test]
    fn products_that_were_imported_out_of_order_are_noticed() {
        let mut catalogue = Catalogue::generate(11, 60);
        let imported = fixture::filled(&catalogue);
        catalogue.products.swap(3, 4);
        assert!(inserts(&imported, &catalogue).is_err());
    }
}
