//! Parameters and columns of the types that more than one service keeps.

use commerce::{Id, Money};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sql::{Row, Value};

use crate::Error;

/// An id as a parameter.
pub fn id(id: Id) -> Value {
    id.to_string().into()
}

/// A value, if there is one, as a parameter that is its JSON.
pub fn json<T: Serialize>(value: Option<&T>) -> Result<Value, Error> {
    Ok(value.map(serde_json::to_string).transpose()?.into())
}

/// A column that holds a name of one of the domain's types, such as a state or an id.
pub fn name<T: DeserializeOwned>(row: &mut Row, column: usize) -> Result<T, Error> {
    Ok(serde_json::from_value(row.take::<String>(column)?.into())?)
}

/// A column that holds JSON or nothing.
pub fn optional_json<T: DeserializeOwned>(row: &mut Row, column: usize) -> Result<Option<T>, Error> {
    let text: Option<String> = row.take(column)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// Money from the columns of its amount, in minor units, and its currency.
pub fn money(amount: i64, currency: &str) -> Result<Money, Error> {
    Ok(serde_json::from_value(json!({"amount": amount, "currency": currency}))?)
}
