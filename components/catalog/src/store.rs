//! The SQL of the catalog, and nothing but.

pub(crate) mod categories;
pub(crate) mod idempotency;
pub(crate) mod products;
pub(crate) mod reservations;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod stock;

/// The schema, oldest version first; see [`sql::migrate`].
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];

/// A list of texts as the one parameter that `json_each` takes apart.
fn json_list<T: serde::Serialize>(items: &[T]) -> sql::Value {
    // Lists of texts, numbers and pairs of them always serialise.
    sql::Value::Text(serde_json::to_string(items).unwrap_or_default())
}
