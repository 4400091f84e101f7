//! Working the drafts of a batch into products, in memory and one after the other, so that a later record sees
//! what an earlier one did.

use std::collections::BTreeMap;

use commerce::{Currency, Id, Sku, Slug};
use service::Violation;

use crate::category::{CATEGORIES_MAX, Category, Taxonomy};
use crate::product::{Product, ProductInput, VariantInput};
use crate::store::products::{Keys, Loaded};
use crate::store::save::Edited;

use super::draft::{Draft, VariantDraft};

/// Every product that the drafts could mean or collide with.
pub(super) fn keys<'a>(drafts: impl Iterator<Item = &'a Draft>) -> Keys {
    let mut keys = Keys::default();
    for draft in drafts {
        keys.ids.extend(draft.id.map(|id| id.to_string()));
        keys.slugs.extend(slugs(draft).map(String::from));
        keys.slugs.extend(draft.slug.clone());
        keys.skus.extend(draft.variants.iter().map(|variant| variant.sku.clone()));
    }
    keys
}

/// The slugs that a new product of this draft would take, the best first.
fn slugs(draft: &Draft) -> impl Iterator<Item = Slug> {
    let sku = draft.variants.first().map_or("", |variant| variant.sku.as_str());
    let title = draft.title.as_deref().and_then(Slug::from_title);
    let suffixed = title.as_ref().map(|slug| slug.with_suffix(sku));
    [title, suffixed, Slug::from_title(&format!("product {sku}"))].into_iter().flatten()
}

/// What a batch comes to.
pub(super) struct Outcome {
    pub(super) edited: Vec<Edited>,
    pub(super) new_categories: Vec<Category>,
    pub(super) taxonomy: Taxonomy,
    pub(super) imported: u64,
    pub(super) updated: u64,
    pub(super) unchanged: u64,
}

/// The products of a batch as they stand after the drafts so far.
pub(super) struct Batch {
    edited: Vec<Edited>,
    by_id: BTreeMap<Id, usize>,
    by_slug: BTreeMap<Slug, usize>,
    by_sku: BTreeMap<Sku, usize>,
    named: Vec<bool>,
    taxonomy: Taxonomy,
    /// Category paths that were looked up already, and their slugs.
    paths: BTreeMap<String, String>,
    new_categories: Vec<Category>,
    currency: Currency,
    now: String,
}

impl Batch {
    /// A batch without products yet.
    pub(super) fn new(taxonomy: Taxonomy, currency: Currency, now: String) -> Self {
        Self {
            edited: Vec::new(),
            by_id: BTreeMap::new(),
            by_slug: BTreeMap::new(),
            by_sku: BTreeMap::new(),
            named: Vec::new(),
            taxonomy,
            paths: BTreeMap::new(),
            new_categories: Vec::new(),
            currency,
            now,
        }
    }

    /// Takes in a product as it is before the drafts.
    pub(super) fn add(&mut self, loaded: Loaded) {
        let product = loaded.product.clone();
        self.put(None, Edited { before: Some(loaded), product });
    }

    /// Works one draft in and names its product, or leaves everything as it was and says why.
    pub(super) fn apply(&mut self, draft: Draft) -> Result<Id, String> {
        let target = self.target(&draft);
        let mut product = match target {
            Some(index) => self.edited[index].product.clone(),
            None => self.new_product(&draft)?,
        };
        let categories_before = self.new_categories.len();
        let changed = self.change(&mut product, draft).and_then(|()| self.check_keys(target, &product));
        if let Err(reason) = changed {
            // Nothing of a bad record stays, and so no category that only it names.
            self.new_categories.drain(categories_before..).for_each(|category| self.taxonomy.remove(&category.slug));
            self.paths.clear();
            return Err(reason);
        }
        let before = target.and_then(|index| self.edited[index].before.take());
        let id = product.id;
        let index = self.put(target, Edited { before, product });
        self.named[index] = true;
        Ok(id)
    }

    /// The product that a draft is about: by id, else by slug, else by a SKU.
    fn target(&self, draft: &Draft) -> Option<usize> {
        let by_id = || self.by_id.get(draft.id.as_ref()?).copied();
        let by_slug = || self.by_slug.get(&Slug::try_from(draft.slug.clone()?).ok()?).copied();
        let by_sku = |variant: &VariantDraft| self.by_sku.get(&Sku::try_from(variant.sku.clone()).ok()?).copied();
        by_id().or_else(by_slug).or_else(|| draft.variants.iter().find_map(by_sku))
    }

    fn new_product(&self, draft: &Draft) -> Result<Product, String> {
        let free = slugs(draft).find(|slug| !self.by_slug.contains_key(slug));
        let id = draft.id.unwrap_or_else(Id::new);
        // All of its own slugs being taken, the random end of the id tells it apart.
        let fallback = || Slug::from_title(&format!("product-{}", &id.to_string()[24..]));
        let slug = free.or_else(fallback).ok_or("a slug is required for this title")?;
        Ok(Product::new(id, slug, self.now.clone()))
    }

    /// Makes of a product what a draft says, or leaves the product as it was.
    pub(super) fn change(&mut self, product: &mut Product, draft: Draft) -> Result<(), String> {
        let mut input = product.to_input();
        if let Some(paths) = draft.categories {
            let slugs: Result<_, String> = paths.iter().map(|path| self.category(path)).collect();
            input.categories = slugs?;
        }
        input.slug = draft.slug.or(input.slug);
        input.title = draft.title.unwrap_or(input.title);
        input.brand = draft.brand.or(input.brand);
        input.description = draft.description.unwrap_or(input.description);
        input.attributes.extend(draft.attributes);
        input.images = draft.images.unwrap_or(input.images);
        input.tax_class = draft.tax_class.or(input.tax_class);
        input.archived = draft.archived.unwrap_or(input.archived);
        for variant in draft.variants {
            merge_variant(&mut input, variant)?;
        }
        let now = self.now.clone();
        product.replace(input, self.currency, now).map_err(|wrong| {
            let wrong: Vec<String> = wrong.iter().map(Violation::to_string).collect();
            wrong.join("; ")
        })
    }

    /// The slug of a category by its path of names; what is missing of the path is made.
    fn category(&mut self, path: &str) -> Result<String, String> {
        if self.taxonomy.get(path).is_some() {
            return Ok(path.to_owned());
        }
        if let Some(slug) = self.paths.get(path) {
            return Ok(slug.clone());
        }
        let mut parent = String::new();
        for name in path.split('/').map(str::trim) {
            parent = match self.taxonomy.child(&parent, name) {
                Some(known) => known.slug.clone(),
                None => self.new_category(&parent, name)?,
            };
        }
        self.paths.insert(path.to_owned(), parent.clone());
        Ok(parent)
    }

    fn new_category(&mut self, parent: &str, name: &str) -> Result<String, String> {
        if self.taxonomy.len() >= CATEGORIES_MAX {
            return Err(format!("categories: at most {CATEGORIES_MAX} in a catalogue"));
        }
        let own = Slug::from_title(name).ok_or_else(|| format!("categories: {name:?} has no letter or digit"))?;
        let below_parent = Slug::from_title(&format!("{parent} {name}"));
        let numbered =
            (2..).filter_map(|number: u32| below_parent.as_ref().map(|slug| slug.with_suffix(&number.to_string())));
        let mut candidates = [Some(own), below_parent.clone()].into_iter().flatten().chain(numbered);
        let slug = candidates.find(|slug| self.taxonomy.get(slug.as_str()).is_none());
        let slug = slug.ok_or_else(|| format!("categories: {name:?} finds no free slug"))?.to_string();
        let wrong = self.taxonomy.check_place(&slug, name, parent);
        if let Some(violation) = wrong.first() {
            return Err(format!("categories: {violation}"));
        }
        let category = Category {
            slug: slug.clone(),
            name: name.to_owned(),
            parent: parent.to_owned(),
            position: 0,
            version: 1,
            products: 0,
        };
        self.taxonomy.insert(category.clone());
        self.new_categories.push(category);
        Ok(slug)
    }

    /// Neither the slug nor a SKU may belong to another product.
    fn check_keys(&self, target: Option<usize>, product: &Product) -> Result<(), String> {
        let others = |index: Option<&usize>| index.is_some_and(|index| Some(*index) != target);
        if others(self.by_slug.get(&product.slug)) {
            return Err(format!("slug: {:?} belongs to another product", product.slug.as_str()));
        }
        match product.variants.iter().find(|variant| others(self.by_sku.get(&variant.sku))) {
            Some(variant) => Err(format!("sku: {:?} belongs to another product", variant.sku.as_str())),
            None => Ok(()),
        }
    }

    fn put(&mut self, index: Option<usize>, edited: Edited) -> usize {
        let index = index.unwrap_or(self.edited.len());
        self.by_id.insert(edited.product.id, index);
        // A slug that a product gives up stays taken until the batch is written.
        self.by_slug.insert(edited.product.slug.clone(), index);
        self.by_sku.extend(edited.product.variants.iter().map(|variant| (variant.sku.clone(), index)));
        match self.edited.get_mut(index) {
            Some(place) => *place = edited,
            None => {
                self.edited.push(edited);
                self.named.push(false);
            }
        }
        index
    }

    pub(super) fn finish(self) -> Outcome {
        let (mut imported, mut updated, mut unchanged) = (0, 0, 0);
        let mut edited = Vec::new();
        for (product, _) in self.edited.into_iter().zip(self.named).filter(|(_, named)| *named) {
            match &product.before {
                None => imported += 1,
                Some(before) if same(&before.product, &product.product) => {
                    unchanged += 1;
                    continue;
                }
                Some(_) => updated += 1,
            }
            edited.push(product);
        }
        Outcome { edited, new_categories: self.new_categories, taxonomy: self.taxonomy, imported, updated, unchanged }
    }
}

/// Whether nothing but the time of the change differs.
fn same(before: &Product, after: &Product) -> bool {
    *before == Product { updated_at: before.updated_at.clone(), ..after.clone() }
}

fn merge_variant(input: &mut ProductInput, draft: VariantDraft) -> Result<(), String> {
    match input.variants.iter_mut().find(|variant| variant.sku == draft.sku) {
        Some(variant) => {
            variant.attributes.extend(draft.attributes);
            variant.price = draft.price.unwrap_or(variant.price);
            variant.weight_g = draft.weight_g.unwrap_or(variant.weight_g);
            variant.stock = draft.stock.or(variant.stock);
        }
        None => {
            let price = draft.price.ok_or_else(|| format!("price: the new variant {:?} needs one", draft.sku))?;
            input.variants.push(VariantInput {
                sku: draft.sku,
                attributes: draft.attributes,
                price,
                weight_g: draft.weight_g.unwrap_or_default(),
                stock: draft.stock,
            });
        }
    }
    Ok(())
}
