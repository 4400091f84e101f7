//! What the earlier batches of a dry run would have written, so that a later batch is told what an import would tell.
//!
//! The rows are kept and not the products that come of them: so it grows with what was sent, however much is in the
//! products that a short row changes.

use std::collections::{BTreeMap, BTreeSet};

use commerce::{Currency, Id, Sku, Slug};
use serde_json::{Map, Value};

use crate::category::{Category, Taxonomy};
use crate::product::Product;
use crate::store::products::{Keys, Loaded};
use crate::store::save::Edited;

use super::BATCH_RECORDS;
use super::apply::{Batch, Outcome};
use super::draft::{Draft, Mapping};

/// Bytes that are kept at most: an instance has some 100 MiB for all that it works on.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Rows of one product that are kept at most: each is read again whenever a batch is about the product.
const ROWS_MAX: usize = 2 * BATCH_RECORDS;
/// What a row, a key or a product takes beside its text, in bytes and roughly.
const ENTRY_BYTES: usize = 64;

/// Everything that is kept of a dry run.
#[derive(Default)]
pub(super) struct Unwritten {
    products: BTreeMap<Id, Kept>,
    /// Slugs and SKUs that products gained, and whose they are now.
    by_slug: BTreeMap<String, Id>,
    by_sku: BTreeMap<String, Id>,
    categories: Vec<Category>,
    bytes: usize,
}

/// What is kept of a product.
#[derive(Default)]
struct Kept {
    /// The slug of a product that the store does not have.
    new: Option<Slug>,
    /// The rows that changed it, each a JSON object.
    rows: Vec<Box<str>>,
}

/// How the rows of a dry run are read.
pub(super) struct Reading<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) currency: Currency,
    pub(super) now: &'a str,
}

impl Unwritten {
    /// Adds the products to which earlier rows gave one of these slugs or SKUs.
    pub(super) fn widen(&self, keys: &mut Keys) {
        let by_slug = keys.slugs.iter().filter_map(|slug| self.by_slug.get(slug));
        let by_sku = keys.skus.iter().filter_map(|sku| self.by_sku.get(sku));
        let ids: BTreeSet<&Id> = by_slug.chain(by_sku).collect();
        keys.ids.extend(ids.into_iter().map(Id::to_string));
    }

    /// Adds the categories that earlier rows made.
    pub(super) fn grow(&self, taxonomy: &mut Taxonomy) {
        self.categories.iter().for_each(|category| taxonomy.insert(category.clone()));
    }

    /// Has a batch begin with what earlier rows made of these products, and with the new ones that `keys` name.
    pub(super) fn fill(&self, batch: &mut Batch, stored: Vec<Loaded>, keys: &Keys, reading: &Reading<'_>) {
        let mut new: BTreeSet<Id> = keys.ids.iter().filter_map(|id| id.parse().ok()).collect();
        for mut loaded in stored {
            new.remove(&loaded.product.id);
            if let Some(kept) = self.products.get(&loaded.product.id) {
                kept.repeat(batch, &mut loaded.product, reading);
            }
            batch.add(loaded);
        }
        for id in new {
            let Some(kept) = self.products.get(&id) else { continue };
            let Some(slug) = &kept.new else { continue };
            let mut product = Product::new(id, slug.clone(), reading.now.to_owned());
            kept.repeat(batch, &mut product, reading);
            // It has no place in the store, and needs none: nothing is written.
            batch.add(Loaded { seq: 0, version: 0, product });
        }
    }

    /// Keeps what a batch would have written, given its rows by product. Says how many rows there was no room for.
    pub(super) fn keep(&mut self, outcome: &Outcome, rows: Vec<(Id, String)>) -> u64 {
        self.categories.extend_from_slice(&outcome.new_categories);
        let mut by_product: BTreeMap<Id, Vec<Box<str>>> = BTreeMap::new();
        for (id, row) in rows {
            by_product.entry(id).or_default().push(row.into());
        }
        let mut forgotten = 0;
        for edited in &outcome.edited {
            let rows = by_product.remove(&edited.product.id).unwrap_or_default();
            let (slug, skus) = gained(edited);
            let texts = rows.iter().map(AsRef::as_ref).chain(skus.iter().map(|sku| sku.as_str()));
            let bytes: usize = texts.chain(slug.map(Slug::as_str)).map(|text| text.len() + ENTRY_BYTES).sum();
            let rows_before = self.products.get(&edited.product.id).map_or(0, |kept| kept.rows.len());
            // All of a batch's rows or none: half of them could make another product.
            if self.bytes + bytes + ENTRY_BYTES > KEPT_BYTES_MAX || rows_before + rows.len() > ROWS_MAX {
                forgotten += rows.len() as u64;
                continue;
            }
            self.bytes += bytes + ENTRY_BYTES;
            let Edited { before, product } = edited;
            self.by_slug.extend(slug.map(|slug| (slug.to_string(), product.id)));
            self.by_sku.extend(skus.into_iter().map(|sku| (sku.as_str().to_owned(), product.id)));
            let kept = self.products.entry(product.id).or_default();
            if before.is_none() {
                kept.new = Some(product.slug.clone());
            }
            kept.rows.extend(rows);
        }
        forgotten
    }
}

impl Kept {
    /// Does again what the rows did.
    fn repeat(&self, batch: &mut Batch, product: &mut Product, reading: &Reading<'_>) {
        for row in &self.rows {
            let draft = serde_json::from_str::<Map<String, Value>>(row)
                .ok()
                .and_then(|fields| Draft::read(fields, reading.mapping, reading.currency, |_| {}).ok());
            if let Some(draft) = draft {
                // It went well before; only somebody else's change in between makes it fail, and then it is no news.
                let _ = batch.change(product, draft);
            }
        }
    }
}

/// The keys by which a product was not found before.
fn gained(edited: &Edited) -> (Option<&Slug>, Vec<&Sku>) {
    let Edited { before, product } = edited;
    let before = before.as_ref().map(|before| &before.product);
    let slug = before.is_none_or(|before| before.slug != product.slug).then_some(&product.slug);
    let known: BTreeSet<&Sku> = before.iter().flat_map(|before| &before.variants).map(|variant| &variant.sku).collect();
    let skus = product.variants.iter().map(|variant| &variant.sku).filter(|sku| !known.contains(sku));
    (slug, skus.collect())
}
