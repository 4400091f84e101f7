//! What the catalog says about the lines of a cart or an order: what they are, what is wrong with them, and the cart
//! that they are priced as.
//!
//! `catalog` (asks it) -> `offer` (what it sells, and by which rules) -> `line` (a wish held against the offer), over
//! the shapes of its answers, `variant` and `rules`. All but `catalog` is pure.
//!
//! ```
//! # use catalog_client::{Offer, Terms, Wish};
//! # let variants = serde_json::from_str(r#"[{"sku": "MUG", "product_id": "0190a3c0-7b5e-7000-8000-000000000000",
//! #     "slug": "mug", "title": "Mug", "image": null, "attributes": {}, "price": {"amount": 900, "currency": "EUR"},
//! #     "available": 5, "categories": [], "tax_class": "standard", "weight_g": 300, "archived": false}]"#).unwrap();
//! # let rules = r#"{"prices_include_tax": {"default": true}, "promotions": [], "tax_rates": []}"#;
//! # let rules = std::sync::Arc::new(serde_json::from_str(rules).unwrap());
//! // In a service: `let offer = catalog.offer(skus).await?`.
//! let offer = Offer::new(commerce::Currency::EUR, variants, rules);
//! let wish = Wish { sku: "MUG".to_owned().try_into().unwrap(), quantity: 2.try_into().unwrap(), seen_price: None };
//! let lines = offer.check([wish]);
//! assert!(lines[0].can_be_ordered());
//! let quote = pricing_client::price(&offer.cart(&lines, Terms::default())).unwrap();
//! assert_eq!(quote.total.minor(), 1800);
//! ```

mod catalog;
mod line;
mod offer;
mod parcel;
mod rules;
#[cfg(test)]
mod tests;
mod variant;

pub use catalog::{Catalog, QUERY_BYTES_MAX, SKUS_MAX};
pub use line::{Fault, Line, Wish};
pub use offer::{Offer, Terms};
pub use parcel::{Parcel, ParcelError};
pub use rules::PricingRules;
pub use variant::Variant;
