//! From an application in a folder to the locked application and its layers.

mod files;
mod triggers;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::{Map, Value};

use self::files::Files;
use self::triggers::{locked_triggers, tool_of_component};
use super::layers::Layers;
use super::locked::{
    COMPONENT_HOST_REQUIREMENTS, LockedApp, LockedComponent, LockedDependency, LockedFile, LockedInheritance,
    LockedSource, LockedVariable, OWN_METADATA, OwnComponentMetadata, OwnMetadata, REQUIRED, SERVICE_CHAINING,
    WASM_CONTENT_TYPE,
};
use super::{OciError, media_type};
use crate::allowed_hosts::AllowedHost;
use crate::gateway;
use crate::manifest::{Component, Dependency, DependencySource, Inheritance, Manifest};

/// Layers of files and code; the locked application is one more. As in Spin, for registries that take 500.
const LAYERS_MAX: usize = 499;
/// What every wasm file begins with.
const WASM_MAGIC: &[u8] = b"\0asm";
/// The folder in the artifact of what `up --demo` sends.
pub(super) const DEMO_FOLDER: &str = "demo";

/// Makes one component of a component and its dependencies.
pub type Compose<'a> = &'a dyn Fn(&Component, &[u8], &[Part<'_>]) -> anyhow::Result<Vec<u8>>;

/// A dependency with its code.
#[derive(Debug)]
pub struct Part<'a> {
    /// As the manifest has it.
    pub dependency: &'a Dependency,
    /// Its code.
    pub wasm: Bytes,
}

/// A locked application, to be pushed.
#[derive(Debug)]
pub struct Locked {
    pub(super) app: LockedApp,
    pub(super) layers: Layers,
    /// Files that components would see and that are not in it, because they may hold secrets.
    pub withheld: Vec<PathBuf>,
}

/// Locks an application whose manifest is checked and whose files are there.
///
/// Components with dependencies are made one by `compose`; without it, dependencies are layers of their own. The `gateway`'s file and
/// this host's settings go with it. What lies in or at the paths `secret`, or is an `.env` file, does not, whoever names it.
pub fn lock(
    manifest: &Manifest,
    compose: Option<Compose<'_>>,
    gateway: Option<&Path>,
    secret: &[PathBuf],
) -> Result<Locked, OciError> {
    let text = fs::read_to_string(&manifest.path).map_err(OciError::file(&manifest.path, "read"))?;
    let source: toml::Table =
        text.parse().map_err(|error| OciError::Unpushable(format!("{}: {error}", manifest.path.display())))?;
    let mut files = Files::new(secret);
    let of_components =
        manifest.components.iter().map(|component| files.of(manifest, component)).collect::<Result<Vec<_>, _>>()?;

    let mut locking = Locking { manifest, source: &source, compose, layers: Layers::default(), archives: false };
    let mut app = locking.app(&of_components)?;
    let own = locking.own_metadata(gateway)?;
    if locking.layers.len() > LAYERS_MAX {
        locking = Locking { layers: Layers::default(), archives: true, ..locking };
        app = locking.app(&of_components)?;
        locking.own_metadata(gateway)?;
    }
    if locking.layers.len() > LAYERS_MAX {
        let max = format!("{LAYERS_MAX} layers");
        return Err(OciError::TooLarge { what: "the artifact of this application would be".to_owned(), max });
    }
    if !own.is_empty() {
        app.metadata.insert(OWN_METADATA.to_owned(), json(&own)?);
    }
    Ok(Locked { app, layers: locking.layers, withheld: files.withheld })
}

struct Locking<'a> {
    manifest: &'a Manifest,
    source: &'a toml::Table,
    compose: Option<Compose<'a>>,
    layers: Layers,
    /// Whether a component's files are one layer, because there are so many.
    archives: bool,
}

impl Locking<'_> {
    fn app(&mut self, files: &[BTreeMap<String, Bytes>]) -> Result<LockedApp, OciError> {
        let Self { manifest, source, .. } = *self;
        let components =
            manifest.components.iter().zip(files).map(|(component, files)| self.component(component, files));
        let components = components.collect::<Result<Vec<_>, _>>()?;
        let chains = components.iter().any(|component| !component.host_requirements.is_empty());
        let variables = manifest.variables.iter().map(|(name, declared)| {
            let locked = LockedVariable {
                description: some(&declared.description),
                default: declared.default().map(str::to_owned),
                secret: declared.secret,
            };
            (name.clone(), locked)
        });
        Ok(LockedApp {
            spin_lock_version: chains.into(),
            must_understand: chains.then(|| COMPONENT_HOST_REQUIREMENTS.to_owned()).into_iter().collect(),
            metadata: self.metadata()?,
            host_requirements: Map::new(),
            variables: variables.collect(),
            triggers: locked_triggers(manifest, source)?,
            components,
        })
    }

    /// What Spin writes: `triggers` for the settings of all triggers of a kind, and `trigger` for older readers.
    fn metadata(&self) -> Result<Map<String, Value>, OciError> {
        let application = &self.manifest.application;
        let mut metadata = Map::new();
        let mut text = |key: &str, text: &str| {
            metadata.extend(some(text).map(|text| (key.to_owned(), Value::String(text))));
        };
        text("name", &application.name);
        text("version", &application.version);
        text("description", &application.description);
        if !application.authors.is_empty() {
            metadata.insert("authors".to_owned(), json(&application.authors)?);
        }
        let settings = self.source.get("application").and_then(|table| table.get("trigger"));
        let triggers = settings.map(json).transpose()?.unwrap_or_else(|| Value::Object(Map::new()));
        let mut http = triggers["http"].as_object().cloned().unwrap_or_default();
        http.insert("type".to_owned(), "http".into());
        metadata.insert("trigger".to_owned(), Value::Object(http));
        metadata.insert("triggers".to_owned(), triggers);
        Ok(metadata)
    }

    fn component(
        &mut self,
        component: &Component,
        files: &BTreeMap<String, Bytes>,
    ) -> Result<LockedComponent, OciError> {
        let own = wasm(&component.source)?;
        let parts = component.dependencies.iter().map(|dependency| self.part(dependency));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let code = match self.compose {
            Some(compose) if !parts.is_empty() => compose(component, &own, &parts)
                .map_err(|error| OciError::Unpushable(format!("component `{}`: {error:#}", component.id)))?
                .into(),
            _ => own,
        };
        let code = self.layers.add(media_type::WASM, code);
        let uncomposed = if self.compose.is_some() { Vec::new() } else { parts };
        let dependencies = uncomposed.into_iter().map(|part| {
            let content = self.layers.add(media_type::WASM, part.wasm);
            let locked = LockedDependency {
                source: LockedSource { content_type: WASM_CONTENT_TYPE.to_owned(), content },
                export: part.dependency.export.clone(),
                inherit: inheritance(&part.dependency.inherit),
            };
            (part.dependency.name.to_string(), locked)
        });
        let dependencies: BTreeMap<_, _> = dependencies.collect();
        let mut metadata = Map::new();
        metadata.extend(some(&component.description).map(|text| ("description".to_owned(), text.into())));
        let mut list = |key: &str, items: Vec<String>| {
            metadata.extend((!items.is_empty()).then(|| (key.to_owned(), Value::from(items))));
        };
        let hosts: Vec<_> = component.allowed_outbound_hosts.iter().map(|host| host.value.to_string()).collect();
        let chains = hosts.iter().any(|host| is_chaining(host));
        list("allowed_outbound_hosts", hosts);
        list("key_value_stores", component.key_value_stores.iter().map(|label| label.value.clone()).collect());
        list("databases", component.sqlite_databases.iter().map(|label| label.value.clone()).collect());
        let tool = tool_of_component(self.manifest, self.source, &component.id)?;
        let own = OwnComponentMetadata { tool, dependencies: components_of(component, &dependencies) };
        if !own.is_empty() {
            metadata.insert(OWN_METADATA.to_owned(), json(&own)?);
        }
        let requirement = chains.then(|| (SERVICE_CHAINING.to_owned(), REQUIRED.into()));
        Ok(LockedComponent {
            id: component.id.clone(),
            metadata,
            source: LockedSource { content_type: WASM_CONTENT_TYPE.to_owned(), content: code },
            env: component.environment.clone(),
            files: self.files(&component.id, files)?,
            config: component.variables.iter().map(|(name, text)| (name.clone(), text.value.to_string())).collect(),
            dependencies,
            trigger_dependencies: Map::new(),
            host_requirements: requirement.into_iter().collect(),
        })
    }

    fn part<'d>(&self, dependency: &'d Dependency) -> Result<Part<'d>, OciError> {
        let path = self.manifest.dependency_source(dependency).ok_or_else(|| {
            OciError::Unpushable(format!("the dependency `{}` has no wasm file", dependency.name.value))
        })?;
        Ok(Part { dependency, wasm: wasm(path)? })
    }

    fn files(&mut self, id: &str, files: &BTreeMap<String, Bytes>) -> Result<Vec<LockedFile>, OciError> {
        if self.archives && !files.is_empty() {
            let archive = super::archive::write(files.iter().map(|(path, data)| (path.as_str(), data)));
            let archive =
                archive.map_err(|error| OciError::Unpushable(format!("the files of component `{id}`: {error}")))?;
            self.layers.add(media_type::ARCHIVE, archive);
        }
        let place = |(path, data): (&String, &Bytes)| {
            let content = match self.archives {
                true => Layers::without_layer(data.clone()),
                false => self.layers.add_file(media_type::DATA, data.clone()),
            };
            LockedFile { content, path: path.clone() }
        };
        Ok(files.iter().map(place).collect())
    }

    /// This host's settings and the files that belong to them.
    fn own_metadata(&mut self, gateway: Option<&Path>) -> Result<OwnMetadata, OciError> {
        let mut own = OwnMetadata::default();
        let application = self.source.get("application").and_then(toml::Value::as_table);
        own.tool = application.map(triggers::tool).transpose()?.unwrap_or_default();
        let mut add = |path: String, source: &Path| {
            let data: Bytes = fs::read(source).map_err(OciError::file(source, "read"))?.into();
            let content = self.layers.add_file(media_type::DATA, data);
            own.files.push(LockedFile { content, path });
            Ok::<_, OciError>(())
        };
        if let Some(gateway) = gateway {
            add(gateway::FILE_NAME.to_owned(), gateway)?;
        }
        let demo = &self.manifest.application.settings.demo;
        let mut entries = own.tool.get_mut("demo").and_then(Value::as_array_mut);
        for (index, data) in demo.iter().enumerate() {
            let name = Path::new(&data.file).file_name().unwrap_or_default().to_string_lossy().into_owned();
            let place = format!("{DEMO_FOLDER}/{index}/{name}");
            add(place.clone(), &self.manifest.folder().join(&data.file))?;
            if let Some(entry) = entries.as_mut().and_then(|entries| entries.get_mut(index)) {
                entry["file"] = place.into();
            }
        }
        Ok(own)
    }
}

/// Reads a wasm file.
fn wasm(path: &Path) -> Result<Bytes, OciError> {
    let wasm = fs::read(path).map_err(OciError::file(path, "read"))?;
    if !wasm.starts_with(WASM_MAGIC) {
        return Err(OciError::Unpushable(format!("{} is no wasm file", path.display())));
    }
    Ok(wasm.into())
}

/// Which components of the application its dependencies are.
fn components_of(component: &Component, locked: &BTreeMap<String, LockedDependency>) -> BTreeMap<String, String> {
    let named = component.dependencies.iter().filter_map(|dependency| match &dependency.source {
        DependencySource::Component(id) => Some((dependency.name.to_string(), id.value.clone())),
        DependencySource::Path(_) => None,
    });
    named.filter(|(name, _)| locked.contains_key(name)).collect()
}

fn inheritance(inherit: &Inheritance) -> LockedInheritance {
    match inherit {
        Inheritance::All => LockedInheritance::All,
        Inheritance::Only(some) => LockedInheritance::Some(some.iter().map(ToString::to_string).collect()),
    }
}

/// Whether Spin would see by this text that another component is called.
fn is_chaining(host: &str) -> bool {
    AllowedHost::parse(host).is_ok_and(|host| host.is_any_component() || host.service_chaining_target().is_some())
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn json(value: &impl serde::Serialize) -> Result<Value, OciError> {
    serde_json::to_value(value).map_err(|error| OciError::Unpushable(format!("the manifest cannot be locked: {error}")))
}
