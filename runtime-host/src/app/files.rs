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

/// Puts `files` into `folder`, in place of what an earlier start left there. Nothing of the host's own `state` is among
/// them: secrets, stores, and what was laid out before.
pub(super) fn lay_out(files: &[MountedFile], state: &Path, folder: &Path) -> Result<(), LayOutError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LayOutError { path, source }
    };
    let state = fs::canonicalize(state).map_err(failed(state))?;
    // A file that two entries put in the same place is that of the later one.
    let mut places: BTreeMap<&Path, &Path> = BTreeMap::new();
    for MountedFile { source, guest_path, .. } in files {
        if !fs::canonicalize(source).map_err(failed(source))?.starts_with(&state) {
            places.insert(guest_path, source);
        }
    }
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder))?;
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for (guest_path, source) in places {
        place(source, &folder.join(guest_path)).map_err(failed(source))?;
    }
    Ok(())
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
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        let guest = state.join("guest");
        let files = [mounted(&first, "a.txt"), mounted(&second, "a.txt")];
        for _ in 0..2 {
            lay_out(&files, &state, &guest).unwrap();
            assert_eq!(fs::read_to_string(guest.join("a.txt")).unwrap(), "two");
        }
        assert_eq!(fs::read_to_string(&first).unwrap(), "one");
        assert_eq!(fs::read_to_string(&second).unwrap(), "two");
    }

    #[test]
    fn nothing_of_the_state_is_laid_out_and_the_next_start_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (page, state) = (dir.path().join("index.html"), dir.path().join(".bodega"));
        let (secret, guest) = (state.join("token"), state.join("files/web"));
        fs::create_dir(&state).unwrap();
        fs::write(&page, "page").unwrap();
        fs::write(&secret, "secret").unwrap();
        for _ in 0..2 {
            let laid_out = guest.join("index.html");
            let mut files = vec![mounted(&page, "index.html"), mounted(&secret, ".bodega/token")];
            // What a pattern finds at the second start.
            files.extend(laid_out.exists().then(|| mounted(&laid_out, ".bodega/files/web/index.html")));
            lay_out(&files, &state, &guest).unwrap();
            assert_eq!(fs::read_to_string(&laid_out).unwrap(), "page");
            assert_eq!(fs::read_dir(&guest).unwrap().count(), 1);
        }
    }

    fn mounted(source: &Path, guest_path: &str) -> MountedFile {
        MountedFile { source: source.to_owned(), guest_path: guest_path.into(), is_named: false }
    }
}
