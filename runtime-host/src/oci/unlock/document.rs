//! The tables of `spin.toml` that hold no content.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::OciError;
use super::super::locked::{LockedComponent, LockedVariable, OwnMetadata};
use super::content::toml_of;

/// Keys of an application and of a component that are the same in the document and in `spin.toml`.
const APPLICATION_KEYS: [&str; 4] = ["name", "version", "description", "authors"];
/// And those of a component: in the document, in `spin.toml`.
const COMPONENT_KEYS: [(&str, &str); 6] = [
    ("description", "description"),
    ("allowed_outbound_hosts", "allowed_outbound_hosts"),
    ("allowed_http_hosts", "allowed_http_hosts"),
    ("key_value_stores", "key_value_stores"),
    ("databases", "sqlite_databases"),
    ("ai_models", "ai_models"),
];

/// `[application]`.
pub(super) fn application(metadata: &Map<String, Value>, own: &OwnMetadata) -> Result<toml::Table, OciError> {
    let mut table = toml::Table::new();
    for key in APPLICATION_KEYS {
        take(&mut table, key, metadata.get(key))?;
    }
    let triggers = trigger_settings(metadata);
    if !triggers.is_empty() {
        table.insert("trigger".to_owned(), toml_of(&Value::Object(triggers))?);
    }
    if !own.tool.is_empty() {
        table.insert("tool".to_owned(), tool(own.tool.clone())?.into());
    }
    Ok(table)
}

/// The settings of all triggers of a kind; older documents have those of one kind, under its name as `type`.
fn trigger_settings(metadata: &Map<String, Value>) -> Map<String, Value> {
    let older = || {
        let mut settings = metadata.get("trigger")?.as_object()?.clone();
        let kind = settings.remove("type")?.as_str()?.to_owned();
        Some(Map::from_iter([(kind, Value::Object(settings))]))
    };
    let mut triggers = metadata.get("triggers").and_then(Value::as_object).cloned().or_else(older).unwrap_or_default();
    // What Spin 2 wrote for all; Spin 3 and this host know it no more.
    if let Some(http) = triggers.get_mut("http").and_then(Value::as_object_mut)
        && http.get("base").is_some_and(|base| base == "/")
    {
        http.remove("base");
    }
    triggers.retain(|_, settings| settings.as_object().is_none_or(|settings| !settings.is_empty()));
    triggers
}

/// `[variables]`.
pub(super) fn variables(variables: &BTreeMap<String, LockedVariable>) -> toml::Table {
    let table = |variable: &LockedVariable| {
        let mut table = toml::Table::new();
        match &variable.default {
            Some(default) => table.insert("default".to_owned(), default.clone().into()),
            None => table.insert("required".to_owned(), true.into()),
        };
        table.extend(variable.secret.then(|| ("secret".to_owned(), true.into())));
        table.extend(variable.description.clone().map(|text| ("description".to_owned(), text.into())));
        table
    };
    variables.iter().map(|(name, variable)| (name.clone(), table(variable).into())).collect()
}

/// `[component.x]`, without what has content.
pub(super) fn component(component: &LockedComponent) -> Result<toml::Table, OciError> {
    let mut table = toml::Table::new();
    for (locked, key) in COMPONENT_KEYS {
        take(&mut table, key, component.metadata.get(locked))?;
    }
    for (key, texts) in [("environment", &component.env), ("variables", &component.config)] {
        if !texts.is_empty() {
            let texts: toml::Table = texts.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
            table.insert(key.to_owned(), texts.into());
        }
    }
    Ok(table)
}

/// `[x.tool]` with this host's settings.
pub(super) fn tool(settings: Map<String, Value>) -> Result<toml::Table, OciError> {
    Ok(toml::Table::from_iter([("bodega".to_owned(), toml_of(&Value::Object(settings))?)]))
}

fn take(table: &mut toml::Table, key: &str, value: Option<&Value>) -> Result<(), OciError> {
    let is_empty = |value: &&Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    };
    if let Some(value) = value.filter(|value| !is_empty(value)) {
        table.insert(key.to_owned(), toml_of(value)?);
    }
    Ok(())
}
