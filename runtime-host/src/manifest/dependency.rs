//! `[component.x.dependencies]`: other components that satisfy a component's imports.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use semver::Version;

use super::names::check_id;
use crate::config_file::{ConfigError, FromToml, Located, Table, Value, suggestion};

/// A component that satisfies imports of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The imports that it satisfies.
    pub name: Located<DependencyName>,
    /// Where its code is.
    pub source: DependencySource,
    /// The export to use, where its name is not that of the import.
    pub export: Option<String>,
    /// What it may do of that which the component may do.
    pub inherit: Inheritance,
}

/// The name of one import, or of all imports from a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencyName {
    /// An import without a package, such as `logger`.
    Plain(String),
    /// `package[/interface][@version]`.
    Package {
        /// `namespace:name`.
        package: String,
        /// `None` is every interface of the package.
        interface: Option<String>,
        /// `None` is any version.
        version: Option<Version>,
    },
}

/// Where a dependency's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencySource {
    /// A wasm file.
    Path(Located<PathBuf>),
    /// The source of another component of the application.
    Component(Located<String>),
}

/// What a dependency inherits; nothing unless the manifest says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inheritance {
    /// All that the component may do.
    All,
    /// Only these; possibly none.
    Only(BTreeSet<Capability>),
}

/// A right of a component that a dependency can inherit, named as in the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of the manifest's keys")]
pub enum Capability {
    AllowedOutboundHosts,
    Environment,
    Files,
    KeyValueStores,
    SqliteDatabases,
    Variables,
}

const CAPABILITIES: [(&str, Capability); 6] = [
    ("allowed_outbound_hosts", Capability::AllowedOutboundHosts),
    ("environment", Capability::Environment),
    ("files", Capability::Files),
    ("key_value_stores", Capability::KeyValueStores),
    ("sqlite_databases", Capability::SqliteDatabases),
    ("variables", Capability::Variables),
];

impl Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The table has them all.
        f.write_str(CAPABILITIES.iter().find(|(_, known)| known == self).map_or("", |(name, _)| *name))
    }
}

impl Dependency {
    /// Reads the table; `inherit_all` is the component's `dependencies_inherit_configuration`.
    pub(super) fn read_all(
        table: Table<'_>,
        inherit_all: Option<bool>,
        folder: &Path,
    ) -> Result<Vec<Self>, ConfigError> {
        table.into_entries().into_iter().map(|(key, value)| Self::read(&key, value, inherit_all, folder)).collect()
    }

    fn read(
        key: &Located<String>,
        value: Value<'_>,
        inherit_all: Option<bool>,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let name = key.parse().map_err(|problem: String| value.error_at(key.position, problem))?;
        let name = key.with(name);
        if !value.is_table() {
            return Err(
                value.expected("a table with `path` or `component`; a dependency from a registry is not supported")
            );
        }
        let mut table: Table = value.read()?;
        for key in ["version", "registry", "package"] {
            table.refuse(key, "a dependency comes from a `path` or a `component`, not from a registry")?;
        }
        for key in ["url", "digest"] {
            table.refuse(key, "a dependency comes from a `path` or a `component`, not from a URL")?;
        }
        let path: Option<Located<String>> = table.optional("path")?;
        let component: Option<Located<String>> = table.optional("component")?;
        let source = match (path, component) {
            (Some(path), None) => DependencySource::Path(path.with(folder.join(&path.value))),
            (None, Some(component)) => DependencySource::Component(component),
            _ => {
                return Err(table.error(format!("expected either `path` or `component` in {table}")));
            }
        };
        let export: Option<Located<String>> = table.optional("export")?;
        if let (Some(export), DependencyName::Package { interface: None, .. }) = (&export, &name.value) {
            let problem = format!("`export` needs the name of one interface, but `{}` is a whole package", name.value);
            return Err(table.error_at(export.position, problem));
        }
        let inherit = match (table.optional::<Located<Inheritance>>("inherit_configuration")?, inherit_all) {
            (Some(inherit), Some(_)) => {
                let problem = "`inherit_configuration` is set as well as the component's \
                               `dependencies_inherit_configuration`; expected one of the two";
                return Err(table.error_at(inherit.position, problem));
            }
            (Some(inherit), None) => inherit.value,
            (None, Some(true)) => Inheritance::All,
            (None, _) => Inheritance::Only(BTreeSet::new()),
        };
        table.finish()?;
        Ok(Self { name, source, export: export.map(|export| export.value), inherit })
    }
}

impl<'f> FromToml<'f> for Inheritance {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        if !value.is_list() {
            return Ok(match value.read()? {
                true => Self::All,
                false => Self::Only(BTreeSet::new()),
            });
        }
        let capabilities = value.read::<Vec<Value>>()?.into_iter().map(|value| {
            let capability = value.parse(|name| {
                let known = CAPABILITIES.iter().find(|(known, _)| *known == name).map(|(_, capability)| *capability);
                let names = CAPABILITIES.iter().map(|(known, _)| *known);
                known.ok_or_else(|| format!("`{name}` cannot be inherited{}", suggestion(name, names)))
            })?;
            Ok(capability.value)
        });
        Ok(Self::Only(capabilities.collect::<Result<_, ConfigError>>()?))
    }
}

impl DependencyName {
    /// Whether an import could be satisfied by both.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (Self::Package { package, interface, version }, Self::Package { package: p, interface: i, version: v }) =
            (self, other)
        else {
            return self == other;
        };
        let interfaces_differ = matches!((interface, i), (Some(one), Some(two)) if one != two);
        let versions_differ = matches!((version, v), (Some(one), Some(two)) if compatible(one) != compatible(two));
        package == p && !interfaces_differ && !versions_differ
    }
}

/// The part of a version that compatible versions share, by the rules of semver.
fn compatible(version: &Version) -> Version {
    let Version { major, minor, patch, .. } = *version;
    match (major, minor) {
        _ if !version.pre.is_empty() => Version { build: Default::default(), ..version.clone() },
        (0, 0) => Version::new(0, 0, patch),
        (0, _) => Version::new(0, minor, 0),
        _ => Version::new(major, 0, 0),
    }
}

impl FromStr for DependencyName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.contains([':', '/']) {
            check_id(text)?;
            return Ok(Self::Plain(text.into()));
        }
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        let (package, interface) = name.split_once('/').map_or((name, None), |(package, rest)| (package, Some(rest)));
        let form = || {
            format!(
                "{text:?} is no import; expected `namespace:package/interface@1.0.0`, of which the interface and the version may be left out"
            )
        };
        let (namespace, package_name) = package.split_once(':').ok_or_else(form)?;
        for part in [namespace, package_name].into_iter().chain(interface) {
            check_id(part).map_err(|_| form())?;
        }
        let version = version.map(|version| version.parse::<Version>().map_err(|_| form())).transpose()?;
        Ok(Self::Package { package: package.into(), interface: interface.map(Into::into), version })
    }
}

impl Display for DependencyName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(name) => f.write_str(name),
            Self::Package { package, interface, version } => {
                f.write_str(package)?;
                interface.iter().try_for_each(|interface| write!(f, "/{interface}"))?;
                version.iter().try_for_each(|version| write!(f, "@{version}"))
            }
        }
    }
}
