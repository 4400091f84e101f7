//! A consistent copy of all stores while they are in use.
//!
//! A backup is a folder with one SQLite file per file of the stores and `manifest.json`, which is written last: a folder
//! without it is the rest of a backup that did not finish.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{OpenFile, StoreName, private};

/// The file that makes a folder a backup.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// The layout that this describes.
pub(super) const FORMAT: u32 = 1;
/// How long the writers may take to come to rest: an open transaction has its own, shorter limit.
const PAUSE_TIME_MAX: Duration = Duration::from_secs(15);
/// How long to wait before a busy source is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// What a backup holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) files: Vec<Entry>,
}

/// One file of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its name in the backup's folder.
    pub(super) name: String,
    /// The stores that it holds.
    pub(super) stores: Vec<StoreName>,
    pub(super) bytes: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// Files in the backup, without its manifest.
    pub files: usize,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Stores that are kept elsewhere and have to be copied there, for people.
    pub not_copied: Vec<String>,
}

/// The backup was not made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder has something in it.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// A writer did not come to rest, or its database is closed.
    #[error("the writers did not come to rest within {} s", PAUSE_TIME_MAX.as_secs())]
    Busy,
    /// A file could not be copied.
    #[error("{path} cannot be copied")]
    Copy {
        /// The store's file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A file of the backup could not be written.
    #[error("{path} cannot be written")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread that copies failed.
    #[error("the backup was stopped")]
    Stopped,
}

/// A file as it was at the backup's moment.
struct Snapshot {
    connection: Connection,
    path: PathBuf,
    name: String,
    stores: Vec<StoreName>,
}

pub(super) async fn backup(files: &[OpenFile], folder: &Path) -> Result<BackupReport, BackupError> {
    let kept: Vec<&OpenFile> = files.iter().filter(|file| file.path.is_some()).collect();
    let (paused, mut all_paused) = tokio::sync::mpsc::unbounded_channel();
    let mut holds = Vec::new();
    for file in &kept {
        // The writer stands still until its hold is dropped, also when this function returns early.
        let (hold, held) = mpsc::channel::<()>();
        let (database, paused) = (file.database.clone(), paused.clone());
        holds.push(hold);
        tokio::spawn(async move {
            let stand_still = move || {
                let _ = paused.send(());
                let _ = held.recv();
            };
            database.pause(stand_still).await
        });
    }
    drop(paused);
    let all = async {
        for _ in &kept {
            all_paused.recv().await?;
        }
        Some(())
    };
    tokio::time::timeout(PAUSE_TIME_MAX, all).await.ok().flatten().ok_or(BackupError::Busy)?;
    let snapshots: Vec<Snapshot> = kept.iter().map(|file| snapshot(file)).collect::<Result<_, _>>()?;
    drop(holds);

    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || copy(snapshots, &folder)).await.map_err(|_| BackupError::Stopped)?
}

fn snapshot(file: &OpenFile) -> Result<Snapshot, BackupError> {
    let path = file.database.path().to_owned();
    let take = || {
        let connection =
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        // The transaction begins, and with it the snapshot, at the first read.
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    let connection = take().map_err(|source| BackupError::Copy { path: path.clone(), source })?;
    // The path's last part tells a person what it is; the first store's name makes it unique.
    let name = match file.users.first() {
        Some(StoreName::Sqlite(label)) => format!("sqlite-{}.db", file_name(label)),
        Some(StoreName::KeyValue(label)) => format!("key-value-{}.db", file_name(label)),
        None => "unused.db".to_owned(),
    };
    Ok(Snapshot { connection, path, name, stores: file.users.clone() })
}

/// A label with everything but letters, digits, `-` and `.` written as a number, so that different labels stay different.
fn file_name(label: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    label.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("_{byte:02x}") }).collect()
}

fn copy(snapshots: Vec<Snapshot>, folder: &Path) -> Result<BackupReport, BackupError> {
    let write_error = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Write { path, source }
    };
    private::create_folder(folder).map_err(write_error(folder))?;
    if fs::read_dir(folder).map_err(write_error(folder))?.next().is_some() {
        return Err(BackupError::NotEmpty(folder.to_owned()));
    }
    let mut files = Vec::new();
    for Snapshot { connection, path, name, stores } in snapshots {
        let target = folder.join(&name);
        private::create_file(&target).map_err(write_error(&target))?;
        copy_database(&connection, &target).map_err(|source| BackupError::Copy { path, source })?;
        let (bytes, sha256) = sync_and_digest(&target).map_err(write_error(&target))?;
        files.push(Entry { name, stores, bytes, sha256 });
    }
    let bytes = files.iter().map(|file| file.bytes).sum();
    let report = BackupReport { files: files.len(), bytes, not_copied: Vec::new() };
    let manifest = folder.join(MANIFEST_FILE);
    write_json(&manifest, &Manifest { format: FORMAT, files }).map_err(write_error(&manifest))?;
    Ok(report)
}

fn copy_database(from: &Connection, target: &Path) -> rusqlite::Result<()> {
    let mut to = Connection::open(target)?;
    let backup = Backup::new(from, &mut to)?;
    loop {
        match backup.step(-1)? {
            StepResult::Done => break,
            // Only a foreign process can be in the way; it has its turn.
            _ => std::thread::sleep(RETRY_AFTER),
        }
    }
    drop(backup);
    // One file then holds everything, without a log beside it.
    to.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))
}

/// Size and SHA-256 of a file, after everything in it reached the disk.
fn sync_and_digest(path: &Path) -> io::Result<(u64, String)> {
    File::open(path)?.sync_all()?;
    digest(path)
}

/// Size and SHA-256 of a file.
pub(super) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let bytes = io::copy(&mut File::open(path)?, &mut DigestWriter(&mut digest))?;
    Ok((bytes, hex::encode(digest.finalize())))
}

struct DigestWriter<'a>(&'a mut Sha256);

impl io::Write for DigestWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file aside, then renames it, so that it is there whole or not at all, also after a power cut.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside)?;
    serde_json::to_writer_pretty(&mut file, value)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_folder_of(path)
}

/// Makes what happened to the names in the folder of `path` durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
