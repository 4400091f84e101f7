//! The files that components see, without those that may hold secrets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component as PathPart, Path, PathBuf};

use bytes::Bytes;

use super::super::OciError;
use crate::manifest::{Component, Manifest};

/// Where environment variables are kept for development; Spin and this host read them.
const DOT_ENV: &str = ".env";

/// Reads files.
pub(super) struct Files {
    secret: Vec<PathBuf>,
    pub(super) withheld: Vec<PathBuf>,
}

impl Files {
    /// Without what is in or at these paths.
    pub(super) fn new(secret: &[PathBuf]) -> Self {
        let secret = secret.iter().filter_map(|path| fs::canonicalize(path).ok());
        Self { secret: secret.collect(), withheld: Vec::new() }
    }

    /// The files of a component, by their paths for it.
    pub(super) fn of(
        &mut self,
        manifest: &Manifest,
        component: &Component,
    ) -> Result<BTreeMap<String, Bytes>, OciError> {
        let found = manifest.files_of(component).map_err(|error| OciError::Unpushable(error.to_string()))?;
        let mut files = BTreeMap::new();
        for file in found {
            let path = fs::canonicalize(&file.source).map_err(OciError::file(&file.source, "read"))?;
            if self.is_secret(&file.source) || self.is_secret(&path) {
                self.withheld.push(file.source);
                continue;
            }
            let data = fs::read(&path).map_err(OciError::file(&file.source, "read"))?;
            files.insert(portable(&file.guest_path)?, data.into());
        }
        Ok(files)
    }

    fn is_secret(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_dot_env = name.strip_prefix(DOT_ENV).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        is_dot_env || self.secret.iter().any(|secret| path.starts_with(secret))
    }
}

/// The path with slashes and nothing but names.
fn portable(path: &Path) -> Result<String, OciError> {
    let names = path.components().filter(|part| *part != PathPart::CurDir).map(|part| match part {
        PathPart::Normal(name) => name.to_str(),
        _ => None,
    });
    let names = names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty());
    let names = names.ok_or_else(|| {
        OciError::Unpushable(format!("the file {} cannot be pushed: its name is not UTF-8", path.display()))
    })?;
    Ok(names.join("/"))
}
