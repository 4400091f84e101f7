//! Lays out the files that the manifest grants a component in a folder of its own, which its guests see as `/`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::MountedFile;

/// A file could not be laid out.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be laid out for the guest", path.display())]
pub(super) struct LayOutError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Puts `files` into `folder`, in place of what an earlier start left there. `None` when there are none.
pub(super) fn lay_out(files: &[MountedFile], folder: PathBuf) -> Result<Option<PathBuf>, LayOutError> {
    if files.is_empty() {
        return Ok(None);
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LayOutError { path, source }
    };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed(&folder))?;
    }
    for file in files {
        let target = folder.join(&file.guest_path);
        place(&file.source, &target).map_err(failed(&file.source))?;
    }
    Ok(Some(folder))
}

fn place(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    // A link costs nothing; where the folders are on two disks it has to be a copy.
    fs::hard_link(source, target).or_else(|_| fs::copy(source, target).map(drop))
}
