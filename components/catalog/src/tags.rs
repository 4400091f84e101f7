//! The tags of what the catalog answers and changes, for a cache in front of it.

use std::collections::BTreeSet;

use axum::response::{IntoResponse as _, Response};
use service::answer::Answer;
use service::tags::changed;

/// Everything.
pub(crate) const CATALOG: &str = "catalog";
/// Lists of products.
pub(crate) const PRODUCTS: &str = "products";
/// The tree of categories, and each of them, with the numbers of their products.
pub(crate) const CATEGORIES: &str = "categories";

/// Products of which a change names each; beyond that it concerns everything.
const NAMED_MAX: usize = 50;

/// One product, by its number.
pub(crate) fn product(seq: i64) -> String {
    format!("product-{seq}")
}

/// The answer that a change had, again: whoever asks twice has perhaps not got the first one, nor has the cache in front.
pub(crate) fn repeated(answer: Answer) -> Response {
    changed(answer.into_response(), &[CATALOG])
}

/// An answer after which these products have other units than before.
pub(crate) fn stock_changed(response: Response, products: &BTreeSet<i64>) -> Response {
    match products.len() {
        0 => response,
        1..=NAMED_MAX => {
            let named = products.iter().map(|seq| product(*seq));
            changed(response, &named.chain([PRODUCTS.to_owned()]).collect::<Vec<_>>())
        }
        _ => changed(response, &[CATALOG]),
    }
}
