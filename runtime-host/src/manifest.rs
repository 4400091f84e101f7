//! `spin.toml`, version 2: what an application consists of, as Spin 4.1 reads it.
//!
//! What Spin knows and this host does not run is refused by name, never ignored. The settings of other tools and
//! `targets` are passed over, as Spin passes over ours.

mod check;
mod component;
mod dependency;
mod duration;
mod files;
mod limits;
mod migration;
mod names;
mod retain;
mod rollout;
mod schedule;
mod trigger;

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Debug, Display};
use std::path::{Path, PathBuf};

pub use component::{Build, Component, FilesMount};
pub use dependency::{Capability, Dependency, DependencyName, DependencySource, Inheritance};
pub use files::MountedFile;
pub use limits::{ApplicationSettings, ComponentLimits, KeyValueSettings, SqliteSettings};
pub use migration::Migration;
pub use retain::RetainError;
pub use rollout::{RolloutSettings, Smoke};
pub use schedule::Schedule;
pub use trigger::{HttpTrigger, StaticResponse, TriggerTarget};

use crate::config_file::{ConfigError, ConfigFile, FromToml, Located, Position, Table, Value};
use crate::template::check_name;
use trigger::{RawTarget, RawTrigger};

/// An application.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The file.
    pub path: PathBuf,
    /// `[application]`.
    pub application: Application,
    /// `[variables]`, by name.
    pub variables: BTreeMap<String, DeclaredVariable>,
    /// `[[trigger.http]]`, in the order of the file.
    pub triggers: Vec<HttpTrigger>,
    /// `[component.x]` in the order of the file, then the components that triggers define inline.
    pub components: Vec<Component>,
}

/// `[application]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Empty if the manifest gives none.
    pub version: String,
    /// For people.
    pub description: String,
    /// For people.
    pub authors: Vec<String>,
    /// Settings of this host.
    pub settings: ApplicationSettings,
}

/// One entry of `[variables]`.
#[derive(Clone, PartialEq, Eq)]
pub struct DeclaredVariable {
    /// Whether its value must not show up in logs.
    pub secret: bool,
    /// For people.
    pub description: String,
    default: Option<String>,
}

/// Reads the manifest at `path` and checks all that can be checked before the components are built.
pub fn load(path: &Path) -> Result<Manifest, ConfigError> {
    let file = ConfigFile::read(path)?;
    let mut root = file.root()?;
    let version: Value = root.required("spin_manifest_version", "2")?;
    // Version 1 wrote it as a string and has other keys altogether.
    if version.is_string() {
        return Err(version.error("the manifest is of another version; expected `spin_manifest_version = 2`"));
    }
    let version: Located<u64> = version.read()?;
    if version.value != 2 {
        return Err(
            root.error_at(version.position, format!("`spin_manifest_version` is {}; expected 2", version.value))
        );
    }
    let folder = folder_of(path);

    let application = Application::read(root.required("application", "a table with the `name`")?)?;
    let variables = read_variables(root.optional("variables")?)?;
    let mut components = Vec::new();
    for (id, value) in root.optional::<Table>("component")?.map(Table::into_entries).unwrap_or_default() {
        Component::check_id(&id).map_err(|problem| value.error_at(id.position, problem))?;
        components.push(Component::read(id.value, value.read()?, folder)?);
    }
    let triggers = read_triggers(root.required("trigger", "at least one `[[trigger.http]]`")?)?;
    root.finish()?;
    let triggers = name_triggers(triggers, &mut components, folder)?;
    for component in &mut components {
        component.limits = component.limits.or(application.settings.limits);
    }
    let manifest = Manifest { path: path.to_owned(), application, variables, triggers, components };
    manifest.check()?;
    Ok(manifest)
}

impl Manifest {
    /// The component with this id.
    pub fn component(&self, id: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.id == id)
    }

    /// The wasm file of a dependency.
    pub fn dependency_source<'a>(&'a self, dependency: &'a Dependency) -> Option<&'a Path> {
        match &dependency.source {
            DependencySource::Path(path) => Some(path),
            DependencySource::Component(id) => self.component(id).map(|component| component.source.as_path()),
        }
    }

    /// A problem at a place in the manifest.
    pub fn error(&self, position: Position, problem: impl Display) -> ConfigError {
        ConfigError::new(&self.path, position, problem)
    }
}

/// The folder that the paths in the manifest at `path` are relative to.
fn folder_of(path: &Path) -> &Path {
    // For a bare file name the parent is empty, which commands cannot be run in.
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

impl Application {
    fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let settings = component::tool(&mut table)?.map(ApplicationSettings::read).transpose()?.unwrap_or_default();
        for (kind, value) in table.optional::<Table>("trigger")?.map(Table::into_entries).unwrap_or_default() {
            check_trigger_kind(&kind, &value)?;
            let mut http: Table = value.read()?;
            http.refuse("base", "Spin 3 removed it; write the whole path in every `route`")?;
            http.finish()?;
        }
        table.optional::<Value>("targets")?;
        let name: Value = table.required("name", "the application's name")?;
        let application = Self {
            name: name.parse(|name| if name.is_empty() { Err("the name is empty") } else { Ok(name.into()) })?.value,
            version: table.or_default("version")?,
            description: table.or_default("description")?,
            authors: table.or_default("authors")?,
            settings,
        };
        table.finish()?;
        Ok(application)
    }
}

fn check_trigger_kind(kind: &Located<String>, value: &Value<'_>) -> Result<(), ConfigError> {
    match kind.as_str() {
        "http" => Ok(()),
        other => Err(value.error_at(kind.position, format!("`{other}` triggers are not supported; expected `http`"))),
    }
}

fn read_variables(table: Option<Table<'_>>) -> Result<BTreeMap<String, DeclaredVariable>, ConfigError> {
    let read = |(key, value): (Located<String>, Value<'_>)| {
        check_name(&key).map_err(|reason| value.error_at(key.position, format!("{:?}: {reason}", key.value)))?;
        Ok((key.value, value.read()?))
    };
    table.map(Table::into_entries).unwrap_or_default().into_iter().map(read).collect()
}

impl DeclaredVariable {
    /// The value to use when nothing else gives one; a variable without is required.
    pub fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }
}

impl<'f> FromToml<'f> for DeclaredVariable {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let required: bool = table.or_default("required")?;
        let variable = Self {
            secret: table.or_default("secret")?,
            description: table.or_default("description")?,
            default: table.optional("default")?,
        };
        if required == variable.default.is_some() {
            return Err(table.error(format!("expected either `default` or `required = true` in {table}")));
        }
        table.finish()?;
        Ok(variable)
    }
}

impl Debug for DeclaredVariable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let default = self.default.as_deref().map(|default| if self.secret { "(secret)" } else { default });
        f.debug_struct("DeclaredVariable").field("secret", &self.secret).field("default", &default).finish()
    }
}

fn read_triggers(table: Table<'_>) -> Result<Vec<RawTrigger<'_>>, ConfigError> {
    let missing = table.error("there is no trigger; expected at least one `[[trigger.http]]`");
    let mut triggers = Vec::new();
    for (kind, value) in table.into_entries() {
        check_trigger_kind(&kind, &value)?;
        for table in value.read::<Vec<Table>>()? {
            triggers.push(RawTrigger::read(table)?);
        }
    }
    if triggers.is_empty() { Err(missing) } else { Ok(triggers) }
}

/// Gives names to triggers and inline components as Spin does, and moves the latter among the components.
fn name_triggers(
    raw: Vec<RawTrigger<'_>>,
    components: &mut Vec<Component>,
    folder: &Path,
) -> Result<Vec<HttpTrigger>, ConfigError> {
    let mut taken: HashSet<String> = raw.iter().filter_map(|raw| raw.id.as_ref()).map(|id| id.value.clone()).collect();
    let mut triggers = Vec::new();
    for raw in raw {
        let natural = match &raw.target {
            RawTarget::Component(component) => Some(format!("{}-http-trigger", component.value)),
            _ => None,
        };
        let id = match raw.id {
            Some(id) => id.value,
            None => first_free(natural, "http-trigger", |id| taken.contains(id)),
        };
        taken.insert(id.clone());
        let target = match raw.target {
            RawTarget::Component(component) => TriggerTarget::Component(component),
            RawTarget::Static(response) => TriggerTarget::Static(response),
            RawTarget::Inline(table) => {
                let natural = Some(format!("{id}-component")).filter(|id| Component::check_id(id).is_ok());
                let exists = |id: &str| components.iter().any(|component| component.id == id);
                let id = Located { value: first_free(natural, "inline-component", exists), position: table.position() };
                components.push(Component::read(id.value.clone(), table, folder)?);
                TriggerTarget::Component(id)
            }
        };
        triggers.push(HttpTrigger { id, position: raw.position, route: raw.route, target });
    }
    Ok(triggers)
}

/// `natural` if it is free, else the first free of `stem1`, `stem2`, ...
fn first_free(natural: Option<String>, stem: &str, taken: impl Fn(&str) -> bool) -> String {
    let numbered = (1u64..).map(|number| format!("{stem}{number}"));
    natural.into_iter().chain(numbered).find(|id| !taken(id)).unwrap_or_default()
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
