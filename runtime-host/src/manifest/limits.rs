//! `[component.x.tool.bodega]` and `[application.tool.bodega]`: settings of this host, which Spin ignores.

use std::collections::BTreeMap;

use crate::config_file::{ConfigError, FromToml, Located, Table, Value};
use crate::engine::component::Priority;
use crate::generated::Generate;
use crate::stores::sqlite::Durability;

/// Bounds on the instances of a component; `None` leaves the host's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ComponentLimits {
    /// Instances alive at once.
    pub instances_max: Option<u64>,
    /// Requests that one instance answers before it is replaced.
    pub instance_reuse_max: Option<u64>,
    /// Requests that one instance works on at once.
    pub instance_concurrency_max: Option<u64>,
    /// How long an instance without work is kept.
    pub idle_timeout_ms: Option<u64>,
    /// Linear memory of one instance.
    pub memory_bytes_max: Option<u64>,
    /// How long a request may take.
    pub deadline_ms: Option<u64>,
    /// Requests that may wait for an instance.
    pub queue_length_max: Option<u64>,
    /// On which threads the instances run.
    pub priority: Option<Priority>,
}

/// What a wasm memory grows by; an instance with less has no memory at all.
const WASM_PAGE_BYTES: u64 = 65536;
/// A database with less has room for hardly a table.
const DATABASE_BYTES_MIN: u64 = 64 << 10;

impl ComponentLimits {
    pub(super) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            instances_max: at_least(table, "instances_max", 1)?,
            instance_reuse_max: at_least(table, "instance_reuse_max", 1)?,
            instance_concurrency_max: at_least(table, "instance_concurrency_max", 1)?,
            idle_timeout_ms: at_least(table, "idle_timeout_ms", 0)?,
            memory_bytes_max: at_least(table, "memory_bytes_max", WASM_PAGE_BYTES)?,
            deadline_ms: at_least(table, "deadline_ms", 1)?,
            queue_length_max: at_least(table, "queue_length_max", 0)?,
            priority: table.optional("priority")?,
        })
    }

    /// These limits, completed by `defaults`.
    pub(super) fn or(self, defaults: Self) -> Self {
        Self {
            instances_max: self.instances_max.or(defaults.instances_max),
            instance_reuse_max: self.instance_reuse_max.or(defaults.instance_reuse_max),
            instance_concurrency_max: self.instance_concurrency_max.or(defaults.instance_concurrency_max),
            idle_timeout_ms: self.idle_timeout_ms.or(defaults.idle_timeout_ms),
            memory_bytes_max: self.memory_bytes_max.or(defaults.memory_bytes_max),
            deadline_ms: self.deadline_ms.or(defaults.deadline_ms),
            queue_length_max: self.queue_length_max.or(defaults.queue_length_max),
            priority: self.priority.or(defaults.priority),
        }
    }
}

fn at_least(table: &mut Table<'_>, key: &'static str, least: u64) -> Result<Option<u64>, ConfigError> {
    let value: Option<Located<u64>> = table.optional(key)?;
    if let Some(value) = value.as_ref().filter(|value| value.value < least) {
        let problem = format!("`{key}` is {}; expected at least {least}", value.value);
        return Err(table.error_at(value.position, problem));
    }
    Ok(value.map(|value| value.value))
}

impl<'f> FromToml<'f> for Priority {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let priority = value.parse(|name| match name {
            "normal" => Ok(Self::Normal),
            "low" => Ok(Self::Low),
            _ => Err(format!("unknown priority `{name}`; expected `normal` or `low`")),
        })?;
        Ok(priority.value)
    }
}

impl<'f> FromToml<'f> for Durability {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let durability = value.parse(|name| match name {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            _ => Err(format!("unknown durability `{name}`; expected `full` or `normal`")),
        })?;
        Ok(durability.value)
    }
}

/// Settings of a SQLite database, by label in `[application.tool.bodega.sqlite_database.<label>]`.
///
/// They stand in the manifest because Spin refuses keys in its runtime configuration that it does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SqliteSettings {
    /// When a write is answered.
    pub durability: Durability,
    /// Size that the file may reach; `None` is as far as the disk goes.
    pub bytes_max: Option<u64>,
    /// How long a transaction over several calls may stay open; `None` is the host's default.
    pub transaction_timeout_ms: Option<u64>,
    /// How long a read may take until its last row is taken; `None` is the host's default.
    pub read_timeout_ms: Option<u64>,
}

/// Settings of a key-value store, by label in `[application.tool.bodega.key_value_store.<label>]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyValueSettings {
    /// When a write is answered.
    pub durability: Durability,
    /// How long an entry lives after it was last written; `None` is for ever.
    pub ttl_seconds: Option<u64>,
}

/// `[application.tool.bodega]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplicationSettings {
    /// Limits of every component that sets none of its own.
    pub limits: ComponentLimits,
    /// By label.
    pub sqlite_databases: BTreeMap<String, Located<SqliteSettings>>,
    /// By label.
    pub key_value_stores: BTreeMap<String, Located<KeyValueSettings>>,
    /// The variables that get a generated value when nothing else gives one.
    pub generate: BTreeMap<String, Located<Generate>>,
    /// What `up --demo` sends to the application.
    pub demo: Vec<DemoData>,
}

/// One entry of `demo`: a file that is posted to the application, with a staff token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoData {
    /// The file, relative to the manifest.
    pub file: String,
    /// The path that it is posted to.
    pub post: String,
    /// Its media type.
    pub content_type: String,
}

impl<'f> FromToml<'f> for DemoData {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let data = Self {
            file: table.required("file", "a path")?,
            post: table.required::<Value>("post", "the path of a route")?.parse(route_path)?.value,
            content_type: table.required("content_type", "a media type")?,
        };
        table.finish()?;
        Ok(data)
    }
}

/// It is appended to the host's own address, and a token goes with it.
fn route_path(path: &str) -> Result<String, String> {
    match path.starts_with('/') {
        true => Ok(path.to_owned()),
        false => Err(format!("`{path}` is no path; expected one that begins with `/`")),
    }
}

impl<'f> FromToml<'f> for Generate {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let kind = value.parse(|name| match name {
            "secret" => Ok(Self::Secret),
            "staff-jwks" => Ok(Self::StaffJwks),
            _ => Err(format!("unknown kind of value `{name}`; expected `secret` or `staff-jwks`")),
        })?;
        Ok(kind.value)
    }
}

impl ApplicationSettings {
    pub(super) fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let settings = Self {
            limits: ComponentLimits::read(&mut table)?,
            sqlite_databases: table.or_default("sqlite_database")?,
            key_value_stores: table.or_default("key_value_store")?,
            generate: table.or_default("generate")?,
            demo: table.or_default("demo")?,
        };
        table.finish()?;
        Ok(settings)
    }
}

impl<'f> FromToml<'f> for SqliteSettings {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let settings = Self {
            durability: table.or_default("durability")?,
            bytes_max: at_least(&mut table, "bytes_max", DATABASE_BYTES_MIN)?,
            transaction_timeout_ms: at_least(&mut table, "transaction_timeout_ms", 1)?,
            read_timeout_ms: at_least(&mut table, "read_timeout_ms", 1)?,
        };
        table.finish()?;
        Ok(settings)
    }
}

impl<'f> FromToml<'f> for KeyValueSettings {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let durability = table.or_default("durability")?;
        let settings = Self { durability, ttl_seconds: at_least(&mut table, "ttl_seconds", 1)? };
        table.finish()?;
        Ok(settings)
    }
}
