//! Artifacts that this machine has: each in a folder of the state folder that is named by the digest of its manifest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::folder::{ORIGIN_FILE, Origin};
use super::layers::hex_of;
use super::pull::{Artifact, UNFINISHED_PREFIX};
use super::signature::PublicKey;
use super::{ArtifactReference, OciError, Registry};

/// Artifacts that are kept besides the one that is asked for: a former process may still read what it was started with.
const ARTIFACTS_KEPT: usize = 3;
/// After which what was begun to be written is not being written any more.
const UNFINISHED_AGE: Duration = Duration::from_secs(60 * 60);

/// A folder with artifacts.
#[derive(Debug, Clone)]
pub struct Store(PathBuf);

impl Store {
    /// In this folder, which is made when there is something to keep.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder with the application that the reference names. A registry is asked for what a tag names, and for what is not here.
    pub async fn get(
        &self,
        reference: &ArtifactReference,
        insecure: bool,
        keys: &[PublicKey],
    ) -> Result<PathBuf, OciError> {
        if let Some(folder) = reference.digest().and_then(|digest| self.find(digest))
            && is_trusted(&folder, keys)
        {
            tracing::info!(%reference, "the artifact is here already");
            return Ok(folder);
        }
        let registry = Registry::of(reference, insecure)?;
        let artifact =
            Artifact::find(&registry, reference, keys).await.map_err(|error| self.advise(reference, error))?;
        let folder = match self.find(&artifact.origin.digest) {
            Some(folder) => {
                // Without a key now, a signature that was found good before still is.
                let evidence = artifact.origin.evidence.clone();
                let evidence = evidence.or_else(|| Origin::read(&folder).and_then(|known| known.evidence));
                Origin { evidence, ..artifact.origin.clone() }.write(&folder)?;
                folder
            }
            None => {
                let folder = self.folder(&artifact.origin.digest);
                artifact.write_to(&folder).await?;
                folder
            }
        };
        tracing::info!(asked = %reference, reference = %artifact.reference, "the artifact is pulled");
        self.remove_old(&folder);
        Ok(folder)
    }

    /// The folder of the artifact with this digest, if it is here.
    fn find(&self, digest: &str) -> Option<PathBuf> {
        Some(self.folder(digest)).filter(|folder| folder.is_dir() && hex_of(digest).is_some())
    }

    fn folder(&self, digest: &str) -> PathBuf {
        self.0.join(hex_of(digest).unwrap_or_default())
    }

    /// Whoever cannot reach the registry may start with what is here.
    fn advise(&self, reference: &ArtifactReference, error: OciError) -> OciError {
        let OciError::Unreachable { registry, is_plain, source, .. } = error else { return error };
        // What is pinned was looked for here already, and may not be used as it is.
        if reference.digest().is_some() {
            return OciError::Unreachable { registry, is_plain, known: None, source };
        }
        let asked_last = self
            .folders()
            .into_iter()
            .find_map(|(_, folder)| Origin::read(&folder).filter(|origin| origin.reference == reference.to_string()));
        let known = asked_last.map(|origin| reference.pinned(&origin.digest).to_string());
        OciError::Unreachable { registry, is_plain, known, source }
    }

    /// All folders with artifacts, the one that was asked for last first.
    fn folders(&self) -> Vec<(SystemTime, PathBuf)> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut folders: Vec<_> = entries
            .filter(|folder| folder.is_dir())
            .map(|folder| {
                let asked = fs::metadata(folder.join(ORIGIN_FILE)).and_then(|file| file.modified());
                (asked.unwrap_or(SystemTime::UNIX_EPOCH), folder)
            })
            .collect();
        folders.sort_by(|one, other| other.cmp(one));
        folders
    }

    /// Removes what was not asked for lately, and what a process that died had begun to write.
    fn remove_old(&self, used: &Path) {
        let is_unfinished = |folder: &Path| {
            folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED_PREFIX))
        };
        let is_old = |folder: &PathBuf| {
            let changed = fs::metadata(folder).and_then(|metadata| metadata.modified()).ok();
            changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > UNFINISHED_AGE)
        };
        let (unfinished, whole): (Vec<_>, Vec<_>) =
            self.folders().into_iter().map(|(_, folder)| folder).partition(|folder| is_unfinished(folder));
        let unfinished = unfinished.into_iter().filter(is_old);
        let old = whole.into_iter().filter(|folder| folder != used).skip(ARTIFACTS_KEPT);
        for folder in unfinished.chain(old) {
            if let Err(error) = fs::remove_dir_all(&folder) {
                tracing::warn!("the artifact in {} stays behind: {error}", folder.display());
            }
        }
    }
}

/// Whether the artifact may be used: without keys any may.
fn is_trusted(folder: &Path, keys: &[PublicKey]) -> bool {
    let Some(origin) = Origin::read(folder) else { return false };
    keys.is_empty() || origin.evidence.is_some_and(|evidence| evidence.is_good(keys, &origin.digest))
}
