//! Compiled code kept on disk between starts.
//!
//! An entry is one file named `<wasm digest>-<engine hash>-<code BLAKE3>.cwasm`. The name says what the file must hold, so an
//! entry of another engine is never looked at, and a damaged one is found by its own hash, deleted and compiled again.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wasmtime::Engine;
use wasmtime::component::Component;

/// Ending of a cache entry.
const EXTENSION: &str = "cwasm";
/// What a file begins with that is still written.
const UNFINISHED_PREFIX: &str = ".unfinished-";
/// How long an entry is kept without any host that starts with it.
const UNUSED_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How old the note of an entry's last use may become before it is renewed; also how long writing one may take.
const USE_NOTED_PERIOD: Duration = Duration::from_secs(24 * 60 * 60);

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

    /// The compiled form of the wasm with this `digest` (in hex), where a sound entry is there.
    pub fn find(&self, engine: &Engine, digest: &str) -> Option<Component> {
        let prefix = self.prefix(digest);
        self.find_entry(&prefix).and_then(|path| read_entry(engine, &path, &prefix))
    }

    /// Compiles `wasm` and keeps the result for those who look for its `digest`.
    pub fn compile(&self, engine: &Engine, digest: &str, wasm: &[u8]) -> wasmtime::Result<Component> {
        let component = Component::new(engine, wasm)?;
        if let Err(error) = self.write_entry(&self.prefix(digest), &component) {
            // The cache only saves time; without it the component still runs.
            tracing::warn!(dir = %self.dir.display(), "compiled code is not cached: {error:#}");
        }
        Ok(component)
    }

    fn prefix(&self, digest: &str) -> String {
        format!("{digest}-{}-", self.engine_hash)
    }

    /// Removes what no host has started with for long, of this engine or any other.
    ///
    /// To be called once everything is loaded, so that all of it has just been used. A host that runs has its code in
    /// memory, and one that is starting compiles what it does not find: the folder may be shared.
    pub fn prune(&self) {
        if let Err(error) = self.prune_before(SystemTime::now())
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.dir.display(), "old compiled code is not removed: {error}");
        }
    }

    fn prune_before(&self, now: SystemTime) -> std::io::Result<()> {
        if !is_private(&self.dir)? {
            return Ok(());
        }
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let name = file.file_name();
            let age_max = match name.to_string_lossy() {
                name if is_entry_name(&name) => UNUSED_TIME_MAX,
                name if name.starts_with(UNFINISHED_PREFIX) => USE_NOTED_PERIOD,
                _ => continue,
            };
            // What another host removes meanwhile is no concern of this one.
            let Ok(used) = file.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if now.duration_since(used).is_ok_and(|age| age > age_max) {
                let _ = fs::remove_file(file.path());
            }
        }
        Ok(())
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
        let mut aside = tempfile::Builder::new().prefix(UNFINISHED_PREFIX).tempfile_in(&self.dir)?;
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
    if component.is_some() {
        note_use(path);
    } else {
        // Best effort: an entry that cannot be removed is found unusable again next time.
        let _ = fs::remove_file(path);
    }
    component
}

/// Notes in the entry's modification time that it was used, at most once in a period: a start need not write.
fn note_use(path: &Path) {
    let noted = fs::metadata(path).and_then(|metadata| metadata.modified());
    if noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age > USE_NOTED_PERIOD)) {
        // Best effort: an entry that seems unused is compiled again at worst.
        let _ = fs::File::open(path).and_then(|entry| entry.set_modified(SystemTime::now()));
    }
}

/// Whether a file of this name is an entry of any engine: three parts in hexadecimal digits.
fn is_entry_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.')) else { return false };
    let parts: Vec<&str> = stem.split('-').collect();
    let is_hex = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    parts.len() == 3 && parts.iter().all(is_hex)
}

fn entry_name(prefix: &str, code: &[u8]) -> String {
    format!("{prefix}{}.{EXTENSION}", blake3::hash(code))
}

#[cfg(test)]
mod tests;
