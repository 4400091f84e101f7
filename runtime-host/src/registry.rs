//! Which revisions of which component exist, and which one is in force: a database and a folder of artifacts in the state
//! folder. Knows neither HTTP nor the engine.
//!
//! A revision is one artifact (a wasm file) with one configuration that was put in force for a component, with who did it, when
//! and why; revisions of a component are numbered from 1. What the manifest itself says is a revision too. Everything is on disk
//! before it is acted on, in one transaction with the words about it in the log of actions, so that a host that dies at any moment
//! starts again with exactly one recorded state. As long as nothing was ever done there is no database, and the manifest alone
//! counts.
//!
//! A configuration is a text to the registry: the same one for the same configuration.

mod artifacts;
mod batch;
mod entries;
mod mark;
mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, TransactionBehavior};

pub use artifacts::{Artifacts, Digest};
pub use batch::{Batch, Written};
pub use entries::{Action, Base, InForce, NewRevision, Outcome, Recorded, RevisionRecord, RolloutRecord};

/// The database's name in the state folder.
const FILE: &str = "registry.db";
/// Actions that the log keeps; the oldest are removed first.
const ACTIONS_KEPT: u32 = 10_000;
/// Revisions of each component that are kept besides the one in force, where nothing else is said.
pub const REVISIONS_KEPT: u32 = 10;
/// Migrations of each component that are remembered; one that is forgotten is done again where it is needed.
const MIGRATIONS_KEPT: u32 = 1_000;
/// Who put a revision in force that came with the manifest.
pub const BY_MANIFEST: &str = "manifest";
/// Who undoes what a new process has recorded that never served.
pub const BY_UPGRADE: &str = "upgrade";

/// The registry failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The database cannot be opened, read or written.
    #[error("the registry of revisions, {path}, cannot be {operation}")]
    Database {
        /// The file.
        path: PathBuf,
        /// `opened`, `read` or `written`.
        operation: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// An artifact cannot be kept.
    #[error("artifact {path} cannot be {operation}")]
    Artifact {
        /// The file.
        path: PathBuf,
        /// `kept`, `read` or `removed`.
        operation: &'static str,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// An artifact is not what it was when it was kept.
    #[error("artifact {path} is damaged: its content has another digest than its name says")]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The registry of one state folder, which one process has to itself.
#[derive(Debug)]
pub struct Registry {
    path: PathBuf,
    artifacts: Artifacts,
    revisions_kept: u32,
    /// Held while an artifact is kept and recorded, and while those that nobody has recorded are removed. Taken before
    /// `database`.
    keeping: Mutex<()>,
    /// Opened when there is something to record.
    database: Mutex<Option<Connection>>,
    /// Changes that this process has recorded; the log of actions does not count.
    changes: AtomicU64,
}

impl Registry {
    /// The registry in `state_dir`, which keeps this many revisions of each component besides the one in force.
    pub fn open(state_dir: &Path, revisions_kept: u32) -> Result<Self, RegistryError> {
        let path = state_dir.join(FILE);
        let exists = path.exists();
        let registry = Self {
            path,
            artifacts: Artifacts::new(state_dir),
            revisions_kept,
            keeping: Mutex::default(),
            database: Mutex::default(),
            changes: AtomicU64::new(0),
        };
        if exists {
            registry.with(|_| Ok(()))?;
        }
        Ok(registry)
    }

    /// The artifacts.
    pub fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }

    /// Keeps an artifact and has `record` record its revision, before anybody can remove it as one that no revision has.
    /// On disk when this returns.
    pub fn keep_and_record<T>(
        &self,
        digest: &Digest,
        wasm: &[u8],
        record: impl FnOnce(&Self) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let _keeping = self.keeping();
        self.artifacts.keep(digest, wasm, true)?;
        record(self)
    }

    /// What is in force for a component whose manifest names the artifact `base`, and is given `configuration` by the manifest and
    /// its sources.
    pub fn in_force(&self, component: &str, base: &Digest, configuration: &Digest) -> Result<InForce, RegistryError> {
        if !self.exists() {
            return Ok(InForce::Manifest);
        }
        self.read(|database| records::in_force(database, component, base, configuration))
    }

    /// How many changes of revisions and rollouts this process has recorded.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Records a revision and that it is in force, and logs `actions`; returns its number. On disk when this returns.
    pub fn put_in_force(&self, revision: &NewRevision<'_>, actions: &[Action]) -> Result<u32, RegistryError> {
        self.at_once(|batch| batch.put_in_force(revision, actions))
    }

    /// Records all that `record` does, or nothing of it. On disk when this returns.
    pub fn at_once<T>(&self, record: impl FnOnce(&Batch<'_>) -> Written<T>) -> Result<T, RegistryError> {
        self.write(|transaction| record(&Batch { transaction, revisions_kept: self.revisions_kept }))
    }

    /// Puts a recorded revision in force again, and logs `action`; the one that it takes the place of counts as rolled back if it is
    /// `bad`.
    pub fn return_to(
        &self,
        component: &str,
        number: u32,
        bad: Option<u32>,
        action: &Action,
    ) -> Result<(), RegistryError> {
        self.write(|transaction| {
            records::log(transaction, action, ACTIONS_KEPT)?;
            records::set_live(transaction, component, number, None)?;
            records::set_rolled_back(transaction, component, number, false)?;
            if let Some(bad) = bad {
                records::set_rolled_back(transaction, component, bad, true)?;
            }
            // One is only left here where its end could not be written down.
            records::remove_rollout(transaction, component).map(drop)
        })
    }

    /// Records a revision that is not in force yet, and its rollout, and logs `actions`; returns its number. On disk when this
    /// returns.
    pub fn begin_rollout(
        &self,
        revision: &NewRevision<'_>,
        state: &str,
        actions: &[Action],
    ) -> Result<u32, RegistryError> {
        self.write(|transaction| {
            let before = records::live(transaction, revision.component)?;
            records::complete(transaction, revision.component, revision.base.configuration)?;
            let number = records::add(transaction, revision, now_ms())?;
            if before.is_none() {
                // Nothing was recorded yet, so `add` has put the manifest's own in front.
                records::set_live(transaction, revision.component, 1, Some(revision.base.digest))?;
            }
            // What the sources have changed is in the new revision, and not a reason to change the old one at a start.
            records::set_sources(transaction, revision.component, revision.configuration_of_sources)?;
            records::forget_old(transaction, revision.component, Some(number), self.revisions_kept)?;
            records::set_rollout(transaction, revision.component, number, state)?;
            records::log_all(transaction, actions, ACTIONS_KEPT)?;
            Ok(number)
        })
    }

    /// Records how a rollout goes, and logs `actions`. On disk when this returns.
    pub fn save_rollout(
        &self,
        component: &str,
        number: u32,
        state: &str,
        actions: &[Action],
    ) -> Result<(), RegistryError> {
        self.at_once(|batch| batch.save_rollout(component, number, state, actions))
    }

    /// Records the end of a rollout and what is in force from then on, and logs `actions`. On disk when this returns.
    ///
    /// That it was taken back may be said late: a rollout that has begun since then, or a person's wish for just this
    /// revision, stays.
    pub fn end_rollout(
        &self,
        component: &str,
        number: u32,
        outcome: Outcome,
        actions: &[Action],
    ) -> Result<(), RegistryError> {
        self.at_once(|batch| batch.end_rollout(component, number, outcome, actions))
    }

    /// Remembers which revisions and rollouts are recorded, for [`Registry::return_to_mark`].
    pub fn mark(&self) -> Result<(), RegistryError> {
        self.with(|database| mark::set(database).map_err(|source| self.failed("read", source)))
    }

    /// Records again what was recorded when this process called [`Registry::mark`], whatever another one has made of it since; if
    /// that is something else, logs `action` and returns true. On disk when this returns.
    pub fn return_to_mark(&self, action: &Action) -> Result<bool, RegistryError> {
        self.write(|transaction| {
            let is_other = mark::return_to(transaction)?;
            if is_other {
                records::log(transaction, action, ACTIONS_KEPT)?;
            }
            Ok(is_other)
        })
    }

    /// The rollouts that go on.
    pub fn rollouts(&self) -> Result<Vec<RolloutRecord>, RegistryError> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(records::rollouts)
    }

    /// All revisions of a component, the latest first.
    pub fn history(&self, component: &str) -> Result<Vec<RevisionRecord>, RegistryError> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(|database| records::history(database, component))
    }

    /// What each of the recorded revisions was given, of all components.
    pub fn configurations(&self) -> Result<Vec<String>, RegistryError> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(records::configurations)
    }

    /// Whether an artifact of a component has brought the component's stores to its schema; in another process, maybe.
    pub fn is_migrated(&self, component: &str, digest: &Digest) -> Result<bool, RegistryError> {
        Ok((self.exists() || self.path.exists())
            && self.read(|database| records::is_migrated(database, component, digest))?)
    }

    /// Records that it has. On disk when this returns.
    pub fn migrated(&self, component: &str, digest: &Digest) -> Result<(), RegistryError> {
        self.write(|transaction| records::migrated(transaction, component, digest, now_ms(), MIGRATIONS_KEPT))
    }

    /// Writes down what was done; what was refused, once as long as nothing else comes between, with the time of the last time.
    pub fn log(&self, action: &Action) -> Result<(), RegistryError> {
        self.write_aside(|transaction| {
            if action.is_done() || !records::log_again(transaction, action)? {
                records::log(transaction, action, ACTIONS_KEPT)?;
            }
            Ok(())
        })
    }

    /// What was done last, the latest first.
    pub fn actions(&self, count_max: u32) -> Result<Vec<Action>, RegistryError> {
        if !self.exists() {
            return Ok(Vec::new());
        }
        self.read(|database| records::actions(database, count_max))
    }

    /// Removes the artifacts that no revision has any more, except those `in_use`.
    pub fn remove_unreferenced(&self, in_use: &BTreeMap<String, Digest>) -> Result<(), RegistryError> {
        let _keeping = self.keeping();
        let mut kept: Vec<Digest> = in_use.values().cloned().collect();
        if self.exists() {
            kept.extend(self.read(records::digests)?);
        }
        self.artifacts.keep_only(&kept)
    }

    fn keeping(&self) -> MutexGuard<'_, ()> {
        // Who panics leaves an artifact too many at most.
        self.keeping.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exists(&self) -> bool {
        self.lock().is_some()
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RegistryError> {
        self.with(|database| read(database).map_err(|source| self.failed("read", source)))
    }

    fn write<T>(
        &self,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        // Before it is done, so that nobody finds the change uncounted.
        self.changes.fetch_add(1, Ordering::Release);
        self.write_aside(write)
    }

    fn write_aside<T>(
        &self,
        write: impl FnOnce(&rusqlite::Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, RegistryError> {
        self.with(|database| {
            // One that reads first and then writes would fail at once while somebody else, such as a shell of SQLite, writes.
            let begun = database.transaction_with_behavior(TransactionBehavior::Immediate);
            let written = begun.and_then(|transaction| {
                let value = write(&transaction)?;
                transaction.commit()?;
                Ok(value)
            });
            written.map_err(|source| self.failed("written", source))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, RegistryError>) -> Result<T, RegistryError> {
        let mut database = self.lock();
        let database = match &mut *database {
            Some(database) => database,
            none => none.insert(records::open(&self.path).map_err(|source| self.failed("opened", source))?),
        };
        work(database)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Connection>> {
        // A transaction that a panic cut short is undone.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, operation: &'static str, source: rusqlite::Error) -> RegistryError {
        RegistryError::Database { path: self.path.clone(), operation, source }
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    // Milliseconds fit until the year 292 million.
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64
}

#[cfg(test)]
mod tests;
