//! From a locked application to a folder: its `spin.toml`, and which content goes where. Nothing in the document is believed: every path
//! is checked, and content is what its digest says.

mod content;
mod document;

use std::path::PathBuf;

use serde_json::{Map, Value};

pub(super) use self::content::{Content, Placement, placement};
use self::content::{file_path, toml_of};
use super::OciError;
use super::lock::DEMO_FOLDER;
use super::locked::{
    LockedApp, LockedComponent, LockedInheritance, LockedTrigger, OPTIONAL, OWN_METADATA, OwnComponentMetadata,
    OwnMetadata, SERVICE_CHAINING, UNDERSTOOD,
};
use crate::gateway;

/// Components and files are kept apart in the folder.
const WASM_FOLDER: &str = "wasm";
const FILES_FOLDER: &str = "files";
/// Characters of a component's id, which names files.
const ID_CHARS_MAX: usize = 100;

/// What a folder with the application consists of.
#[derive(Debug)]
pub(super) struct Unlocked {
    /// `spin.toml`.
    pub(super) manifest: toml::Table,
    /// All other files.
    pub(super) placements: Vec<Placement>,
}

/// Reads the document.
pub(super) fn parse(document: &[u8]) -> Result<LockedApp, OciError> {
    let app: LockedApp = serde_json::from_slice(document)
        .map_err(|error| OciError::Content(format!("its locked application is not understood: {error}")))?;
    if app.spin_lock_version > 1 {
        let problem = format!("it is locked in version {}; expected 0 or 1", app.spin_lock_version);
        return Err(OciError::Content(problem));
    }
    if let Some(unknown) = app.must_understand.iter().find(|name| !UNDERSTOOD.contains(&name.as_str())) {
        return Err(OciError::Content(format!(
            "it needs a host that understands `{unknown}`, which this one does not"
        )));
    }
    check_requirements(&app.host_requirements)?;
    app.components.iter().try_for_each(|component| check_requirements(&component.host_requirements))?;
    Ok(app)
}

fn check_requirements(requirements: &Map<String, Value>) -> Result<(), OciError> {
    let is_met = |(name, value): &(&String, &Value)| *name == SERVICE_CHAINING || **value == OPTIONAL;
    match requirements.iter().find(|requirement| !is_met(requirement)) {
        Some((name, _)) => Err(OciError::Content(format!("it needs a host with `{name}`, which this one has not"))),
        None => Ok(()),
    }
}

/// `up --demo` sends these files with a staff token: they have to be the artifact's own.
fn check_demo(own: &OwnMetadata) -> Result<(), OciError> {
    let entries = own.tool.get("demo").and_then(Value::as_array).into_iter().flatten();
    for file in entries.filter_map(|entry| entry.get("file")) {
        if !own.files.iter().any(|own| file.as_str() == Some(&own.path)) {
            return Err(OciError::Content(format!("its demo data names {file}, which is none of its files")));
        }
    }
    Ok(())
}

/// Makes the folder's content.
pub(super) fn unlock(app: &LockedApp) -> Result<Unlocked, OciError> {
    let mut placements = Vec::new();
    let own: OwnMetadata = own(&app.metadata)?;
    for file in &own.files {
        let path = file_path(&file.path)?;
        // Anything else could be what the host reads settings from.
        if path.to_str() != Some(gateway::FILE_NAME) && !path.starts_with(DEMO_FOLDER) {
            return Err(OciError::Content(format!("it has the file {:?}, which does not belong there", file.path)));
        }
        placements.push(placement(path, &file.content)?);
    }
    check_demo(&own)?;
    let mut components = toml::Table::new();
    for component in &app.components {
        let table = unlock_component(app, component, &mut placements)?;
        if components.insert(component.id.clone(), table.into()).is_some() {
            return Err(OciError::Content(format!("it has two components `{}`", component.id)));
        }
    }
    let mut manifest = toml::Table::new();
    manifest.insert("spin_manifest_version".to_owned(), 2.into());
    manifest.insert("application".to_owned(), document::application(&app.metadata, &own)?.into());
    if !app.variables.is_empty() {
        manifest.insert("variables".to_owned(), document::variables(&app.variables).into());
    }
    manifest.insert("trigger".to_owned(), triggers(&app.triggers)?.into());
    if !components.is_empty() {
        manifest.insert("component".to_owned(), components.into());
    }
    Ok(Unlocked { manifest, placements })
}

fn triggers(triggers: &[LockedTrigger]) -> Result<toml::Table, OciError> {
    let mut kinds: std::collections::BTreeMap<&str, Vec<toml::Value>> = Default::default();
    for trigger in triggers {
        if !trigger.trigger_dependencies.is_empty() {
            return Err(middleware(&trigger.id));
        }
        let toml::Value::Table(mut table) = toml_of(&trigger.trigger_config)? else {
            return Err(OciError::Content(format!("the trigger `{}` has no settings", trigger.id)));
        };
        table.insert("id".to_owned(), trigger.id.clone().into());
        kinds.entry(&trigger.trigger_type).or_default().push(table.into());
    }
    Ok(kinds.into_iter().map(|(kind, triggers)| (kind.to_owned(), triggers.into())).collect())
}

fn middleware(of: &str) -> OciError {
    OciError::Content(format!(
        "`{of}` has middleware, which is not run here; push it with `spin registry push --compose true`, or use the gateway"
    ))
}

fn unlock_component(
    app: &LockedApp,
    component: &LockedComponent,
    placements: &mut Vec<Placement>,
) -> Result<toml::Table, OciError> {
    let id = &component.id;
    check_id(id)?;
    if !component.trigger_dependencies.is_empty() {
        return Err(middleware(id));
    }
    let mut table = document::component(component)?;
    let source = PathBuf::from(WASM_FOLDER).join(format!("{id}.wasm"));
    table.insert("source".to_owned(), text(&source));
    placements.push(placement(source, &component.source.content)?);

    let folder = PathBuf::from(FILES_FOLDER).join(id);
    for file in &component.files {
        placements.push(placement(folder.join(file_path(&file.path)?), &file.content)?);
    }
    if !component.files.is_empty() {
        let mount =
            toml::Table::from_iter([("source".to_owned(), text(&folder)), ("destination".to_owned(), "/".into())]);
        table.insert("files".to_owned(), toml::Value::Array(vec![mount.into()]));
    }
    let own: OwnComponentMetadata = own(&component.metadata)?;
    if !own.tool.is_empty() {
        table.insert("tool".to_owned(), document::tool(own.tool)?.into());
    }
    let mut dependencies = toml::Table::new();
    for (index, (name, dependency)) in component.dependencies.iter().enumerate() {
        let mut entry = toml::Table::new();
        let named = own.dependencies.get(name).and_then(|id| app.components.iter().find(|other| other.id == *id));
        // It is that component as long as it is the same code.
        match named.filter(|other| other.source.content.digest == dependency.source.content.digest) {
            Some(other) => entry.insert("component".to_owned(), other.id.clone().into()),
            None => {
                let path = PathBuf::from(WASM_FOLDER).join(format!("{id}.dependency-{index}.wasm"));
                let entry = entry.insert("path".to_owned(), text(&path));
                placements.push(placement(path, &dependency.source.content)?);
                entry
            }
        };
        entry.extend(dependency.export.clone().map(|export| ("export".to_owned(), export.into())));
        let inherit = match &dependency.inherit {
            LockedInheritance::All => Some(true.into()),
            LockedInheritance::Some(some) if some.is_empty() => None,
            LockedInheritance::Some(some) => Some(toml::Value::from(some.clone())),
        };
        entry.extend(inherit.map(|inherit| ("inherit_configuration".to_owned(), inherit)));
        dependencies.insert(name.clone(), entry.into());
    }
    if !dependencies.is_empty() {
        table.insert("dependencies".to_owned(), dependencies.into());
    }
    Ok(table)
}

/// What metadata has for this host.
fn own<T: Default + serde::de::DeserializeOwned>(metadata: &Map<String, Value>) -> Result<T, OciError> {
    let own = metadata.get(OWN_METADATA).cloned().map(serde_json::from_value).transpose();
    let own =
        own.map_err(|error| OciError::Content(format!("its settings of this host are not understood: {error}")))?;
    Ok(own.unwrap_or_default())
}

/// An id is a file's name here.
fn check_id(id: &str) -> Result<(), OciError> {
    let is_plain = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    match is_plain && !id.is_empty() && id.len() <= ID_CHARS_MAX {
        true => Ok(()),
        false => Err(OciError::Content(format!("{id:?} is no name of a component"))),
    }
}

/// A path of ours, in TOML.
fn text(path: &std::path::Path) -> toml::Value {
    path.to_string_lossy().into_owned().into()
}

#[cfg(test)]
mod fuzz;
