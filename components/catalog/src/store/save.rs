//! Writing products: one way for one product and for a thousand, in few statements for all of them together.

use std::collections::{BTreeMap, BTreeSet};

use service::Error;
use sql::{Transaction, Value};

use super::json_list;
use super::products::Loaded;
use super::stock::{Cause, Moved, audit};
use crate::category::Taxonomy;
use crate::counts::places;
use crate::error::Refusal;
use crate::product::{Product, Variant};
use crate::terms::{Term, terms};

/// A product with its new content, and what it was before (nothing for a new one).
pub(crate) struct Edited {
    pub(crate) before: Option<Loaded>,
    pub(crate) product: Product,
}

/// Writes the products. The caller has checked that slugs and SKUs are free and that the categories exist.
pub(crate) async fn save(
    transaction: &Transaction,
    edited: &[Edited],
    taxonomy: &Taxonomy,
    cause: &Cause<'_>,
) -> Result<(), Error> {
    let numbered = number(transaction, edited).await?;
    remove_variants(transaction, edited).await?;
    transaction.insert(VARIANT_HEAD, variant_rows(&numbered), "").await?;
    audit(transaction, edited.iter().flat_map(counted).collect(), cause).await?;
    transaction.insert(PRODUCT_HEAD, product_rows(&numbered), PRODUCT_TAIL).await?;
    save_terms(transaction, &numbered, taxonomy).await?;
    index(transaction, &numbered).await
}

type Numbered<'a> = Vec<(i64, &'a Edited)>;

/// New products get the next numbers; the write lock keeps them ours.
async fn number<'a>(transaction: &Transaction, edited: &'a [Edited]) -> Result<Numbered<'a>, Error> {
    let rows = transaction.execute("SELECT coalesce(max(seq), 0) FROM products", &[]).await?;
    let mut last: i64 = rows.into_iter().next().map_or(Ok(0), |mut row| row.take(0))?;
    let numbered = edited.iter().map(|edited| match &edited.before {
        Some(before) => (before.seq, edited),
        None => {
            last += 1;
            (last, edited)
        }
    });
    Ok(numbered.collect())
}

/// Clears the variants of products that were there before. All that stay are written again: they may have changed
/// places with each other.
async fn remove_variants(transaction: &Transaction, edited: &[Edited]) -> Result<(), Error> {
    let mut rewritten = Vec::new();
    for edited in edited {
        let Some(before) = &edited.before else { continue };
        let kept: BTreeSet<_> = edited.product.variants.iter().map(|variant| &variant.sku).collect();
        let gone = |variant: &&Variant| !kept.contains(&variant.sku);
        if let Some(variant) = before.product.variants.iter().filter(gone).find(|variant| variant.stock.reserved > 0) {
            return Err(Refusal::Reserved(variant.sku.as_str().to_owned()).into());
        }
        rewritten.push(before.seq);
    }
    if !rewritten.is_empty() {
        const DELETE: &str = "DELETE FROM variants WHERE product IN (SELECT value FROM json_each(?1))";
        transaction.execute(DELETE, &[json_list(&rewritten)]).await?;
    }
    Ok(())
}

const VARIANT_HEAD: &str = "INSERT INTO variants (product, position, sku, price, archived, on_hand, reserved)";

fn variant_rows(numbered: &Numbered<'_>) -> impl Iterator<Item = [Value; 7]> {
    numbered.iter().flat_map(|(seq, edited)| {
        edited.product.variants.iter().zip(0_i64..).map(|(variant, position)| {
            [
                (*seq).into(),
                position.into(),
                variant.sku.as_str().into(),
                variant.price.minor().into(),
                Value::Integer(edited.product.archived.into()),
                variant.stock.on_hand.into(),
                variant.stock.reserved.into(),
            ]
        })
    })
}

/// The stocks that were counted anew, and those that left the catalogue with their variants.
fn counted(edited: &Edited) -> impl Iterator<Item = Moved<'_>> {
    let before = edited.before.iter().flat_map(|before| &before.product.variants);
    let mut before: BTreeMap<_, u32> = before.map(|variant| (&variant.sku, variant.stock.on_hand)).collect();
    let mut moved = Vec::new();
    for variant in &edited.product.variants {
        let on_hand = variant.stock.on_hand;
        let delta = i64::from(on_hand) - i64::from(before.remove(&variant.sku).unwrap_or_default());
        moved.push(Moved { sku: variant.sku.as_str(), delta, on_hand });
    }
    let gone = before.into_iter();
    moved.extend(gone.map(|(sku, on_hand)| Moved { sku: sku.as_str(), delta: -i64::from(on_hand), on_hand: 0 }));
    moved.into_iter().filter(|moved| moved.delta != 0)
}

const PRODUCT_HEAD: &str = "INSERT INTO products
    (seq, id, slug, archived, price, currency, in_stock, title, brand, image, count_places, document)";
const PRODUCT_TAIL: &str = "ON CONFLICT (seq) DO UPDATE SET
    version = version + 1, slug = excluded.slug, archived = excluded.archived, price = excluded.price,
    currency = excluded.currency, in_stock = excluded.in_stock, title = excluded.title,
    brand = excluded.brand, image = excluded.image, count_places = excluded.count_places, document = excluded.document";

fn product_rows(numbered: &Numbered<'_>) -> impl Iterator<Item = [Value; 12]> {
    numbered.iter().map(|(seq, edited)| {
        let product = &edited.product;
        #[expect(clippy::expect_used, reason = "only a map with keys that are no text could fail")]
        let document = serde_json::to_string(&product.to_document()).expect("a document is JSON");
        // A product without variants does not pass validation; such a one would sort as free.
        let (price, currency) = product.price().map_or((0, ""), |price| (price.minor(), price.currency().code()));
        [
            (*seq).into(),
            product.id.to_string().into(),
            product.slug.as_str().into(),
            Value::Integer(product.archived.into()),
            price.into(),
            currency.into(),
            Value::Integer(product.in_stock().into()),
            product.title.as_str().into(),
            product.brand.clone().into(),
            product.images.first().cloned().into(),
            places(&document).into(),
            document.into(),
        ]
    })
}

/// Moves only the terms that differ, so that a changed description touches none.
async fn save_terms(transaction: &Transaction, numbered: &Numbered<'_>, taxonomy: &Taxonomy) -> Result<(), Error> {
    let (mut gained, mut lost) = (Vec::new(), Vec::new());
    let mut named = BTreeSet::new();
    for (seq, edited) in numbered {
        let before = edited.before.as_ref().map(|before| terms(&before.product, taxonomy)).unwrap_or_default();
        let after = terms(&edited.product, taxonomy);
        gained.extend(after.difference(&before).map(|term| (term.clone(), *seq)));
        lost.extend(before.difference(&after).map(|term| (term.clone(), *seq)));
        named.extend(after.union(&before).cloned());
    }
    if gained.is_empty() && lost.is_empty() {
        return Ok(());
    }
    let ids = intern(transaction, named).await?;
    let lost: Vec<(i64, i64)> = lost.iter().filter_map(|(term, seq)| Some((*ids.get(term)?, *seq))).collect();
    if !lost.is_empty() {
        const LOSE: &str = "
            DELETE FROM product_terms
            WHERE (term, product) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))";
        transaction.execute(LOSE, &[json_list(&lost)]).await?;
    }
    let gained = gained.iter().filter_map(|(term, seq)| Some([(*ids.get(term)?).into(), (*seq).into()]));
    transaction.insert("INSERT INTO product_terms (term, product)", gained, "ON CONFLICT DO NOTHING").await?;
    Ok(())
}

/// The ids of terms, making those that are new.
pub(crate) async fn intern(
    transaction: &Transaction,
    terms: impl IntoIterator<Item = Term>,
) -> Result<BTreeMap<Term, i64>, Error> {
    const MAKE: &str = "
        INSERT INTO terms (facet, value) SELECT value ->> 0, value ->> 1 FROM json_each(?1) WHERE true
        ON CONFLICT DO NOTHING";
    const FIND: &str = "
        SELECT terms.facet, terms.value, terms.id FROM json_each(?1) AS wanted
        CROSS JOIN terms ON terms.facet = wanted.value ->> 0 AND terms.value = wanted.value ->> 1";
    let wanted = [json_list(&terms.into_iter().collect::<Vec<_>>())];
    transaction.execute(MAKE, &wanted).await?;
    let rows = transaction.execute(FIND, &wanted).await?;
    let term = |mut row: sql::Row| Ok(((row.take(0)?, row.take(1)?), row.take(2)?));
    rows.into_iter().map(term).collect()
}

/// Brings the full-text index up to date where its texts have changed.
async fn index(transaction: &Transaction, numbered: &Numbered<'_>) -> Result<(), Error> {
    let was_shown = |edited: &Edited| edited.before.as_ref().is_some_and(|before| !before.product.archived);
    let hidden = numbered.iter().filter(|(_, edited)| edited.product.archived && was_shown(edited));
    let hidden: Vec<i64> = hidden.map(|(seq, _)| *seq).collect();
    if !hidden.is_empty() {
        const HIDE: &str = "DELETE FROM product_search WHERE rowid IN (SELECT value FROM json_each(?1))";
        transaction.execute(HIDE, &[json_list(&hidden)]).await?;
    }
    let shown = numbered.iter().filter_map(|(seq, edited)| {
        let before = edited.before.as_ref().and_then(|before| texts(&before.product));
        let after = texts(&edited.product).filter(|after| before.as_ref() != Some(after))?;
        let [title, brand, keywords, description] = after.map(Value::from);
        Some([(*seq).into(), title, brand, keywords, description])
    });
    const SHOW: &str = "INSERT OR REPLACE INTO product_search (rowid, title, brand, keywords, description)";
    Ok(transaction.insert(SHOW, shown, "").await?)
}

/// The searchable texts; an archived product has none.
fn texts(product: &Product) -> Option<[String; 4]> {
    (!product.archived).then(|| {
        [
            product.title.clone(),
            product.brand.clone().unwrap_or_default(),
            product.keywords(),
            product.description.clone(),
        ]
    })
}
