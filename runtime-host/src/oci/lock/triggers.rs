//! Triggers, and the tables that only the text of the manifest has: what it says to other tools is not read otherwise.

use serde_json::{Map, Value};

use super::super::OciError;
use super::super::locked::LockedTrigger;
use super::json;
use crate::manifest::{HttpTrigger, Manifest, TriggerTarget};

/// The only kind of trigger that there is here.
const HTTP: &str = "http";

/// All triggers, with components by their names.
pub(super) fn locked_triggers(manifest: &Manifest, source: &toml::Table) -> Result<Vec<LockedTrigger>, OciError> {
    let lock = |(trigger, table): (&HttpTrigger, &toml::Table)| {
        let mut config = table.clone();
        config.remove("id");
        if let TriggerTarget::Component(id) = &trigger.target {
            config.insert("component".to_owned(), id.value.clone().into());
        }
        Ok(LockedTrigger {
            id: trigger.id.clone(),
            trigger_type: HTTP.to_owned(),
            trigger_config: json(&config)?,
            trigger_dependencies: Map::new(),
        })
    };
    manifest.triggers.iter().zip(tables_of_triggers(source)).map(lock).collect()
}

/// As in the manifest, whose triggers are in the same order.
fn tables_of_triggers(source: &toml::Table) -> impl Iterator<Item = &toml::Table> {
    let triggers = source.get("trigger").and_then(|triggers| triggers.get(HTTP)).and_then(toml::Value::as_array);
    triggers.into_iter().flatten().filter_map(toml::Value::as_table)
}

/// This host's settings of a component, which may be defined in a trigger.
pub(super) fn tool_of_component(
    manifest: &Manifest,
    source: &toml::Table,
    id: &str,
) -> Result<Map<String, Value>, OciError> {
    let named = source.get("component").and_then(|components| components.get(id)).and_then(toml::Value::as_table);
    let inline = || {
        let mut triggers = manifest.triggers.iter().zip(tables_of_triggers(source));
        triggers.find_map(|(trigger, table)| trigger.runs(id).then(|| table.get("component")?.as_table()).flatten())
    };
    named.or_else(inline).map(tool).transpose().map(Option::unwrap_or_default)
}

/// The table `tool.bodega` in this one.
pub(super) fn tool(table: &toml::Table) -> Result<Map<String, Value>, OciError> {
    match table.get("tool").and_then(|tools| tools.get("bodega")).map(json).transpose()? {
        Some(Value::Object(tool)) => Ok(tool),
        _ => Ok(Map::new()),
    }
}
