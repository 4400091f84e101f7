//! What the cache gives back, and what it does not trust.

use std::os::unix::fs::PermissionsExt as _;

use sha2::{Digest as _, Sha256};
use wasmtime::Config;

use super::*;

/// A component that can be told by its one export.
fn component(export: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module $m) (export {export:?} (core module $m)))")).unwrap()
}

fn exports(component: &Component, name: &str) -> bool {
    component.get_export_index(None, name).is_some()
}

fn digest(wasm: &[u8]) -> String {
    hex::encode(Sha256::digest(wasm))
}

fn load(cache: &CodeCache, engine: &Engine, wasm: &[u8]) -> Component {
    let found = cache.find(engine, &digest(wasm));
    found.unwrap_or_else(|| cache.compile(engine, &digest(wasm), wasm).unwrap())
}

struct Folder {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Folder {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engine: Engine::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("code")
    }

    fn cache(&self) -> CodeCache {
        CodeCache::new(&self.path(), &self.engine)
    }

    fn load(&self, wasm: &[u8]) -> Component {
        load(&self.cache(), &self.engine, wasm)
    }

    /// Writes `code` as the entry of `wasm`, under its right name.
    fn plant(&self, wasm: &[u8], code: &[u8]) {
        let prefix = self.cache().prefix(&digest(wasm));
        fs::write(self.path().join(entry_name(&prefix, code)), code).unwrap();
    }

    /// Puts the code of another component in place of the only entry, so that a load shows where its code is from.
    fn replace_entry(&self, wasm: &[u8], other: &[u8]) {
        fs::remove_file(self.entry()).unwrap();
        self.plant(wasm, &self.engine.precompile_component(other).unwrap());
    }

    fn entries(&self) -> Vec<PathBuf> {
        let mut entries: Vec<_> = fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }

    fn entry(&self) -> PathBuf {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }

    /// Fails unless the only entry has what its name says.
    fn assert_sound(&self) {
        let entry = self.entry();
        let digest = blake3::hash(&fs::read(&entry).unwrap());
        assert!(entry.to_string_lossy().ends_with(&format!("-{digest}.cwasm")), "{}", entry.display());
    }
}

#[test]
fn code_is_compiled_once_and_then_read() {
    let folder = Folder::new();
    assert!(exports(&folder.load(&component("a")), "a"));
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
    folder.assert_sound();

    folder.replace_entry(&component("a"), &component("b"));
    assert!(exports(&folder.load(&component("a")), "b"), "the entry is what runs");
    assert!(exports(&folder.load(&component("c")), "c"), "another component has another entry");
    assert_eq!(folder.entries().len(), 2);
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("first byte", |code| code[0] ^= 1),
        ("a byte in the middle", |code| {
            let middle = code.len() / 2;
            code[middle] ^= 0x80;
        }),
        ("last byte", |code| *code.last_mut().unwrap() ^= 1),
        ("half of it", |code| code.truncate(code.len() / 2)),
        ("nothing left", Vec::clear),
    ];
    let folder = Folder::new();
    for (name, damage) in damages {
        folder.load(&component("a"));
        let entry = folder.entry();
        let mut code = fs::read(&entry).unwrap();
        damage(&mut code);
        fs::write(&entry, code).unwrap();

        assert!(exports(&folder.load(&component("a")), "a"), "{name}");
        folder.assert_sound();
    }
}

#[test]
fn the_code_of_another_engine_is_not_used() {
    let folder = Folder::new();
    folder.load(&component("a"));
    folder.replace_entry(&component("a"), &component("b"));
    let before = folder.entries();

    let engine = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    let cache = CodeCache::new(&folder.path(), &engine);
    assert!(exports(&load(&cache, &engine, &component("a")), "a"));
    let after = folder.entries();
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]), "the other engine's entry stays");
}

#[test]
fn code_of_another_engine_under_this_ones_name_is_compiled_again() {
    let folder = Folder::new();
    folder.load(&component("a"));
    let entry = folder.entry();
    fs::remove_file(&entry).unwrap();
    let other = Engine::new(Config::new().epoch_interruption(true)).unwrap();
    folder.plant(&component("a"), &other.precompile_component(&component("b")).unwrap());

    assert!(exports(&folder.load(&component("a")), "a"));
    assert_eq!(folder.entry(), entry, "compiling is deterministic");
}

#[test]
fn a_folder_that_others_may_write_is_not_trusted() {
    let folder = Folder::new();
    folder.load(&component("a"));
    folder.replace_entry(&component("a"), &component("b"));
    for mode in [0o770, 0o702] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert!(exports(&folder.load(&component("a")), "a"), "{mode:o}");
        assert!(exports(&folder.load(&component("c")), "c"), "{mode:o}");
        assert_eq!(folder.entries().len(), 1, "nothing is added, {mode:o}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(exports(&folder.load(&component("a")), "b"), "others may read");
}

#[test]
fn without_a_folder_it_compiles_every_time() {
    let folder = Folder::new();
    fs::write(folder.path(), "in the way").unwrap();
    for _ in 0..2 {
        assert!(exports(&folder.load(&component("a")), "a"));
    }
}

#[test]
fn what_no_host_starts_with_is_removed_after_a_while() {
    let folder = Folder::new();
    let used_ago = |path: &Path, age: Duration| {
        fs::File::open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    };
    folder.load(&component("old"));
    let old = folder.entry();
    folder.load(&component("recent"));
    folder.load(&component("used"));
    let entry_of = |export: &str| {
        let prefix = hex::encode(Sha256::digest(component(export)));
        folder.entries().into_iter().find(|entry| entry.to_string_lossy().contains(&prefix)).unwrap()
    };
    let (recent, used) = (entry_of("recent"), entry_of("used"));
    let other_engine = folder.path().join(format!("{:064x}-{:016x}-{:064x}.cwasm", 1, 2, 3));
    let (unfinished, begun) = (folder.path().join(".unfinished-a"), folder.path().join(".unfinished-b"));
    let foreign = folder.path().join("notes.cwasm");
    for path in [&other_engine, &unfinished, &begun, &foreign] {
        fs::write(path, "").unwrap();
    }
    for path in [&old, &used, &other_engine, &unfinished, &foreign] {
        used_ago(path, UNUSED_TIME_MAX + Duration::from_secs(60));
    }
    used_ago(&recent, UNUSED_TIME_MAX - Duration::from_secs(60));

    // A start with an old entry makes it a used one.
    assert!(exports(&folder.load(&component("used")), "used"));
    folder.cache().prune();
    let mut kept = [recent, used, begun, foreign];
    kept.sort();
    assert_eq!(folder.entries(), kept);
}

#[test]
fn nothing_is_removed_from_a_folder_that_others_may_write() {
    let folder = Folder::new();
    folder.load(&component("a"));
    let old = SystemTime::now() - 2 * UNUSED_TIME_MAX;
    fs::File::open(folder.entry()).unwrap().set_modified(old).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o770)).unwrap();
    folder.cache().prune();
    folder.entry();
}
