//! A currency in JSON, as its ISO 4217 code.

use std::borrow::Cow;

use commerce::{Currency, parse_currency};
use serde::{Deserialize, Deserializer, Serializer, de};

pub(crate) fn serialize<S: Serializer>(currency: &Currency, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(currency.code())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Currency, D::Error> {
    let code = Cow::<str>::deserialize(deserializer)?;
    parse_currency(&code).map_err(de::Error::custom)
}
