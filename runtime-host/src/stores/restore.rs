//! Puts a backup back, all of it or nothing.
//!
//! The files are first copied beside the stores' files and checked. Then a list of them is written to the state folder,
//! and only then are they renamed: a restore that is cut short before the list changed nothing, and one that is cut short
//! after it is finished when the stores are next opened.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::backup::{Entry, FORMAT, MANIFEST_FILE, Manifest, digest, sync_folder_of, write_json};
use super::sqlite::Location;
use super::{BackupReport, StoreName, StoresConfig, StoresError, lock, private};

/// The list of files to rename, in the state folder.
const PENDING_FILE: &str = "restore.json";
/// What a restored file is called before it is renamed.
const ASIDE: &str = "restored";

/// The backup was not restored; the stores are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The state folder cannot be locked.
    #[error(transparent)]
    StateDir(#[from] StoresError),
    /// The folder has no manifest.
    #[error("{0} is no backup, or one that did not finish: it has no {MANIFEST_FILE}")]
    Incomplete(PathBuf),
    /// The manifest cannot be understood.
    #[error("{path} cannot be read")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// The backup is of another layout.
    #[error("the backup has format {found}, this host reads {FORMAT}")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A file of the backup is not what was written.
    #[error("{path} is damaged: {problem}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// The backup has a store that is not configured here.
    #[error("the backup has a store `{label}` that is not configured, or not in a file of its own as in the backup")]
    Unknown {
        /// Its label.
        label: String,
    },
    /// There is a store already.
    #[error("{0} is there already and is not replaced unasked")]
    Exists(PathBuf),
    /// A file could not be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Puts the backup in `folder` where `config` has its stores. Stores that exist are replaced only with `force`.
pub fn restore(folder: &Path, config: &StoresConfig, force: bool) -> Result<BackupReport, RestoreError> {
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Write { path, source }
    };
    let _lock = lock(&config.state_dir)?;
    finish(&config.state_dir).map_err(write_error(&config.state_dir))?;
    let manifest = read_manifest(folder)?;
    let mut targets = Vec::new();
    for entry in &manifest.files {
        let target = target(entry, config)?;
        if !force && target.exists() {
            return Err(RestoreError::Exists(target));
        }
        targets.push(target);
    }
    let copied = manifest.files.iter().zip(&targets).try_for_each(|(entry, target)| {
        let (original, aside) = (folder.join(&entry.name), aside(target));
        copy(&original, &aside).map_err(write_error(&aside))?;
        check(entry, &aside, &original)
    });
    if let Err(error) = copied {
        for target in &targets {
            // What stays behind is in nobody's way: the next restore writes over it.
            let _ = fs::remove_file(aside(target));
        }
        return Err(error);
    }
    let pending = config.state_dir.join(PENDING_FILE);
    write_json(&pending, &targets).map_err(write_error(&pending))?;
    finish(&config.state_dir).map_err(write_error(&config.state_dir))?;
    let bytes = manifest.files.iter().map(|file| file.bytes).sum();
    Ok(BackupReport { files: manifest.files.len(), bytes, not_copied: Vec::new() })
}

/// Finishes a restore that was cut short while it renamed. May be repeated at any point.
pub(super) fn finish(state_dir: &Path) -> io::Result<()> {
    let pending = state_dir.join(PENDING_FILE);
    let targets: Vec<PathBuf> = match File::open(&pending) {
        Ok(file) => serde_json::from_reader(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for target in &targets {
        let aside = aside(target);
        if aside.exists() {
            // The log of the old file would be read into the new one.
            remove(&with_suffix(target, "-wal"))?;
            remove(&with_suffix(target, "-shm"))?;
            fs::rename(&aside, target)?;
            sync_folder_of(target)?;
        }
    }
    remove(&pending)?;
    sync_folder_of(&pending)
}

fn read_manifest(folder: &Path) -> Result<Manifest, RestoreError> {
    let path = folder.join(MANIFEST_FILE);
    let text = fs::read(&path).map_err(|_| RestoreError::Incomplete(folder.to_owned()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|source| RestoreError::Manifest { path, source })?;
    if manifest.format != FORMAT {
        return Err(RestoreError::Format { found: manifest.format });
    }
    // A name leads to a file of the backup and nowhere else.
    if let Some(entry) =
        manifest.files.iter().find(|entry| Path::new(&entry.name).file_name() != Some(OsStr::new(&entry.name)))
    {
        return Err(RestoreError::Damaged {
            path: folder.join(MANIFEST_FILE),
            problem: format!("`{}` is no file name", entry.name),
        });
    }
    Ok(manifest)
}

/// Where the stores of an entry are kept, which has to be one file again.
fn target(entry: &Entry, config: &StoresConfig) -> Result<PathBuf, RestoreError> {
    let mut target = None;
    for store in &entry.stores {
        let location = match store {
            StoreName::Sqlite(label) => config.sqlite.get(label).map(|config| &config.location),
            StoreName::KeyValue(label) => config.key_value.get(label).and_then(|config| config.location()),
        };
        match location {
            Some(Location::File(path)) if target.is_none_or(|target| target == path) => target = Some(path),
            _ => return Err(RestoreError::Unknown { label: store.label().to_owned() }),
        }
    }
    let target = target.ok_or_else(|| RestoreError::Unknown { label: entry.name.clone() })?;
    // The list of names has to hold when another process with another working folder finishes it.
    std::path::absolute(target).map_err(|source| RestoreError::Write { path: target.clone(), source })
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = to.parent() {
        private::create_folder(folder)?;
    }
    fs::copy(from, to)?;
    File::open(to)?.sync_all()
}

fn check(entry: &Entry, copied: &Path, original: &Path) -> Result<(), RestoreError> {
    let damaged = |problem: String| RestoreError::Damaged { path: original.to_owned(), problem };
    let (bytes, sha256) = digest(copied).map_err(|error| damaged(error.to_string()))?;
    if bytes != entry.bytes {
        return Err(damaged(format!("it has {bytes} bytes, {} were written", entry.bytes)));
    }
    if sha256 != entry.sha256 {
        return Err(damaged("its SHA-256 differs".into()));
    }
    let ask = || {
        let connection =
            Connection::open_with_flags(copied, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
    };
    match ask() {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(damaged(answer)),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn aside(target: &Path) -> PathBuf {
    with_suffix(target, &format!(".{ASIDE}"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
