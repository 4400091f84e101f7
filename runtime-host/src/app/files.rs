//! Lays out the files that the manifest grants a component in a folder of its own, which its guests see as `/`.

use std::collections::BTreeMap;
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
    // A file that two entries put in the same place is that of the later one.
    let files: BTreeMap<&Path, &Path> =
        files.iter().map(|file| (file.guest_path.as_path(), file.source.as_path())).collect();
    for (guest_path, source) in files {
        place(source, &folder.join(guest_path)).map_err(failed(source))?;
    }
    Ok(Some(folder))
}

/// Copies, because a link would let a mistake here reach the user's own file.
fn place(source: &Path, target: &Path) -> io::Result<()> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(source, target).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_meet_in_one_place_leave_the_originals_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        fs::write(&first, "one").unwrap();
        fs::write(&second, "two").unwrap();
        let mounted = |source: &Path| MountedFile { source: source.to_owned(), guest_path: "a.txt".into() };
        for _ in 0..2 {
            let folder = lay_out(&[mounted(&first), mounted(&second)], dir.path().join("guest")).unwrap().unwrap();
            assert_eq!(fs::read_to_string(folder.join("a.txt")).unwrap(), "two");
        }
        assert_eq!(fs::read_to_string(&first).unwrap(), "one");
        assert_eq!(fs::read_to_string(&second).unwrap(), "two");
    }
}
