//! The folder that an artifact is put into: its content in its places, bounded, and a note of where it is from.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::OciError;
use super::layers::hex_of;
use super::signature::Evidence;
use super::unlock::{Content, Unlocked};

/// Bytes of the folder: the same content may have many places.
const FOLDER_BYTES_MAX: u64 = 4 << 30;
/// Files in the folder.
pub(super) const FOLDER_FILES_MAX: usize = 200_000;
/// Where a folder says which artifact it has.
pub(super) const ORIGIN_FILE: &str = "artifact.json";
const MANIFEST_FILE: &str = "spin.toml";

/// Which artifact a folder has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// As it was asked for last.
    pub(super) reference: String,
    /// Of the manifest.
    pub(super) digest: String,
    /// The signature that was found good, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) evidence: Option<Evidence>,
}

impl Origin {
    pub(super) fn write(&self, folder: &Path) -> Result<(), OciError> {
        let path = folder.join(ORIGIN_FILE);
        // Texts always serialize.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        let failed = || OciError::file(&path, "written");
        let aside = tempfile::Builder::new().permissions(usual(0o666)).tempfile_in(folder).map_err(failed())?;
        fs::write(aside.path(), text).map_err(failed())?;
        aside.persist(&path).map(drop).map_err(|error| failed()(error.error))
    }

    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(ORIGIN_FILE)).ok()?).ok()
    }
}

/// What everybody may do who may at all: temporary files are their maker's alone otherwise, and these stay. The process's mask holds.
pub(super) fn usual(mode: u32) -> fs::Permissions {
    fs::Permissions::from_mode(mode)
}

/// What the folder will have is known before it has any of it.
pub(super) fn check_size(unlocked: &Unlocked, blobs: &Path) -> Result<(), OciError> {
    let too_large = |max| OciError::TooLarge { what: "the application with all its files is".to_owned(), max };
    if unlocked.placements.len() > FOLDER_FILES_MAX {
        return Err(too_large(format!("{FOLDER_FILES_MAX} files")));
    }
    let mut total = 0_u64;
    for placement in &unlocked.placements {
        total = total.saturating_add(match &placement.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Blob(digest) => {
                let blob = fs::metadata(blobs.join(hex_of(digest).unwrap_or_default()));
                let missing = || OciError::Content(format!("it has no layer with the digest {digest}, which it names"));
                blob.ok().filter(fs::Metadata::is_file).ok_or_else(missing)?.len()
            }
        });
    }
    if total > FOLDER_BYTES_MAX { Err(too_large(format!("{FOLDER_BYTES_MAX} bytes"))) } else { Ok(()) }
}

/// Gives content its places in the folder, which nothing but this has written to.
pub(super) fn place(unlocked: &Unlocked, folder: &Path, blobs: &Path) -> Result<(), OciError> {
    check_size(unlocked, blobs)?;
    for placement in &unlocked.placements {
        let path = folder.join(&placement.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(OciError::file(parent, "made"))?;
        }
        let failed = OciError::file(&path, "written");
        match &placement.content {
            Content::Inline(bytes) => fs::write(&path, bytes).map_err(failed)?,
            Content::Blob(digest) => {
                let blob = blobs.join(hex_of(digest).unwrap_or_default());
                fs::copy(blob, &path).map(drop).map_err(failed)?;
            }
        }
    }
    let manifest = toml::to_string_pretty(&unlocked.manifest)
        .map_err(|error| OciError::Content(format!("its manifest cannot be written: {error}")))?;
    let path = folder.join(MANIFEST_FILE);
    fs::write(&path, manifest).map_err(OciError::file(&path, "written"))
}

/// Has everything in the folder on disk.
pub(super) fn sync(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync(&entry.path())?,
            false => fs::File::open(entry.path())?.sync_all()?,
        }
    }
    fs::File::open(folder)?.sync_all()
}
