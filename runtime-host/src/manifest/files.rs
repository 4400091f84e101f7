//! Which files a component sees, by the manifest's `files` and `exclude_files`.

use std::path::{Path, PathBuf};

use glob::{Pattern, PatternError};

use super::{Component, FilesMount, Manifest, folder_of};
use crate::config_file::{ConfigError, Position};

/// One file that a component sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedFile {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Where the component sees it, relative to its root.
    pub guest_path: PathBuf,
    /// Whether the manifest names this file itself, not a folder or a pattern.
    pub is_named: bool,
}

impl Manifest {
    /// The folder of the manifest, which its paths and glob patterns are relative to.
    pub fn folder(&self) -> &Path {
        folder_of(&self.path)
    }

    /// The files that `component` sees, or the first entry of its `files` that is not there.
    pub fn files_of(&self, component: &Component) -> Result<Vec<MountedFile>, ConfigError> {
        let mut files = Vec::new();
        for mount in &component.files {
            let found = match &mount.value {
                FilesMount::Pattern(pattern) => {
                    let path = self.folder().join(pattern);
                    // A path may hold characters that mean something in a pattern, so that it is tried first.
                    match !path.exists() && pattern.contains(['*', '?', '[']) {
                        true => self.glob(self.folder(), pattern, mount.position)?,
                        false => self.files_at(&path, Path::new(pattern), mount.position)?,
                    }
                }
                FilesMount::Placement { source, destination } => {
                    self.files_at(source, Path::new(destination.trim_start_matches('/')), mount.position)?
                }
            };
            // A file that is named outright is meant, as in Spin.
            let is_kept = |file: &MountedFile| {
                let path = file.source.strip_prefix(self.folder()).unwrap_or(&file.source);
                file.is_named || !component.exclude_files.iter().any(|pattern| pattern.matches_path(path))
            };
            files.extend(found.into_iter().filter(is_kept));
        }
        Ok(files)
    }

    /// A file, or all files below a folder.
    fn files_at(&self, path: &Path, guest_path: &Path, position: Position) -> Result<Vec<MountedFile>, ConfigError> {
        if path.is_file() {
            if guest_path.as_os_str().is_empty() {
                return Err(
                    self.error(position, format!("{} is a file; expected its name in the destination", path.display()))
                );
            }
            let (source, guest_path) = (path.to_owned(), guest_path.to_owned());
            return Ok(vec![MountedFile { source, guest_path, is_named: true }]);
        }
        if !path.is_dir() {
            return Err(self.error(position, format!("{} does not exist", path.display())));
        }
        let mut files = self.glob(path, "**/*", position)?;
        for file in &mut files {
            file.guest_path = guest_path.join(&file.guest_path);
        }
        Ok(files)
    }

    /// The files below `base` that match, with their paths relative to it.
    fn glob(&self, base: &Path, pattern: &str, position: Position) -> Result<Vec<MountedFile>, ConfigError> {
        let full = format!("{}/{pattern}", Pattern::escape(&base.to_string_lossy()));
        let paths = glob::glob(&full).map_err(|error| self.error(position, invalid_pattern(pattern, &error)))?;
        let mut files = Vec::new();
        for path in paths {
            let source = path.map_err(|error| self.error(position, error))?;
            if source.is_file() {
                let guest_path = source.strip_prefix(base).unwrap_or(&source).to_owned();
                files.push(MountedFile { source, guest_path, is_named: false });
            }
        }
        Ok(files)
    }
}

/// The problem with a text that is no glob pattern.
pub(super) fn invalid_pattern(pattern: &str, error: &PatternError) -> String {
    format!("{pattern:?} is no glob pattern: {}", error.msg)
}
