//! The keys of a rule by which it finds its requests.

use http::uri::Authority;

use super::fields::{header_name, header_value, method};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::rule::Matcher;
use crate::router::InvalidPattern;

/// Reads the keys of a rule by which it finds its requests.
pub(super) fn matcher(table: &mut Table<'_>) -> Result<Matcher, ConfigError> {
    let path = table.optional::<Value>("path")?;
    let path = path.map(|path| path.parse(|text| text.parse().map_err(|error: InvalidPattern| error.to_string())));
    let methods = table.optional::<Vec<Value>>("methods")?;
    let methods = methods.map(|methods| methods.into_iter().map(method).collect::<Result<Vec<_>, _>>());
    let host = table.optional::<Value>("host")?.map(|host| {
        host.parse(|text| match text.parse::<Authority>() {
            Ok(authority) if authority.as_str() == authority.host() && !text.ends_with('.') => {
                Ok(text.to_ascii_lowercase())
            }
            _ => Err(format!("{text:?} is no host; expected one such as \"shop.example\", without port")),
        })
    });
    let host = host.transpose()?.map(|host| host.value);
    let mut headers = Vec::new();
    for (name, value) in table.optional::<Table>("headers")?.map(Table::into_entries).unwrap_or_default() {
        let header = header_name(table, &name)?;
        headers.push((header, wanted(value)?.map(|text| header_value(table, &text)).transpose()?));
    }
    let mut query = Vec::new();
    for (name, value) in table.optional::<Table>("query")?.map(Table::into_entries).unwrap_or_default() {
        query.push((name.value, wanted(value)?.map(|text| text.value)));
    }
    let path = path.transpose()?.map(|path| path.value);
    Ok(Matcher { path, methods: methods.transpose()?, host, headers, query })
}

/// `true` for any value, else the value.
fn wanted(value: Value<'_>) -> Result<Option<Located<String>>, ConfigError> {
    if value.is_string() {
        return value.read().map(Some);
    }
    match value.error("expected a text, or `true` for any value") {
        error if !value.read::<bool>()? => Err(error),
        _ => Ok(None),
    }
}
