//! Where the programs under test are: the host's binary and the guests' components.

use std::env;
use std::path::{Path, PathBuf};

/// The binary `bodega`, from `BODEGA_BIN` or as built beside the tests.
pub fn host() -> PathBuf {
    let built = || target_dir().join("debug").join("bodega");
    existing(env::var_os("BODEGA_BIN").map_or_else(built, PathBuf::from))
}

/// The component of a guest under `tests/guests/` or of a service under `components/`, by its crate's name.
pub fn component(name: &str) -> PathBuf {
    let file = format!("{}.wasm", name.replace('-', "_"));
    existing(target_dir().join("wasm32-wasip2").join("release").join(file))
}

/// Where the hosts of all tests keep compiled code, so that each component is compiled once.
pub fn code_cache() -> PathBuf {
    target_dir().join("tmp").join("code")
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the root")
}

/// The folder that cargo builds into: the test itself runs from `TARGET/debug/deps/`.
fn target_dir() -> PathBuf {
    let test = env::current_exe().expect("a running program has a path");
    test.ancestors().nth(3).expect("cargo puts tests three levels down").to_owned()
}

fn existing(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: `cargo xtask test` builds it", path.display());
    path
}
