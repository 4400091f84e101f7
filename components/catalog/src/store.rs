//! The SQL of the catalog, and nothing but.

pub(crate) mod audit;
pub(crate) mod categories;
pub(crate) mod products;
pub(crate) mod redemptions;
pub(crate) mod reservations;
pub(crate) mod restocks;
pub(crate) mod rules;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod stock;

/// The tables of products and their stock, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// The tables of price rules, as a later migration.
pub(crate) const RULES_SCHEMA: &str = include_str!("rules.sql");

/// A list of texts as the one parameter that `json_each` takes apart.
fn json_list<T: serde::Serialize>(items: &[T]) -> sql::Value {
    // Lists of texts, numbers and pairs of them always serialise.
    sql::Value::Text(serde_json::to_string(items).unwrap_or_default())
}
