//! The locked application: Spin's JSON document of what an application consists of (`spin.lock`, versions 0 and 1).
//!
//! It is written with the keys in a fixed order, so that the same application gives the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The key in metadata under which this host keeps what Spin has no place for.
pub(super) const OWN_METADATA: &str = "bodega";
/// The feature of a host that components need who call others of the application.
pub(super) const SERVICE_CHAINING: &str = "local_service_chaining";
/// What is said of a feature that a host has to have.
pub(super) const REQUIRED: &str = "required";
/// And of one that it need not have.
pub(super) const OPTIONAL: &str = "optional";
/// The parts of the document that a reader has to know.
pub(super) const UNDERSTOOD: [&str; 2] = ["host_requirements", COMPONENT_HOST_REQUIREMENTS];
/// The one of them that is written here.
pub(super) const COMPONENT_HOST_REQUIREMENTS: &str = "component_host_requirements";
/// The media type of a component's code in the document.
pub(super) const WASM_CONTENT_TYPE: &str = "application/wasm";

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedApp {
    /// 1 where `must_understand` or `host_requirements` is there, else 0.
    pub(super) spin_lock_version: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) must_understand: Vec<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) host_requirements: Map<String, Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) variables: BTreeMap<String, LockedVariable>,
    pub(super) triggers: Vec<LockedTrigger>,
    pub(super) components: Vec<LockedComponent>,
}

/// A variable of the application; without a default it is required.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedVariable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) secret: bool,
}

/// A trigger, with its settings as the manifest has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedTrigger {
    pub(super) id: String,
    pub(super) trigger_type: String,
    pub(super) trigger_config: Value,
    /// Middleware.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) trigger_dependencies: Map<String, Value>,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedComponent {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) metadata: Map<String, Value>,
    pub(super) source: LockedSource,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<LockedFile>,
    /// Its variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) config: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) dependencies: BTreeMap<String, LockedDependency>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) trigger_dependencies: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub(super) host_requirements: Map<String, Value>,
}

/// Code.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedSource {
    pub(super) content_type: String,
    #[serde(flatten)]
    pub(super) content: ContentRef,
}

/// A file that a component sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedFile {
    #[serde(flatten)]
    pub(super) content: ContentRef,
    /// Relative to the component's root.
    pub(super) path: String,
}

/// A component that satisfies imports of another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct LockedDependency {
    pub(super) source: LockedSource,
    /// The export to use, where its name is not that of the import.
    #[serde(default)]
    pub(super) export: Option<String>,
    #[serde(default, skip_serializing_if = "LockedInheritance::is_none")]
    pub(super) inherit: LockedInheritance,
}

/// What a dependency may do of that which its component may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum LockedInheritance {
    All,
    /// These, named as in the manifest.
    Some(Vec<String>),
}

impl Default for LockedInheritance {
    fn default() -> Self {
        Self::Some(Vec::new())
    }
}

impl LockedInheritance {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Where content is: in this document, or in the layer with this digest.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ContentRef {
    /// Of other places than registries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// In base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) inline: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<String>,
}

/// What an application's metadata has for this host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnMetadata {
    /// `[application.tool.bodega]`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) tool: Map<String, Value>,
    /// `gateway.toml`, and what `up --demo` sends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<LockedFile>,
}

/// What a component's metadata has for this host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct OwnComponentMetadata {
    /// `[component.x.tool.bodega]`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) tool: Map<String, Value>,
    /// Which component of the application each dependency is, by the dependency's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) dependencies: BTreeMap<String, String>,
}

impl OwnMetadata {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl OwnComponentMetadata {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
