//! What several tables have: methods, headers, names, durations.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::config_file::{ConfigError, Located, Table, Value, suggestion};

pub(super) fn method(value: Value<'_>) -> Result<Method, ConfigError> {
    let method = value.parse(|text| {
        let method: Option<Method> = text.parse().ok();
        let is_written = |method: &Method| method.as_str().bytes().all(|b| b.is_ascii_uppercase());
        method.filter(is_written).ok_or(format!("{text:?} is no method; expected one such as \"GET\""))
    })?;
    Ok(method.value)
}

pub(super) fn header_name(table: &Table<'_>, name: &Located<String>) -> Result<HeaderName, ConfigError> {
    let problem = |_| table.error_at(name.position, format!("{:?} is no name of a header", name.value));
    name.value.parse().map_err(problem)
}

pub(super) fn header_value(table: &Table<'_>, value: &Located<String>) -> Result<HeaderValue, ConfigError> {
    let problem = |_| table.error_at(value.position, format!("{:?} is no value of a header", value.value));
    HeaderValue::from_str(value).map_err(problem)
}

/// One of some names, if the key is there.
pub(super) fn one_of<T: Copy>(
    table: &mut Table<'_>,
    key: &'static str,
    names: &[(&str, T)],
) -> Result<Option<T>, ConfigError> {
    let Some(value) = table.optional::<Value>(key)? else { return Ok(None) };
    let found = value.parse(|text| match names.iter().find(|(name, _)| *name == text) {
        Some((_, found)) => Ok(*found),
        None => Err(format!("`{key}` is {text:?}{}", suggestion(text, names.iter().map(|(name, _)| *name)))),
    })?;
    Ok(Some(found.value))
}

/// Checks what a table of its own is called in the file: a kind of thing and its name.
pub(super) fn name(table: &Table<'_>, kind: &str, name: &Located<String>) -> Result<(), ConfigError> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        let problem =
            format!("the {kind} {:?} has a name that is no name; expected letters, digits, `_` and `-`", name.value);
        return Err(table.error_at(name.position, problem));
    }
    Ok(())
}

/// A duration up to `max`, which is called `max_text`.
pub(super) fn duration(value: Value<'_>, max: Duration, max_text: &str) -> Result<Duration, ConfigError> {
    let parsed = value.parse(|text| match humantime::parse_duration(text) {
        Ok(duration) if duration <= max => Ok(duration),
        _ => Err(format!("{text:?} is no duration up to {max_text}; expected one such as \"10m\"")),
    })?;
    Ok(parsed.value)
}

/// `false`, where `[all]` has a table that is not to hold.
pub(super) fn none<T>(value: Value<'_>) -> Result<Option<T>, ConfigError> {
    match value.error("expected a table, or `false` for none") {
        error if value.read::<bool>()? => Err(error),
        _ => Ok(None),
    }
}

/// A number from 1 to `max`, if the key is there.
pub(super) fn count(table: &mut Table<'_>, key: &'static str, max: u32) -> Result<Option<u32>, ConfigError> {
    let Some(number) = table.optional::<Located<u64>>(key)? else { return Ok(None) };
    let found = u32::try_from(number.value).ok().filter(|number| (1..=max).contains(number));
    let problem = || table.error_at(number.position, format!("`{key}` is out of range; expected 1 to {max}"));
    found.ok_or_else(problem).map(Some)
}
