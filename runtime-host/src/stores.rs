//! The stores of an application by label: SQLite databases and key-value stores, and their backup.
//!
//! One host has the state folder at a time, but for an upgrade: the new process gets the former one's lock, and for as long as that
//! one still answers requests both have the files open. SQLite's own locks order their writes; nothing of the content is kept in
//! memory. Labels that name the same file share its writer.

mod backup;
pub mod key_value;
pub mod libsql;
mod private;
mod restore;
pub mod sql;
pub mod sqlite;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use backup::{BackupError, BackupReport};
use key_value::{Embedded, KeyValue, Redis, RedisServer};
use libsql::LibsqlServer;
pub use restore::{RestoreError, restore};
pub use sqlite::Others;
use sqlite::{Database, Location, OpenError, Settings};

use crate::telemetry::disk::StoreFile;

/// The label of the stores that every application has without setting them up, as in Spin.
pub const DEFAULT_LABEL: &str = "default";
/// The file that a host locks while it uses a state folder.
const LOCK_FILE: &str = "lock";

/// Where the stores are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoresConfig {
    /// The state folder.
    pub state_dir: PathBuf,
    /// SQLite databases that the host itself keeps, by label.
    pub sqlite: BTreeMap<String, SqliteConfig>,
    /// SQL databases that servers keep, by label.
    pub libsql: BTreeMap<String, LibsqlServer>,
    /// Key-value stores by label.
    pub key_value: BTreeMap<String, KeyValueConfig>,
}

/// A SQLite database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// Where it lives.
    pub location: Location,
    /// How it is run.
    pub settings: Settings,
}

/// A key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValueConfig {
    /// Who keeps it.
    pub backend: KeyValueBackend,
    /// How long an entry lives after it was written; `None` for ever.
    pub ttl: Option<Duration>,
}

/// Who keeps a key-value store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyValueBackend {
    /// The host itself, in a SQLite file.
    Embedded(SqliteConfig),
    /// A Redis server.
    Redis(RedisServer),
}

impl KeyValueConfig {
    /// A store that the host itself keeps, whose entries live for ever.
    pub fn embedded(location: Location, settings: Settings) -> Self {
        Self { backend: KeyValueBackend::Embedded(SqliteConfig { location, settings }), ttl: None }
    }

    /// Where it is kept by the host itself.
    pub fn location(&self) -> Option<&Location> {
        match &self.backend {
            KeyValueBackend::Embedded(config) => Some(&config.location),
            KeyValueBackend::Redis(_) => None,
        }
    }
}

impl StoresConfig {
    /// The first file of a store that is not there; every one is made when the application first starts.
    pub fn missing_file(&self) -> Option<&Path> {
        let sqlite = self.sqlite.values().map(|store| &store.location);
        let locations = sqlite.chain(self.key_value.values().filter_map(KeyValueConfig::location));
        let mut files = locations.filter_map(|location| match location {
            Location::File(path) => Some(path.as_path()),
            Location::Memory => None,
        });
        files.find(|path| !path.is_file())
    }

    /// The default database and the default key-value store, as files in the state folder.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        let state_dir = state_dir.into();
        let file = |name: &str| Location::File(state_dir.join(name));
        let sqlite = SqliteConfig { location: file("sqlite_db.db"), settings: Settings::default() };
        let key_value = KeyValueConfig::embedded(file("sqlite_key_value.db"), Settings::default());
        Self {
            sqlite: BTreeMap::from([(DEFAULT_LABEL.to_owned(), sqlite)]),
            libsql: BTreeMap::new(),
            key_value: BTreeMap::from([(DEFAULT_LABEL.to_owned(), key_value)]),
            state_dir,
        }
    }
}

/// The stores could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoresError {
    /// The state folder cannot be used.
    #[error("the state folder {path} cannot be used")]
    StateDir {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process has the state folder.
    #[error("another host is using the state folder {0}")]
    InUse(PathBuf),
    /// The lock of the process that this one takes over from is another folder's.
    #[error("the host to take over from has another state folder than {0}")]
    OtherFolder(PathBuf),
    /// A database could not be opened.
    #[error("the store `{label}` cannot be opened")]
    Open {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The table of a key-value store could not be made, or its server's settings make no sense.
    #[error("the key-value store `{label}` cannot be set up")]
    KeyValue {
        /// Its label.
        label: String,
        /// Why.
        #[source]
        source: key_value::Error,
    },
    /// Two labels name one file and want different settings for it.
    #[error("the store `{label}` shares {path} with another label, whose settings differ")]
    Settings {
        /// The later label.
        label: String,
        /// The file.
        path: PathBuf,
    },
}

/// All open stores. Clones share them.
#[derive(Debug, Clone)]
pub struct Stores(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sqlite: HashMap<String, Arc<Database>>,
    libsql: HashMap<String, Arc<libsql::Database>>,
    key_value: HashMap<String, Arc<dyn KeyValue>>,
    files: Vec<OpenFile>,
    /// Those that are kept elsewhere, as people call them.
    elsewhere: Vec<String>,
    /// Held while a backup is made.
    backup_turn: Arc<tokio::sync::Mutex<()>>,
    /// Held until the last clone is gone.
    lock: File,
}

/// One file and who uses it.
#[derive(Debug)]
struct OpenFile {
    database: Arc<Database>,
    settings: Settings,
    /// The file; `None` for a temporary one.
    path: Option<PathBuf>,
    users: Vec<StoreName>,
}

/// A label and its kind, which have name spaces of their own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(tag = "kind", content = "label", rename_all = "kebab-case")]
enum StoreName {
    /// A SQLite database.
    Sqlite(String),
    /// A key-value store.
    KeyValue(String),
}

impl StoreName {
    fn label(&self) -> &str {
        match self {
            Self::Sqlite(label) | Self::KeyValue(label) => label,
        }
    }
}

impl Stores {
    /// Locks the state folder and opens every store. Blocks while files are opened.
    pub fn open(config: &StoresConfig) -> Result<Self, StoresError> {
        let lock = lock(&config.state_dir)?;
        restore::finish(&config.state_dir)
            .map_err(|source| StoresError::StateDir { path: config.state_dir.clone(), source })?;
        Self::open_files(config, lock)
    }

    /// Opens every store while the process that this one takes over from still has them; `lock` is its lock.
    pub fn open_beside(config: &StoresConfig, lock: File) -> Result<Self, StoresError> {
        Self::open_files(config, shared_lock(&config.state_dir, lock)?)
    }

    fn open_files(config: &StoresConfig, lock: File) -> Result<Self, StoresError> {
        let (mut files, mut elsewhere) = (Vec::new(), Vec::new());
        let mut sqlite = HashMap::new();
        for (label, config) in &config.sqlite {
            let database = open_file(&mut files, StoreName::Sqlite(label.clone()), &config.location, &config.settings)?;
            sqlite.insert(label.clone(), database);
        }
        let mut remote = HashMap::new();
        for (label, server) in &config.libsql {
            elsewhere.push(format!("the SQL database `{label}`, which is kept by {server}"));
            remote.insert(label.clone(), libsql::Database::new(server));
        }
        let mut key_value = HashMap::new();
        for (label, config) in &config.key_value {
            let failed = |source| StoresError::KeyValue { label: label.clone(), source };
            let store: Arc<dyn KeyValue> = match &config.backend {
                KeyValueBackend::Embedded(file) => {
                    let name = StoreName::KeyValue(label.clone());
                    let database = open_file(&mut files, name, &file.location, &file.settings)?;
                    let store = Embedded::open(database, label, config.ttl, Embedded::system_clock());
                    Arc::new(store.map_err(|error| failed(error.into()))?)
                }
                KeyValueBackend::Redis(server) => {
                    elsewhere.push(format!("the key-value store `{label}`, which is kept by {server}"));
                    Arc::new(Redis::open(server, config.ttl).map_err(failed)?)
                }
            };
            key_value.insert(label.clone(), store);
        }
        let backup_turn = Arc::default();
        Ok(Self(Arc::new(Inner { sqlite, libsql: remote, key_value, files, elsewhere, backup_turn, lock })))
    }

    /// The lock on the state folder. A process that has it too has the lock for as long as it lives.
    pub fn lock(&self) -> &File {
        &self.0.lock
    }

    /// Waits for the end of a backup that is being made, and lets none begin until the guard is dropped: while two processes write,
    /// copies of several files would not show one moment.
    pub async fn hold_backups(&self) -> tokio::sync::OwnedMutexGuard<()> {
        self.0.backup_turn.clone().lock_owned().await
    }

    /// The SQL database of a label, whoever keeps it.
    pub fn sql(&self, label: &str) -> Option<sql::Database> {
        let remote = self.0.libsql.get(label).cloned().map(sql::Database::Remote);
        remote.or_else(|| self.sqlite(label).map(sql::Database::File))
    }

    /// The SQLite database of a label that the host itself keeps.
    pub fn sqlite(&self, label: &str) -> Option<Arc<Database>> {
        self.0.sqlite.get(label).cloned()
    }

    /// The key-value store of a label.
    pub fn key_value(&self, label: &str) -> Option<Arc<dyn KeyValue>> {
        self.0.key_value.get(label).cloned()
    }

    /// The files of all stores that are kept in one, once for each store.
    pub fn files(&self) -> Vec<StoreFile> {
        let of_file = |file: &OpenFile| {
            let (path, bytes_max) = (file.path.clone(), file.settings.bytes_max);
            let users = file.users.clone().into_iter();
            let stores = path.into_iter().flat_map(move |path| users.clone().map(move |user| (path.clone(), user)));
            stores.map(move |(path, user)| {
                let (store_kind, store) = match user {
                    StoreName::Sqlite(label) => ("sqlite", label),
                    StoreName::KeyValue(label) => ("key-value", label),
                };
                StoreFile { store_kind, store, path, bytes_max }
            })
        };
        self.0.files.iter().flat_map(of_file).collect()
    }

    /// Removes what expired from every key-value store, and returns how many entries that were.
    pub async fn sweep_expired(&self) -> u64 {
        let mut swept = 0;
        for (label, store) in &self.0.key_value {
            match store.sweep_expired().await {
                Ok(removed) => swept += removed,
                Err(error) => tracing::warn!(%label, %error, "expired entries could not be removed"),
            }
        }
        swept
    }

    /// Copies every store that is kept in a file to `folder`, which is made or has to be empty. The report names those that are not.
    ///
    /// All copies show the same moment: the writers stand still until each file's snapshot is taken, then go on while the
    /// snapshots are copied.
    pub async fn backup(&self, folder: &Path) -> Result<BackupReport, BackupError> {
        let _turn = self.0.backup_turn.lock().await;
        let report = backup::backup(&self.0.files, folder).await?;
        Ok(BackupReport { not_copied: self.0.elsewhere.clone(), ..report })
    }

    /// Finishes the writes that are queued and writes every log back into its file, as far as that stops nobody. Later calls on a store
    /// are errors.
    pub async fn close(&self, others: Others) {
        for file in &self.0.files {
            if let Err(error) = file.database.close(others).await {
                tracing::warn!(path = %file.database.path().display(), %error, "a database was not closed cleanly");
            }
        }
    }
}

/// Whether a host uses this state folder.
pub fn is_in_use(state_dir: &Path) -> bool {
    let lock = File::options().write(true).open(state_dir.join(LOCK_FILE));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Checks that an open lock is that of the state folder, and held.
fn shared_lock(state_dir: &Path, lock: File) -> Result<File, StoresError> {
    let path = state_dir.join(LOCK_FILE);
    let is_same = || {
        let (named, held) = (File::open(&path)?.metadata()?, lock.metadata()?);
        Ok((named.dev(), named.ino()) == (held.dev(), held.ino()))
    };
    match is_same() {
        Ok(true) => {}
        Ok(false) => return Err(StoresError::OtherFolder(state_dir.to_owned())),
        Err(source) => return Err(StoresError::StateDir { path, source }),
    }
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StoresError::InUse(state_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoresError::StateDir { path, source }),
    }
}

/// Makes the state folder where it is missing, and keeps other hosts out of it while the file lives.
fn lock(state_dir: &Path) -> Result<File, StoresError> {
    let failed = |path: &Path, source| StoresError::StateDir { path: path.to_owned(), source };
    fs::create_dir_all(state_dir).map_err(|source| failed(state_dir, source))?;
    let path = state_dir.join(LOCK_FILE);
    let file =
        File::options().write(true).create(true).truncate(false).open(&path).map_err(|source| failed(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoresError::InUse(state_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}

fn open_file(
    files: &mut Vec<OpenFile>,
    name: StoreName,
    location: &Location,
    settings: &Settings,
) -> Result<Arc<Database>, StoresError> {
    let path = match location {
        // Names of one file are told apart by their text alone; a link to it is taken for another file.
        Location::File(path) => {
            Some(std::path::absolute(path).map_err(|source| StoresError::StateDir { path: path.clone(), source })?)
        }
        Location::Memory => None,
    };
    if let Some(path) = &path
        && let Some(file) = files.iter_mut().find(|file| file.path.as_ref() == Some(path))
    {
        if file.settings != *settings {
            return Err(StoresError::Settings { label: name.label().to_owned(), path: path.clone() });
        }
        file.users.push(name);
        return Ok(file.database.clone());
    }
    let database = Database::open(location.clone(), settings.clone())
        .map_err(|source| StoresError::Open { label: name.label().to_owned(), source })?;
    files.push(OpenFile { database: database.clone(), settings: settings.clone(), path, users: vec![name] });
    Ok(database)
}
