//! The declarations under `wit/` are what the host offers: names, shapes, and every function.

use std::path::Path;

use wasmtime::component::Component;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, PackageId, Resolve, WorldId};

use super::linker;

/// The packages of `wit/` that the host implements; the other is between components.
const OFFERED: [&str; 7] = [
    "fermyon-spin@2.0.0",
    "spin-key-value@3.0.0",
    "spin-sqlite@3.0.0",
    "spin-sqlite@3.1.0",
    "spin-variables@3.0.0",
    "wasi-config@0.2.0-draft-2024-09-27",
    "wasi-keyvalue@0.2.0-draft2",
];
const BETWEEN_COMPONENTS: &str = "bodega-pricing@1.0.0";

fn wit() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"))
}

#[test]
fn a_component_that_imports_all_that_a_package_declares_is_linked() {
    let engine = wasmtime::Engine::new(&crate::engine::config(1)).unwrap();
    let linker = linker(&engine).unwrap();
    for package in OFFERED {
        let mut resolve = Resolve::default();
        let (declared, _) = resolve.push_dir(wit().join(package)).unwrap();
        let world = world_of_all(&mut resolve, declared);
        let component = Component::new(&engine, dummy(&resolve, world)).unwrap();
        let imports = component.component_type().imports(&engine).count();
        assert_eq!(imports, resolve.packages[declared].interfaces.len(), "{package}: each interface is imported");
        if let Err(error) = linker.instantiate_pre(&component) {
            panic!("{package}: {error:#}");
        }
    }
}

#[test]
fn every_package_of_the_folder_is_accounted_for() {
    let mut found: Vec<_> =
        wit().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    let mut known = OFFERED.to_vec();
    known.push(BETWEEN_COMPONENTS);
    known.sort();
    assert_eq!(found, known);
}

/// A world that imports every interface of a package.
fn world_of_all(resolve: &mut Resolve, package: PackageId) -> WorldId {
    let name = resolve.packages[package].name.clone();
    let imports: String = resolve.packages[package]
        .interfaces
        .keys()
        .map(|interface| format!("import {};\n", name.interface_id(interface)))
        .collect();
    let text = format!("package test:all;\nworld all {{\n{imports}}}");
    let test = resolve.push_str("all.wit", &text).unwrap();
    resolve.packages[test].worlds["all"]
}

/// A component of this world that does nothing.
fn dummy(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut module = dummy_module(resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}
