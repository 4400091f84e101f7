//! The wasm files of revisions, each once, named by its content: `revisions/<digest>.wasm` in the state folder.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::RegistryError;

/// The folder's name in the state folder.
const FOLDER: &str = "revisions";
/// What a file begins with that is still written.
const UNFINISHED_PREFIX: &str = ".unfinished-";
/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 << 10;
/// Hex digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;
/// Hex digits by which people and metrics know a digest.
const SHORT_DIGITS: usize = 12;

/// The SHA-256 of an artifact, in lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Digest(String);

/// A text is no digest.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no SHA-256 in hex")]
pub struct DigestError(String);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// Of a file's content, which need not fit into memory.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(Self(hex::encode(hasher.finalize()))),
                bytes => hasher.update(&piece[..bytes]),
            }
        }
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, by which people and metrics know it.
    pub fn short(&self) -> &str {
        &self.0[..SHORT_DIGITS]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        // It becomes part of a path, so nothing else may be in it.
        let is_digest =
            text.len() == DIGEST_DIGITS && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_digest { Ok(Self(text.to_owned())) } else { Err(DigestError(text.to_owned())) }
    }
}

/// The folder of artifacts.
#[derive(Debug)]
pub struct Artifacts(PathBuf);

impl Artifacts {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(FOLDER))
    }

    /// Where the artifact with this digest is, if it is kept.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{}.wasm", digest.as_str()))
    }

    /// Keeps an artifact. A `durable` one is on disk when this returns; of another one the host has the original elsewhere.
    pub fn keep(&self, digest: &Digest, wasm: &[u8], durable: bool) -> Result<(), RegistryError> {
        let path = self.path(digest);
        if fs::metadata(&path).is_ok_and(|kept| kept.len() == wasm.len() as u64) && !durable {
            return Ok(());
        }
        self.write(&path, wasm, durable).map_err(|source| RegistryError::Artifact { path, operation: "kept", source })
    }

    fn write(&self, path: &Path, wasm: &[u8], durable: bool) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        // Written aside and renamed, so that it is there whole or not at all.
        let mut aside = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(&self.0)?;
        aside.write_all(wasm)?;
        if durable {
            aside.as_file().sync_all()?;
        }
        aside.persist(path)?;
        if durable {
            File::open(&self.0)?.sync_all()?;
        }
        Ok(())
    }

    /// The artifact with this digest, whole.
    pub fn read(&self, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(digest);
        match fs::read(&path) {
            Ok(wasm) if Digest::of(&wasm) == *digest => Ok(wasm),
            Ok(_) => Err(RegistryError::Damaged { path }),
            Err(source) => Err(RegistryError::Artifact { path, operation: "read", source }),
        }
    }

    /// Removes all artifacts but these, and what a host that died had begun to write.
    pub(super) fn keep_only(&self, kept: &[Digest]) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::Artifact { path: self.0.clone(), operation: "removed", source };
        let files = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files.map_err(failed)?,
        };
        for file in files {
            let file = file.map_err(failed)?;
            let name = file.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".wasm").and_then(|digest| digest.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !kept.contains(&digest)) || name.starts_with(UNFINISHED_PREFIX) {
                fs::remove_file(file.path()).map_err(failed)?;
            }
        }
        Ok(())
    }
}
