//! Reading products.

use std::collections::BTreeMap;

use commerce::Id;
use serde::de::Error as _;
use service::Error;
use sql::{Database, Transaction, Value};

use super::json_list;
use crate::counts::fill;
use crate::product::{Document, Product, Stock};

/// A product's public document as it is sent.
pub(crate) struct Found {
    pub(crate) seq: i64,
    pub(crate) document: String,
    pub(crate) etag: String,
    pub(crate) archived: bool,
}

/// A product that is about to be changed.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) seq: i64,
    pub(crate) version: i64,
    pub(crate) product: Product,
}

/// Selects the one product with this key, with the stock of its variants as `<moves>,<units>,<units>...`.
macro_rules! select_shown {
    ($key:literal) => {
        concat!(
            "SELECT document, count_places, archived, version, (
                SELECT sum(moves) || ',' || group_concat(units)
                FROM (SELECT moves, on_hand - reserved AS units FROM variants WHERE product = seq ORDER BY position)
            ), seq FROM products WHERE ",
            $key,
            " = ?1"
        )
    };
}

const BY_ID: &str = select_shown!("id");
const BY_SLUG: &str = select_shown!("slug");

/// The document by id or slug; one statement, one row.
pub(crate) fn document(database: &Database, key: &str) -> Result<Found, Error> {
    let rows = match key.parse::<Id>() {
        Ok(id) => database.read(BY_ID, &[id.to_string().into()]),
        Err(_) => database.read(BY_SLUG, &[key.into()]),
    }?;
    found(rows, key)
}

/// The document within a transaction, by id.
pub(crate) async fn document_of(transaction: &Transaction, id: Id) -> Result<Found, Error> {
    let id = id.to_string();
    let rows = transaction.execute(BY_ID, &[id.as_str().into()]).await?;
    found(rows, &id)
}

fn found(rows: Vec<sql::Row>, key: &str) -> Result<Found, Error> {
    let not_found = || Error::NotFound { what: "product", key: key.to_owned() };
    let mut row = rows.into_iter().next().ok_or_else(not_found)?;
    let (document, places): (String, String) = (row.take(0)?, row.take(1)?);
    let stock: String = row.take(4)?;
    let (moves, units) = stock.split_once(',').unwrap_or_default();
    let document = fill(&document, &places, units).ok_or_else(|| {
        serde_json::Error::custom(format_args!("the counts of {key:?} are {units:?} and belong to {places:?}"))
    })?;
    let etag = format!("\"{}-{moves}\"", row.take::<i64>(3)?);
    Ok(Found { document, etag, archived: row.take(2)?, seq: row.take(5)? })
}

/// Which products to load: every one that any of these keys names.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) ids: Vec<String>,
    pub(crate) slugs: Vec<String>,
    pub(crate) skus: Vec<String>,
}

/// Loads products for a change, with the stock of their variants.
pub(crate) async fn load(transaction: &Transaction, keys: &Keys) -> Result<Vec<Loaded>, Error> {
    const LOAD: &str = "
        SELECT seq, version, document, (
            SELECT json_group_object(sku, json_object('on_hand', on_hand, 'reserved', reserved))
            FROM variants WHERE product = seq
        )
        FROM products WHERE seq IN (
            SELECT seq FROM products WHERE id IN (SELECT value FROM json_each(?1))
            UNION SELECT seq FROM products WHERE slug IN (SELECT value FROM json_each(?2))
            UNION SELECT product FROM variants WHERE sku IN (SELECT value FROM json_each(?3))
        )";
    let params = [json_list(&keys.ids), json_list(&keys.slugs), json_list(&keys.skus)];
    transaction.execute(LOAD, &params).await?.into_iter().map(loaded).collect()
}

/// Loads the one product of an id or slug.
pub(crate) async fn load_one(transaction: &Transaction, key: &str) -> Result<Loaded, Error> {
    let keys = match key.parse::<Id>() {
        Ok(id) => Keys { ids: vec![id.to_string()], ..Keys::default() },
        Err(_) => Keys { slugs: vec![key.to_owned()], ..Keys::default() },
    };
    let loaded = load(transaction, &keys).await?.pop();
    loaded.ok_or_else(|| Error::NotFound { what: "product", key: key.to_owned() })
}

/// The next products in the order of their making, for an export.
pub(crate) async fn batch(database: &Database, after_seq: i64, count: u32) -> Result<Vec<Loaded>, Error> {
    const BATCH: &str = "
        SELECT seq, version, document, (
            SELECT json_group_object(sku, json_object('on_hand', on_hand, 'reserved', reserved))
            FROM variants WHERE product = seq
        )
        FROM products WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let params = [Value::Integer(after_seq), count.into()];
    database.execute(BATCH, &params).await?.into_iter().map(loaded).collect()
}

/// The names of all attributes of products and variants. It looks at every document.
pub(crate) async fn attribute_names(database: &Database) -> Result<Vec<String>, Error> {
    const NAMES: &str = "
        SELECT own.key FROM products, json_each(document, '$.attributes') AS own
        UNION
        SELECT own.key FROM products, json_each(document, '$.variants') AS variant,
            json_each(variant.value, '$.attributes') AS own
        ORDER BY 1";
    database.execute(NAMES, &[]).await?.into_iter().map(|mut row| Ok(row.take(0)?)).collect()
}

fn loaded(mut row: sql::Row) -> Result<Loaded, Error> {
    let document: Document = serde_json::from_str(&row.take::<String>(2)?)?;
    let stock: BTreeMap<String, Stock> = serde_json::from_str(&row.take::<String>(3)?)?;
    Ok(Loaded { seq: row.take(0)?, version: row.take(1)?, product: document.into_product(&stock) })
}

/// What cart and orders need of variants, as a JSON list in the order of the SKUs; unknown ones are left out.
pub(crate) fn variants(database: &Database, skus: &[String]) -> Result<String, Error> {
    const VARIANTS: &str = "
        SELECT json_group_array(json_object(
            'sku', v.sku, 'product_id', p.id, 'slug', p.slug, 'title', p.title, 'image', p.image,
            'attributes', json(p.document -> ('$.variants[' || v.position || '].attributes')),
            'price', json_object('amount', v.price, 'currency', p.currency),
            'available', v.on_hand - v.reserved,
            'categories', json((
                WITH RECURSIVE branch (path, parent) AS (
                    SELECT own.slug, own.parent FROM json_each(p.document, '$.categories') AS named
                    CROSS JOIN categories AS own ON own.slug = named.value
                    UNION ALL
                    SELECT above.slug || '/' || path, above.parent FROM branch
                    CROSS JOIN categories AS above ON above.slug = branch.parent
                )
                SELECT json_group_array(path ORDER BY path) FROM branch WHERE parent = ''
            )),
            'tax_class', p.document ->> '$.tax_class',
            'weight_g', p.document ->> ('$.variants[' || v.position || '].weight_g'),
            'archived', json(iif(p.archived, 'true', 'false'))
        ) ORDER BY wanted.key)
        FROM json_each(?1) AS wanted
        CROSS JOIN variants AS v ON v.sku = wanted.value
        CROSS JOIN products AS p ON p.seq = v.product";
    let rows = database.read(VARIANTS, &[json_list(skus)])?;
    Ok(rows.into_iter().next().map_or(Ok("[]".to_owned()), |mut row| row.take(0))?)
}
