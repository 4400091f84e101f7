//! `[component.x]`: the code of a component and what it may use.

use std::collections::BTreeMap;
use std::path::{Component as PathPart, Path, PathBuf};

use glob::Pattern;

use super::dependency::Dependency;
use super::files::invalid_pattern;
use super::limits::ComponentLimits;
use super::migration::Migration;
use super::names::{check_id, check_label};
use super::rollout::RolloutSettings;
use super::schedule::Schedule;
use crate::allowed_hosts::AllowedHost;
use crate::config_file::{ConfigError, Located, Position, Table, Value};
use crate::template::{Template, check_name};

/// A component.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its name in the application.
    pub id: String,
    /// Where it is defined.
    pub position: Position,
    /// For people.
    pub description: String,
    /// The wasm file.
    pub source: Located<PathBuf>,
    /// What it sees of the file system.
    pub files: Vec<Located<FilesMount>>,
    /// Glob patterns of files that it does not see although `files` has them.
    pub exclude_files: Vec<Pattern>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its variables, which may contain application variables.
    pub variables: BTreeMap<String, Located<Template>>,
    /// Where it may send requests; see [`crate::allowed_hosts`].
    pub allowed_outbound_hosts: Vec<Located<Template>>,
    /// The labels of the key-value stores that it may open.
    pub key_value_stores: Vec<Located<String>>,
    /// The labels of the SQLite databases that it may open.
    pub sqlite_databases: Vec<Located<String>>,
    /// How to make the wasm file.
    pub build: Option<Build>,
    /// The components that satisfy its imports.
    pub dependencies: Vec<Dependency>,
    /// Bounds on its instances, completed by those of the application.
    pub limits: ComponentLimits,
    /// What the host asks of it at regular times.
    pub schedules: Vec<Schedule>,
    /// How a revision is told to bring its stores to its schema.
    pub migration: Option<Migration>,
    /// How a new revision of it takes over.
    pub rollout: RolloutSettings,
}

/// Files that a component sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesMount {
    /// Files by glob pattern or path, which keep their place relative to the manifest.
    Pattern(String),
    /// A file or a folder under another path.
    Placement {
        /// The path on the host.
        source: PathBuf,
        /// The absolute path for the guest.
        destination: String,
    },
}

/// `[component.x.build]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Shell commands, run one after the other.
    pub commands: Vec<String>,
    /// The folder to run them in.
    pub workdir: PathBuf,
    /// Glob patterns, relative to `workdir`, of the files that make a new build necessary.
    pub watch: Vec<String>,
}

impl Component {
    /// Reads a component named `id` that a manifest in `folder` defines.
    pub(super) fn read(id: String, mut table: Table<'_>, folder: &Path) -> Result<Self, ConfigError> {
        table.refuse("allowed_http_hosts", "it is superseded by `allowed_outbound_hosts`")?;
        table.refuse("ai_models", "no language models are offered")?;
        table.refuse("profile", "there are no build profiles; the component itself says what is built and run")?;
        let source: Value = table.required("source", "the path of a wasm file")?;
        let inherit_all = table.optional("dependencies_inherit_configuration")?;
        let (limits, schedules, migration, rollout) = match tool(&mut table)? {
            Some(mut settings) => {
                let limits = ComponentLimits::read(&mut settings)?;
                let schedules = settings.or_default("schedule")?;
                let read = (limits, schedules, settings.optional("migration")?, settings.or_default("rollout")?);
                settings.finish()?;
                read
            }
            None => Default::default(),
        };
        let component = Self {
            id,
            position: table.position(),
            description: table.or_default("description")?,
            source: read_source(source, folder)?,
            files: read_list(&mut table, "files", |value| FilesMount::read(value, folder))?,
            exclude_files: read_list(&mut table, "exclude_files", read_pattern)?,
            environment: table.or_default("environment")?,
            variables: read_variables(&mut table)?,
            allowed_outbound_hosts: read_list(&mut table, "allowed_outbound_hosts", |value| value.parse(parse_host))?,
            key_value_stores: read_list(&mut table, "key_value_stores", read_label)?,
            sqlite_databases: read_list(&mut table, "sqlite_databases", read_label)?,
            build: table.optional("build")?.map(|build| Build::read(build, folder)).transpose()?,
            dependencies: match table.optional("dependencies")? {
                Some(dependencies) => Dependency::read_all(dependencies, inherit_all, folder)?,
                None => Vec::new(),
            },
            limits,
            schedules,
            migration,
            rollout,
        };
        // They say where the component can run, which Spin checks when it builds.
        table.optional::<Value>("targets")?;
        table.finish()?;
        Ok(component)
    }

    /// Checks the key of a `[component.x]`.
    pub(super) fn check_id(id: &str) -> Result<(), String> {
        check_id(id)
    }
}

/// The settings of this host among those of other tools, which are theirs to check.
pub(super) fn tool<'f>(table: &mut Table<'f>) -> Result<Option<Table<'f>>, ConfigError> {
    let Some(mut tools) = table.optional::<Table>("tool")? else {
        return Ok(None);
    };
    tools.optional("bodega")
}

fn read_list<'f, T>(
    table: &mut Table<'f>,
    key: &'static str,
    read: impl FnMut(Value<'f>) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    table.or_default::<Vec<Value>>(key)?.into_iter().map(read).collect()
}

fn read_source(value: Value<'_>, folder: &Path) -> Result<Located<PathBuf>, ConfigError> {
    if value.is_table() {
        let mut table: Table = value.read()?;
        for key in ["url", "digest"] {
            table.refuse(key, "a component is not fetched from a URL yet; download it and give its path")?;
        }
        for key in ["registry", "package", "version"] {
            table.refuse(key, "a component is not fetched from a registry; download it and give its path")?;
        }
        return Err(table.error(format!("{table} is a table; expected the path of a wasm file")));
    }
    value.parse(|path| match path {
        "" => Err("`source` is empty; expected the path of a wasm file"),
        _ => Ok(folder.join(path)),
    })
}

fn read_variables(table: &mut Table<'_>) -> Result<BTreeMap<String, Located<Template>>, ConfigError> {
    let Some(variables) = table.optional::<Table>("variables")? else {
        return Ok(BTreeMap::new());
    };
    let read = |(key, value): (Located<String>, Value<'_>)| {
        check_name(&key).map_err(|reason| value.error_at(key.position, format!("{:?}: {reason}", key.value)))?;
        Ok((key.value, value.parse(Template::parse)?))
    };
    variables.into_entries().into_iter().map(read).collect()
}

fn read_label(value: Value<'_>) -> Result<Located<String>, ConfigError> {
    value.parse(|label| check_label(label).map(|()| label.to_owned()))
}

fn read_pattern(value: Value<'_>) -> Result<Pattern, ConfigError> {
    let parse = |text: &str| Pattern::new(text).map_err(|error| invalid_pattern(text, &error));
    Ok(value.parse(parse)?.value)
}

/// An entry with variables in it is checked once they have values.
fn parse_host(entry: &str) -> Result<Template, String> {
    let template = Template::parse(entry).map_err(|error| error.to_string())?;
    if template.is_literal() {
        AllowedHost::parse(entry).map_err(|problem| format!("the allowed host {entry:?} {problem}"))?;
    }
    Ok(template)
}

impl FilesMount {
    fn read(value: Value<'_>, folder: &Path) -> Result<Located<Self>, ConfigError> {
        if !value.is_table() {
            return value.parse(|pattern| {
                if leaves_folder(Path::new(pattern)) {
                    return Err(format!("the files {pattern:?} are outside the application; expected a path or a glob pattern below its folder"));
                }
                if ["", "."].contains(&pattern) || pattern.ends_with("/.") {
                    return Err(format!("{pattern:?} names a folder by dots; expected a path, a glob pattern such as \"**/*\", or {{ source = \".\", destination = \"/\" }}"));
                }
                Ok(Self::Pattern(pattern.into()))
            });
        }
        let mut table: Table = value.read()?;
        let source: Value = table.required("source", "a file or a folder")?;
        let source = source.parse(|path: &str| match Path::new(path).is_absolute() {
            true => {
                Err(format!("the source {path:?} is not in the application; expected a path relative to its folder"))
            }
            false => Ok(folder.join(path)),
        })?;
        let destination: Value = table.required("destination", "an absolute path for the component")?;
        let destination = destination.parse(|path| {
            let relative = path.strip_prefix('/').filter(|path| !leaves_folder(Path::new(path)));
            relative
                .map(|_| path.to_owned())
                .ok_or_else(|| format!("the destination {path:?} is not an absolute path without `..`"))
        })?;
        let mount = Self::Placement { source: source.value, destination: destination.value };
        let position = table.position();
        table.finish()?;
        Ok(Located { value: mount, position })
    }
}

fn leaves_folder(path: &Path) -> bool {
    path.components().any(|part| !matches!(part, PathPart::Normal(_) | PathPart::CurDir))
}

impl Build {
    fn read(mut table: Table<'_>, folder: &Path) -> Result<Self, ConfigError> {
        let command: Value = table.required("command", "a shell command, or a list of them")?;
        let build = Self {
            commands: match command.is_list() {
                true => command.read()?,
                false => vec![command.read()?],
            },
            workdir: table.optional::<String>("workdir")?.map_or(folder.to_owned(), |workdir| folder.join(workdir)),
            watch: table.or_default("watch")?,
        };
        table.finish()?;
        Ok(build)
    }
}
