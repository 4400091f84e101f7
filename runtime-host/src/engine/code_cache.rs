//! Compiled code kept on disk between starts.
//!
//! An entry is one file named `<wasm SHA-256>-<engine hash>-<code SHA-256>.cwasm`. The name says what the file must hold, so an
//! entry of another engine is never looked at, and a damaged one is found by its own hash, deleted and compiled again.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Ending of a cache entry.
const EXTENSION: &str = "cwasm";

/// The cache.
pub struct CodeCache {
    dir: PathBuf,
    engine_hash: String,
}

impl CodeCache {
    /// A cache in `dir` for code that `engine` can run. The folder is made when the first entry is written.
    pub fn new(dir: &Path, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { dir: dir.to_owned(), engine_hash: format!("{:016x}", hasher.finish()) }
    }

    /// The compiled form of `wasm`, from the cache where a sound entry is there.
    pub fn load(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let prefix = format!("{}-{}-", hex::encode(Sha256::digest(wasm)), self.engine_hash);
        if let Some(component) = self.find_entry(&prefix).and_then(|path| read_entry(engine, &path, &prefix)) {
            return Ok(component);
        }
        let component = Component::new(engine, wasm)?;
        if let Err(error) = self.write_entry(&prefix, &component) {
            // The cache only saves time; without it the component still runs.
            tracing::warn!(dir = %self.dir.display(), "compiled code is not cached: {error:#}");
        }
        Ok(component)
    }

    fn find_entry(&self, prefix: &str) -> Option<PathBuf> {
        if !is_private(&self.dir).ok()? {
            return None;
        }
        fs::read_dir(&self.dir)
            .ok()?
            .filter_map(Result::ok)
            .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .map(|entry| entry.path())
    }

    fn write_entry(&self, prefix: &str, component: &Component) -> wasmtime::Result<()> {
        let code = component.serialize()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        wasmtime::ensure!(
            is_private(&self.dir)?,
            "other users can write to the folder, and so have this one run their code"
        );
        // Written aside and renamed, so that no reader ever sees half an entry.
        let mut aside = NamedTempFile::new_in(&self.dir)?;
        aside.write_all(&code)?;
        aside.persist(self.dir.join(entry_name(prefix, &code)))?;
        Ok(())
    }
}

/// Whether only this process's user may write to `dir`.
fn is_private(dir: &Path) -> std::io::Result<bool> {
    let metadata = fs::metadata(dir)?;
    Ok(metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
}

fn read_entry(engine: &Engine, path: &Path, prefix: &str) -> Option<Component> {
    let code = fs::read(path).ok()?;
    let component = if entry_name(prefix, &code) == path.file_name()?.to_string_lossy() {
        // SAFETY: the bytes hash to the name this host gave them when it wrote them, in a folder that only its user may write.
        #[expect(unsafe_code, reason = "loading precompiled code is unsafe by nature; the hash above is the check")]
        unsafe { Component::deserialize(engine, &code) }
            .map_err(|error| tracing::warn!(path = %path.display(), "cached code is not usable: {error:#}"))
            .ok()
    } else {
        tracing::warn!(path = %path.display(), "cached code is damaged; compiling again");
        None
    };
    if component.is_none() {
        // Best effort: an entry that cannot be removed is found unusable again next time.
        let _ = fs::remove_file(path);
    }
    component
}

fn entry_name(prefix: &str, code: &[u8]) -> String {
    format!("{prefix}{}.{EXTENSION}", hex::encode(Sha256::digest(code)))
}

#[cfg(test)]
mod tests;
