//! The SQL of shipping, and nothing but.

pub(crate) mod documents;
pub(crate) mod news;
pub(crate) mod outbox;
pub(crate) mod places;
pub(crate) mod seeds;
pub(crate) mod shipments;

/// The tables of shipping, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Who is to be told of parcels, as a later migration.
pub(crate) const NEWS: &str = include_str!("news.sql");

fn id(id: commerce::Id) -> sql::Value {
    sql::Value::Text(id.to_string())
}

/// A column whose text is a domain type.
fn take<T: serde::de::DeserializeOwned>(row: &mut sql::Row, column: usize) -> Result<T, service::Error> {
    Ok(serde_json::from_value(row.take::<String>(column)?.into())?)
}

/// A text, or NULL.
fn optional(text: Option<&str>) -> sql::Value {
    text.map_or(sql::Value::Null, sql::Value::from)
}
