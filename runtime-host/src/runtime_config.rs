//! `runtime-config.toml`: where stores are and where variables come from, in Spin's syntax.
//!
//! Spin refuses a file with keys that it does not know, so this file has none of ours: the settings of stores that
//! Spin does not have are in the manifest, under `[application.tool.bodega]`.

mod client_tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use client_tls::{ClientIdentity, ClientTls, TlsRoots};

use crate::config_file::{ConfigError, ConfigFile, Located, Table, Value, suggestion};
use crate::stores::key_value::RedisServer;
use crate::stores::libsql::LibsqlServer;
use crate::variables::{DEFAULT_PREFIX, VariableProvider};

/// The configuration; by default nothing is set up but what every application has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// The file, unless it is the default.
    pub path: Option<PathBuf>,
    /// Where the host keeps the stores that have no path of their own.
    pub state_dir: Option<PathBuf>,
    /// `[sqlite_database.<label>]`.
    pub sqlite_databases: BTreeMap<String, DatabasePlace>,
    /// `[key_value_store.<label>]`.
    pub key_value_stores: BTreeMap<String, KeyValuePlace>,
    /// `[[variables_provider]]`, in the order in which they are asked.
    pub variables_providers: Vec<VariableProvider>,
    /// `[outbound_http]`.
    pub outbound_http: OutboundHttp,
    /// `[[client_tls]]`, in the order in which they are asked.
    pub client_tls: Vec<ClientTls>,
}

/// Where a store of `type = "spin"` keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// In this file.
    File(PathBuf),
    /// Nowhere: without a `path`, the data lives as long as the process.
    Memory,
}

/// Where a SQL database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabasePlace {
    /// `type = "spin"`.
    Spin(StoreLocation),
    /// `type = "libsql"`.
    Libsql(LibsqlServer),
}

/// Where a key-value store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValuePlace {
    /// `type = "spin"`.
    Spin(StoreLocation),
    /// `type = "redis"`.
    Redis(RedisServer),
}

/// Bounds on the requests that components send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundHttp {
    /// Whether connections are kept for further requests.
    pub connection_pooling: bool,
    /// Connections of the whole application at once; `None` is the host's default.
    pub connections_max: Option<u64>,
}

impl Default for OutboundHttp {
    fn default() -> Self {
        Self { connection_pooling: true, connections_max: None }
    }
}

impl RuntimeConfig {
    /// Reads the file at `path`.
    ///
    /// As in Spin, the paths of key-value stores are relative to the file and all others to the current folder.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let file = ConfigFile::read(path)?;
        let mut root = file.root()?;
        root.refuse("log_dir", "the log goes to standard error; redirect it")?;
        root.refuse("llm_compute", "no language models are offered")?;
        root.refuse("blob_store", "blob stores are not offered")?;
        root.refuse("outbound_networking", "only [outbound_http] is offered")?;
        for key in ["outbound_pg", "outbound_mysql", "outbound_redis", "outbound_mqtt"] {
            root.refuse(key, "components can only send HTTP requests")?;
        }
        let current = Path::new("");
        let folder = path.parent().unwrap_or(current);
        let old_providers: Option<Located<Vec<Table>>> = root.optional("config_provider")?;
        let providers: Option<Vec<Table>> = root.optional("variables_provider")?;
        if let (Some(old), Some(_)) = (&old_providers, &providers) {
            let problem = "`config_provider` is the older name of `variables_provider`; expected one of the two";
            return Err(root.error_at(old.position, problem));
        }
        let providers = providers.or(old_providers.map(|old| old.value)).unwrap_or_default();
        let tls_settings: Vec<Table> = root.or_default("client_tls")?;
        let config = Self {
            path: Some(path.to_owned()),
            state_dir: root.optional::<Value>("state_dir")?.map(read_dir).transpose()?,
            sqlite_databases: read_stores(&mut root, "sqlite_database", |table| {
                Ok(match read_type(table, &["spin", "libsql"], &["turso"])? {
                    "libsql" => {
                        let url: Value = table.required("url", "a URL such as \"https://host:8080\"")?;
                        let token: String = table.required("token", "the token that the server asks for")?;
                        DatabasePlace::Libsql(url.parse(|url| LibsqlServer::parse(url, &token))?.value)
                    }
                    _ => DatabasePlace::Spin(read_location(table, current)?),
                })
            })?,
            key_value_stores: read_stores(&mut root, "key_value_store", |table| {
                Ok(match read_type(table, &["spin", "redis"], &["azure_cosmos", "aws_dynamo"])? {
                    "redis" => {
                        let url: Value = table.required("url", "a URL such as \"redis://host:6379/0\"")?;
                        KeyValuePlace::Redis(url.parse(RedisServer::parse)?.value)
                    }
                    _ => KeyValuePlace::Spin(read_location(table, folder)?),
                })
            })?,
            variables_providers: providers.into_iter().map(read_provider).collect::<Result<_, _>>()?,
            outbound_http: root.optional("outbound_http")?.map(OutboundHttp::read).transpose()?.unwrap_or_default(),
            client_tls: tls_settings
                .into_iter()
                .map(|table| ClientTls::read(table, folder))
                .collect::<Result<_, _>>()?,
        };
        root.finish()?;
        Ok(config)
    }
}

fn read_dir(value: Value<'_>) -> Result<PathBuf, ConfigError> {
    let dir = value.parse(|path| match path {
        "" => Err("the folder is empty, which Spin takes for no folder at all; expected a path"),
        _ => Ok(PathBuf::from(path)),
    })?;
    Ok(dir.value)
}

fn read_stores<T>(
    root: &mut Table<'_>,
    key: &'static str,
    read: impl Fn(&mut Table<'_>) -> Result<T, ConfigError>,
) -> Result<BTreeMap<String, T>, ConfigError> {
    let mut stores = BTreeMap::new();
    for (label, value) in root.optional::<Table>(key)?.map(Table::into_entries).unwrap_or_default() {
        let mut table: Table = value.read()?;
        let store = read(&mut table)?;
        table.finish()?;
        stores.insert(label.value, store);
    }
    Ok(stores)
}

fn read_location(table: &mut Table<'_>, folder: &Path) -> Result<StoreLocation, ConfigError> {
    Ok(match table.optional::<String>("path")? {
        Some(path) => StoreLocation::File(folder.join(path)),
        None => StoreLocation::Memory,
    })
}

/// Reads `type`, which has to be one of `offered`; those that only Spin offers are refused by name.
fn read_type(
    table: &mut Table<'_>,
    offered: &[&'static str],
    not_offered: &[&str],
) -> Result<&'static str, ConfigError> {
    let expected = format!("one of `{}`", offered.join("`, `"));
    let found: Value = table.required("type", &expected)?;
    let found = found.parse(|name| match offered.iter().find(|offered| **offered == name) {
        Some(found) => Ok(*found),
        None if not_offered.contains(&name) => {
            Err(format!("the type `{name}` is not offered yet; expected {expected}"))
        }
        None => Err(format!("unknown type `{name}`{}", suggestion(name, offered.iter().copied()))),
    })?;
    Ok(found.value)
}

fn read_provider(mut table: Table<'_>) -> Result<VariableProvider, ConfigError> {
    let provider = match read_type(&mut table, &["env", "static"], &["vault", "open_bao", "azure_key_vault"])? {
        "static" => {
            let values: BTreeMap<String, String> = table.required("values", "a table of names and values")?;
            VariableProvider::Static(values.into_iter().collect())
        }
        _ => VariableProvider::Environment {
            prefix: table.optional("prefix")?.unwrap_or(DEFAULT_PREFIX.into()),
            dotenv_path: table.optional::<String>("dotenv_path")?.map(PathBuf::from),
        },
    };
    table.finish()?;
    Ok(provider)
}

impl OutboundHttp {
    fn read(mut table: Table<'_>) -> Result<Self, ConfigError> {
        let connections_max: Option<u64> = table.optional("max_connections")?;
        let requests_max: Option<Located<u64>> = table.optional("max_concurrent_requests")?;
        if let (Some(_), Some(old)) = (connections_max, &requests_max) {
            let problem = "`max_concurrent_requests` is the older form of `max_connections`; expected one of the two";
            return Err(table.error_at(old.position, problem));
        }
        let settings = Self {
            connection_pooling: table.optional("connection_pooling")?.unwrap_or(true),
            // The older key allowed one connection more than it says, and Spin still reads it so.
            connections_max: connections_max.or(requests_max.map(|old| old.value.saturating_add(1))),
        };
        table.finish()?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests;
