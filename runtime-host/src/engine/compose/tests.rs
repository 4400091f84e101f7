//! Components composed of small ones written as text, and what they do when they run.

mod refusals;

use std::collections::BTreeSet;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::*;

/// A component that implements the world `w` of a WIT text by a core module.
fn component(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("test.wit", &format!("package test:test;\n{wit}")).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

const TAX: &str = "package acme:prices@1.2.0 { interface tax { rate: func() -> u32; } }";

/// Answers `run` with what its import `acme:prices/tax@1.2.0` says, plus 100.
fn shop() -> Vec<u8> {
    component(
        &format!("{TAX} world w {{ import acme:prices/tax@1.2.0; export run: func() -> u32; }}"),
        r#"(module
            (import "acme:prices/tax@1.2.0" "rate" (func $rate (result i32)))
            (func (export "run") (result i32) (i32.add (call $rate) (i32.const 100))))"#,
    )
}

/// A dependency for [`shop`] that needs nothing.
fn tax(rate: u32) -> Vec<u8> {
    component(
        &format!("{TAX} world w {{ export acme:prices/tax@1.2.0; }}"),
        &format!(r#"(module (func (export "acme:prices/tax@1.2.0#rate") (result i32) (i32.const {rate})))"#),
    )
}

/// A dependency for [`shop`] whose rate is what `code` makes of imports that the WIT text declares.
fn tax_by(wit: &str, imports: &str, code: &str) -> Vec<u8> {
    component(
        &format!("{TAX} {wit} world w {{ {imports} export acme:prices/tax@1.2.0; }}"),
        &format!(
            r#"(module
                {code}
                (memory (export "memory") 1)
                ;; The host's answers lie at 4096 and above.
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
                (func (export "acme:prices/tax@1.2.0#rate") (result i32) (call $rate)))"#
        ),
    )
}

fn name(text: &str) -> DependencyName {
    text.parse().unwrap()
}

fn nothing() -> Inheritance {
    Inheritance::Only(BTreeSet::new())
}

fn compose_one(component: &[u8], name: &DependencyName, wasm: &[u8], inherit: &Inheritance) -> Vec<u8> {
    compose(component, &[Dependency { name, wasm, export: None, inherit }]).unwrap()
}

fn engine() -> Engine {
    Engine::new(Config::new().wasm_component_model_async(true)).unwrap()
}

/// What `run` of a component returns that imports nothing but what `linker` has.
fn run_with<T: Default + Send + 'static>(linker: &Linker<T>, wasm: &[u8]) -> wasmtime::Result<u32> {
    futures::executor::block_on(async {
        let component = Component::new(linker.engine(), wasm)?;
        let mut store = Store::new(linker.engine(), T::default());
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
        Ok(run.call_async(&mut store, ()).await?.0)
    })
}

fn run(wasm: &[u8]) -> wasmtime::Result<u32> {
    run_with(&Linker::<()>::new(&engine()), wasm)
}

/// The error and its causes.
fn error_of(component: &[u8], dependencies: &[Dependency<'_>]) -> String {
    let error = compose(component, dependencies).unwrap_err();
    std::iter::successors(Some(&error as &dyn Error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[test]
fn a_dependency_satisfies_an_import() {
    for text in ["acme:prices/tax@1.2.0", "acme:prices/tax", "acme:prices@1.2.0", "acme:prices"] {
        let composed = compose_one(&shop(), &name(text), &tax(19), &nothing());
        assert_eq!(run(&composed).unwrap(), 119, "{text}");
    }
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    let (shop, name, tax) = (shop(), name("acme:prices"), environment_reader());
    let first = compose_one(&shop, &name, &tax, &nothing());
    assert!((0..20).all(|_| compose_one(&shop, &name, &tax, &nothing()) == first));
}

#[test]
fn without_a_dependency_nothing_changes() {
    assert_eq!(compose(b"whatever it is", &[]).unwrap(), b"whatever it is");
}

#[test]
fn a_name_matches_what_it_says_and_leaves_the_rest_open() {
    let matches = [
        ("acme:prices/tax@1.2.0", "acme:prices/tax@1.2.0", true),
        ("acme:prices/tax@1.2.0", "acme:prices/tax@1.2.1", false),
        ("acme:prices/tax@1.2.0", "acme:prices/tax", false),
        ("acme:prices/tax@1.2.0-rc.1", "acme:prices/tax@1.2.0-rc.1", true),
        ("acme:prices/tax", "acme:prices/tax", true),
        ("acme:prices/tax", "acme:prices/tax@1.2.0", true),
        ("acme:prices/tax", "acme:prices/tax-rules@1.2.0", false),
        ("acme:prices@1.2.0", "acme:prices/tax@1.2.0", true),
        ("acme:prices@1.2.0", "acme:prices/tax@2.0.0", false),
        ("acme:prices", "acme:prices/tax@1.2.0", true),
        ("acme:prices", "acme:prices-eu/tax@1.2.0", false),
        ("acme:prices", "acme-prices", false),
        ("tax", "tax", true),
        ("tax", "acme:prices/tax", false),
    ];
    for (text, import, expected) in matches {
        assert_eq!(is_match(&name(text), import), expected, "{text} and {import}");
    }
}

#[test]
fn a_package_satisfies_all_its_imports_by_one_instance() {
    let wit = "package acme:count@1.0.0 { interface up { up: func(); } interface now { now: func() -> u32; } }";
    let main = component(
        &format!(
            "{wit} world w {{ import acme:count/up@1.0.0; import acme:count/now@1.0.0; export run: func() -> u32; }}"
        ),
        r#"(module
            (import "acme:count/up@1.0.0" "up" (func $up))
            (import "acme:count/now@1.0.0" "now" (func $now (result i32)))
            (func (export "run") (result i32) (call $up) (call $up) (call $now)))"#,
    );
    let counter = component(
        &format!("{wit} world w {{ export acme:count/up@1.0.0; export acme:count/now@1.0.0; }}"),
        r#"(module
            (global $count (mut i32) (i32.const 0))
            (func (export "acme:count/up@1.0.0#up") (global.set $count (i32.add (global.get $count) (i32.const 1))))
            (func (export "acme:count/now@1.0.0#now") (result i32) (global.get $count)))"#,
    );
    assert_eq!(run(&compose_one(&main, &name("acme:count"), &counter, &nothing())).unwrap(), 2);

    let (up, now, inherit) = (name("acme:count/up"), name("acme:count/now"), nothing());
    let dependency = |name| Dependency { name, wasm: &counter, export: None, inherit: &inherit };
    let apart = compose(&main, &[dependency(&up), dependency(&now)]).unwrap();
    assert_eq!(run(&apart).unwrap(), 0, "each dependency is an instance of its own");
}

#[test]
fn the_manifest_can_name_another_export() {
    let tax = component(
        "package other:rates@3.0.0 { interface flat { rate: func() -> u32; } } world w { export other:rates/flat@3.0.0; }",
        r#"(module (func (export "other:rates/flat@3.0.0#rate") (result i32) (i32.const 7)))"#,
    );
    let (name, inherit) = (name("acme:prices/tax"), nothing());
    let dependency = Dependency { name: &name, wasm: &tax, export: Some("other:rates/flat@3.0.0"), inherit: &inherit };
    assert_eq!(run(&compose(&shop(), &[dependency]).unwrap()).unwrap(), 107);

    let error = error_of(&shop(), &[Dependency { export: Some("other:rates/steep"), ..dependency }]);
    assert_eq!(
        error,
        "dependency `acme:prices/tax` does not export `other:rates/steep`, which import `acme:prices/tax@1.2.0` needs; \
         it exports `other:rates/flat@3.0.0`"
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let (inherit, shop) = (nothing(), shop());
    let (tax, exact, package, wrong) =
        (tax(1), name("acme:prices/tax@1.2.0"), name("acme:prices"), name("acme:prices@2.0.0"));
    let dependency = |name, wasm| Dependency { name, wasm, export: None, inherit: &inherit };
    let signed = component(
        "package acme:prices@1.2.0 { interface tax { rate: func() -> s64; } } world w { export acme:prices/tax@1.2.0; }",
        r#"(module (func (export "acme:prices/tax@1.2.0#rate") (result i64) (i64.const 1)))"#,
    );
    let core_module = wat::parse_str("(module)").unwrap();

    let errors = [
        (
            error_of(&shop, &[dependency(&wrong, &tax)]),
            "dependency `acme:prices@2.0.0` matches no import of the component, which besides those from the host imports \
             `acme:prices/tax@1.2.0`",
        ),
        (
            error_of(&tax, &[dependency(&exact, &tax)]),
            "dependency `acme:prices/tax@1.2.0` matches no import of the component, which besides those from the host \
             imports nothing",
        ),
        (
            error_of(&shop, &[dependency(&exact, &tax), dependency(&package, &tax)]),
            "import `acme:prices/tax@1.2.0` is satisfied by both dependency `acme:prices/tax@1.2.0` and dependency `acme:prices`; \
             expected one",
        ),
        (
            error_of(&shop, &[dependency(&exact, &shop)]),
            "dependency `acme:prices/tax@1.2.0` does not export `acme:prices/tax@1.2.0`, which import `acme:prices/tax@1.2.0` \
             needs; it exports `run`",
        ),
        (
            error_of(&shop, &[dependency(&package, &signed)]),
            "dependency `acme:prices` exports `acme:prices/tax@1.2.0` with another type than import `acme:prices/tax@1.2.0` has",
        ),
        (
            error_of(&shop, &[dependency(&exact, &core_module)]),
            "dependency `acme:prices/tax@1.2.0` cannot be read as a component",
        ),
        (
            error_of(&shop, &[dependency(&exact, &tax[..40])]),
            "dependency `acme:prices/tax@1.2.0` cannot be read as a component",
        ),
        (error_of(&core_module, &[dependency(&exact, &tax)]), "the component cannot be read"),
    ];
    for (error, expected) in errors {
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn an_import_of_a_dependency_that_no_host_knows_stays() {
    let tax = tax_by(
        "package acme:rates@1.0.0 { interface live { rate: func() -> u32; } }",
        "import acme:rates/live@1.0.0;",
        r#"(import "acme:rates/live@1.0.0" "rate" (func $rate (result i32)))"#,
    );
    let error = run(&compose_one(&shop(), &name("acme:prices"), &tax, &nothing())).unwrap_err();
    assert!(format!("{error:#}").contains("acme:rates/live@1.0.0"), "{error:#}");
}

/// A dependency for [`shop`] whose rate is the number of environment variables that it sees.
fn environment_reader() -> Vec<u8> {
    tax_by(
        "package wasi:cli@0.2.6 { interface environment { get-environment: func() -> list<tuple<string, string>>; } }",
        "import wasi:cli/environment@0.2.6;",
        r#"(import "wasi:cli/environment@0.2.6" "get-environment" (func $get (param i32)))
           (func $rate (result i32) (call $get (i32.const 8)) (i32.load (i32.const 12)))"#,
    )
}
