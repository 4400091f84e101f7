//! The packages by what they are built for. A folder has the name of its package.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The target of components.
pub(crate) const WASM: &str = "wasm32-wasip2";

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The services and the libraries that they share: built for WebAssembly, tested natively as well.
pub(crate) fn components() -> Result<Vec<String>> {
    folders(&root().join("components"))
}

/// The test guests: built for WebAssembly only.
pub(crate) fn guests() -> Result<Vec<String>> {
    folders(&root().join("tests").join("guests"))
}

fn folders(parent: &PathBuf) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent).with_context(|| format!("cannot list {}", parent.display()))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
