//! `cors`: which pages of other origins may ask.

use std::time::Duration;

use http::HeaderValue;

use super::fields::{duration, header_name, method, none};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::cors::Cors;

/// What browsers are told for a day at most, which none of them exceeds.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_AGE: Duration = Duration::from_secs(600);
/// Methods of pages of other origins where nothing else is said.
const CORS_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");

/// Reads `cors`; `false` is none, where `[all]` has it.
pub(super) fn cors(value: Value<'_>) -> Result<Option<Cors>, ConfigError> {
    if value.is_table() { settings(value.read()?).map(Some) } else { none(value) }
}

fn settings(mut table: Table<'_>) -> Result<Cors, ConfigError> {
    let origins: Vec<Located<String>> = table.required("origins", "a list such as [\"https://shop.example\"]")?;
    let is_everybody = origins.iter().any(|origin| origin.value == "*");
    let origins = match is_everybody {
        true if origins.len() > 1 => {
            return Err(table.error(format!("{table} names \"*\" and others; expected either")));
        }
        true => None,
        false => Some(origins.iter().map(|origin| self::origin(&table, origin)).collect::<Result<Vec<_>, _>>()?),
    };
    let credentials: Located<bool> =
        table.optional("credentials")?.unwrap_or(Located { value: false, position: table.position() });
    if credentials.value && is_everybody {
        let problem = "everybody's pages would act with the credentials of whoever visits them; name the origins";
        return Err(table.error_at(credentials.position, problem));
    }
    let methods = table.optional::<Vec<Value>>("methods")?;
    let methods = methods.map(|methods| methods.into_iter().map(method).collect::<Result<Vec<_>, _>>()).transpose()?;
    let headers: Vec<Located<String>> = table.or_default("headers")?;
    let exposed: Vec<Located<String>> = table.or_default("exposed_headers")?;
    let names = |table: &Table<'_>, names: Vec<Located<String>>| {
        let names = names.iter().map(|name| header_name(table, name)).collect::<Result<Vec<_>, _>>()?;
        Ok(listed(&names))
    };
    let max_age = table.optional::<Value>("max_age")?.map(|value| duration(value, MAX_AGE_MAX, "a day")).transpose()?;
    let cors = Cors {
        origins,
        methods: methods.map_or(Some(CORS_METHODS), |methods| listed(&methods)),
        headers: names(&table, headers)?,
        exposed_headers: names(&table, exposed)?,
        credentials: credentials.value,
        max_age: max_age.unwrap_or(MAX_AGE),
    };
    table.finish()?;
    Ok(cors)
}

/// An origin as browsers write it: scheme, host and port, no more.
fn origin(table: &Table<'_>, text: &Located<String>) -> Result<HeaderValue, ConfigError> {
    let url = url::Url::parse(text).ok();
    let written = url.map(|url| url.origin()).filter(url::Origin::is_tuple).map(|origin| origin.ascii_serialization());
    match written.filter(|written| *written == text.value).and_then(|written| HeaderValue::try_from(written).ok()) {
        Some(origin) => Ok(origin),
        None => {
            let problem = format!(
                "{:?} is no origin; expected scheme, host and port only, such as \"https://shop.example\"",
                text.value
            );
            Err(table.error_at(text.position, problem))
        }
    }
}

/// A list as headers have it; none of nothing.
fn listed<T: ToString>(items: &[T]) -> Option<HeaderValue> {
    let text = items.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    // Methods and names of headers are valid in headers.
    HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
}
