//! The SQL of orders, and nothing but.

pub(crate) mod audit;
pub(crate) mod journal;
pub(crate) mod lists;
pub(crate) mod orders;
pub(crate) mod refunds;
pub(crate) mod tasks;

use serde::Serialize;
use serde::de::DeserializeOwned;
use service::Error;

/// The tables of orders, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");

/// An id as a parameter.
fn id(id: commerce::Id) -> sql::Value {
    id.to_string().into()
}

/// A text that may be missing, as a parameter.
fn optional(text: Option<&str>) -> sql::Value {
    text.map_or(sql::Value::Null, sql::Value::from)
}

/// A value as JSON in a parameter.
fn json<T: Serialize>(value: Option<&T>) -> Result<sql::Value, Error> {
    Ok(value.map(serde_json::to_string).transpose()?.map_or(sql::Value::Null, sql::Value::from))
}

/// A column that holds a name of one of the domain's types, such as a state or an id.
fn name<T: DeserializeOwned>(row: &mut sql::Row, column: usize) -> Result<T, Error> {
    Ok(serde_json::from_value(row.take::<String>(column)?.into())?)
}

/// A column that holds JSON or nothing.
fn optional_json<T: DeserializeOwned>(row: &mut sql::Row, column: usize) -> Result<Option<T>, Error> {
    let text: Option<String> = row.take(column)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Money from the columns of its amount and its currency.
fn money(amount: i64, currency: &str) -> Result<commerce::Money, Error> {
    Ok(serde_json::from_value(serde_json::json!({"amount": amount, "currency": currency}))?)
}
