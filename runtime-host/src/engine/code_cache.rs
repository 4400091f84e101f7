//! Compiled code kept on disk between starts.
//!
//! An entry is one file named `<wasm SHA-256>-<engine hash>-<code SHA-256>.cwasm`. The name says what the file must hold, so an
//! entry of another engine is never looked at, and a damaged one is found by its own hash, deleted and compiled again.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Ending of a cache entry.
const EXTENSION: &str = "cwasm";

/// The cache; without a folder every load compiles.
pub struct CodeCache {
    dir: Option<PathBuf>,
    engine_hash: String,
}

impl CodeCache {
    /// A cache in `dir` for code that `engine` can run. The folder is made when the first entry is written.
    pub fn new(dir: Option<&Path>, engine: &Engine) -> Self {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self { dir: dir.map(Path::to_owned), engine_hash: format!("{:016x}", hasher.finish()) }
    }

    /// The compiled form of `wasm`, from the cache where a sound entry is there.
    pub fn load(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let Some(dir) = &self.dir else {
            return Component::new(engine, wasm);
        };
        let prefix = format!("{}-{}-", hex(Sha256::digest(wasm)), self.engine_hash);
        if let Some(component) = find_entry(dir, &prefix).and_then(|path| read_entry(engine, &path, &prefix)) {
            return Ok(component);
        }
        let component = Component::new(engine, wasm)?;
        if let Err(error) = write_entry(dir, &prefix, &component) {
            // The cache only saves time; without it the component still runs.
            tracing::warn!(dir = %dir.display(), "compiled code is not cached: {error:#}");
        }
        Ok(component)
    }
}

fn find_entry(dir: &Path, prefix: &str) -> Option<PathBuf> {
    std::fs::read_dir(dir)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
}

fn read_entry(engine: &Engine, path: &Path, prefix: &str) -> Option<Component> {
    let code = std::fs::read(path).ok()?;
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
        let _ = std::fs::remove_file(path);
    }
    component
}

fn write_entry(dir: &Path, prefix: &str, component: &Component) -> wasmtime::Result<()> {
    let code = component.serialize()?;
    std::fs::create_dir_all(dir)?;
    let path = dir.join(entry_name(prefix, &code));
    // Written aside and renamed, so that no reader ever sees half an entry.
    let aside = dir.join(format!(".{}.{prefix}tmp", std::process::id()));
    std::fs::write(&aside, &code)?;
    std::fs::rename(&aside, &path)?;
    Ok(())
}

fn entry_name(prefix: &str, code: &[u8]) -> String {
    format!("{prefix}{}.{EXTENSION}", hex(Sha256::digest(code)))
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    use std::fmt::Write as _;
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
