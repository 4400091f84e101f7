//! A sellable variant, as the catalog's `GET /internal/variants` has it.

use std::collections::BTreeMap;

use commerce::{Id, Money, Sku};
use serde::{Deserialize, Serialize};

/// A sellable variant. What the catalog adds to it one day is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// The merchant's key.
    pub sku: Sku,
    /// The product that it is a variant of.
    pub product_id: Id,
    /// The readable key of the product's page.
    pub slug: String,
    /// The title of the product.
    pub title: String,
    /// The product's first image, an address or a path.
    pub image: Option<String>,
    /// What tells it from the product's other variants, such as `color`: `red`.
    pub attributes: BTreeMap<String, String>,
    /// What one costs.
    pub price: Money,
    /// Units that can be ordered now.
    pub available: u32,
    /// The categories of the product, as paths such as `shoes/boots`.
    pub categories: Vec<String>,
    /// Which tax rates apply.
    pub tax_class: String,
    /// What shipping weighs, in grams; 0 for what is not shipped or not known.
    pub weight_g: u32,
    /// Whether the shop no longer sells it.
    pub archived: bool,
}
