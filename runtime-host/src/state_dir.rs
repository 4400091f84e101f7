//! The state folder: stores, compiled code, generated secrets and the address of the running host.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The folder of the guests' files in the state folder.
const GUEST_FILES: &str = "files";

/// The state folder could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct StateDirError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Where a running host answers, for the commands that talk to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunningHost {
    /// Process id.
    pub pid: u32,
    /// URL of the public listener.
    pub url: String,
    /// URL of the admin listener.
    pub admin_url: String,
}

/// The state folder.
#[derive(Debug, Clone)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// The folder as it is, which may be missing.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes the folder, readable by its owner alone, where it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StateDirError> {
        let path = path.into();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|source| StateDirError {
            operation: "the state folder cannot be made:",
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where compiled code is kept.
    pub fn code_cache(&self) -> PathBuf {
        self.0.join("code")
    }

    /// Where the manifest's files are laid out for guests.
    pub fn guest_files(&self) -> PathBuf {
        self.0.join(GUEST_FILES)
    }

    /// Where applications are kept that came from registries.
    pub fn artifacts(&self) -> PathBuf {
        self.0.join("oci")
    }

    /// What a process holds locked while a component migrates its stores.
    pub fn migration_lock(&self) -> PathBuf {
        self.0.join("migration.lock")
    }

    /// The content of the secret file `name`; made by `generate` on first use, with mode 0600.
    pub fn secret(&self, name: &str, generate: impl FnOnce() -> String) -> Result<String, StateDirError> {
        let dir = self.0.join("secrets");
        let path = dir.join(name);
        let failed = |operation| {
            let path = path.clone();
            move |source| StateDirError { operation, path, source }
        };
        match fs::read_to_string(&path) {
            Ok(secret) => return Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("a secret cannot be read:")(error)),
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed("a secret cannot be kept:"))?;
        let secret = generate();
        write_private(&path, &secret).map_err(failed("a secret cannot be kept:"))?;
        tracing::info!(path = %path.display(), "generated a secret on first start");
        Ok(secret)
    }

    /// Notes where this host answers.
    pub fn announce(&self, host: &RunningHost) -> Result<(), StateDirError> {
        let path = self.running_host_path();
        // Three strings always serialize.
        let text = serde_json::to_string(host).unwrap_or_default();
        write_private(&path, &text).map_err(|source| StateDirError {
            operation: "the host's address cannot be noted:",
            path,
            source,
        })
    }

    /// Where the host that uses this folder answers, if one said so. It may have died since.
    pub fn running_host(&self) -> Option<RunningHost> {
        serde_json::from_str(&fs::read_to_string(self.running_host_path()).ok()?).ok()
    }

    /// Takes the note back at the end.
    pub fn withdraw(&self) {
        // A note that stays behind names a host that does not answer; the commands say so.
        let _ = fs::remove_file(self.running_host_path());
    }

    fn running_host_path(&self) -> PathBuf {
        self.0.join("host.json")
    }
}

/// Writes a file that only its owner may read: aside, synced, then renamed, so that it is there whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(aside, path)
}
