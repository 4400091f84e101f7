//! Categories: reading the tree, adding, changing and moving.

use service::Error;
use sql::{Database, Row, Transaction, Value};

use super::save::intern;
use crate::category::{Category, Taxonomy};
use crate::terms::CATEGORY;

const ALL: &str = "
    SELECT c.slug, c.name, c.parent, c.position, c.version, coalesce(t.products, 0)
    FROM categories AS c LEFT JOIN terms AS t ON t.facet = 'category' AND t.value = c.slug";

/// The tree with its counts.
pub(crate) async fn all(database: &Database) -> Result<Taxonomy, Error> {
    taxonomy(database.execute(ALL, &[]).await?)
}

/// The tree as a transaction sees it.
pub(crate) async fn load(transaction: &Transaction) -> Result<Taxonomy, Error> {
    taxonomy(transaction.execute(ALL, &[]).await?)
}

fn taxonomy(rows: Vec<Row>) -> Result<Taxonomy, Error> {
    let category = |mut row: Row| {
        Ok(Category {
            slug: row.take(0)?,
            name: row.take(1)?,
            parent: row.take(2)?,
            position: row.take::<i64>(3)?.try_into().unwrap_or_default(),
            version: row.take(4)?,
            products: row.take(5)?,
        })
    };
    let categories: Result<Vec<Category>, Error> = rows.into_iter().map(category).collect();
    Ok(Taxonomy::new(categories?))
}

/// Adds categories, with the terms that count their products.
pub(crate) async fn add(transaction: &Transaction, categories: &[Category]) -> Result<(), Error> {
    let row = |category: &Category| {
        [
            category.slug.as_str().into(),
            category.name.as_str().into(),
            category.parent.as_str().into(),
            category.position.into(),
        ]
    };
    transaction.insert("INSERT INTO categories (slug, name, parent, position)", categories.iter().map(row), "").await?;
    intern(transaction, categories.iter().map(|category| (CATEGORY.to_owned(), category.slug.clone()))).await?;
    Ok(())
}

/// Changes a category; if it moves, the products below it change their ancestors with it.
pub(crate) async fn update(transaction: &Transaction, category: &Category, moved: bool) -> Result<(), Error> {
    const UPDATE: &str =
        "UPDATE categories SET name = ?2, parent = ?3, position = ?4, version = version + 1 WHERE slug = ?1";
    let params = [
        category.slug.as_str().into(),
        category.name.as_str().into(),
        category.parent.as_str().into(),
        category.position.into(),
    ];
    transaction.execute(UPDATE, &params).await?;
    if moved {
        let slug = [Value::from(category.slug.as_str())];
        // First what is gained, then what is lost: the moved category itself is neither, so that both
        // statements find the same products by it.
        transaction.execute(&format!("{LINEAGES} {GAIN}"), &slug).await?;
        transaction.execute(&format!("{LINEAGES} {LOSE}"), &slug).await?;
    }
    Ok(())
}

/// `due` is every pair of term and product that should be, for the products below the moved category.
const LINEAGES: &str = "
    WITH RECURSIVE moved (product) AS (
        SELECT product FROM product_terms
        WHERE term = (SELECT id FROM terms WHERE facet = 'category' AND value = ?1)
    ),
    lineage (slug, ancestor) AS (
        SELECT slug, slug FROM categories
        UNION
        SELECT lineage.slug, categories.parent FROM lineage
        JOIN categories ON categories.slug = lineage.ancestor WHERE categories.parent <> ''
    ),
    due (term, product) AS (
        SELECT terms.id, moved.product FROM moved
        JOIN products ON products.seq = moved.product
        JOIN json_each(products.document, '$.categories') AS own
        JOIN lineage ON lineage.slug = own.value
        JOIN terms ON terms.facet = 'category' AND terms.value = lineage.ancestor
    )";

const GAIN: &str = "INSERT OR IGNORE INTO product_terms (term, product) SELECT term, product FROM due";

const LOSE: &str = "
    DELETE FROM product_terms
    WHERE product IN (SELECT product FROM moved)
        AND term IN (SELECT id FROM terms WHERE facet = 'category')
        AND (term, product) NOT IN (SELECT term, product FROM due)";
