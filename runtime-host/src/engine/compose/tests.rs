//! Components composed of small ones written as text, and what they do when they run.

use std::collections::BTreeSet;

use wasmtime::component::{Component, Linker, Resource, ResourceType};
use wasmtime::{Config, Engine, Store};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::*;
use crate::manifest::Capability;

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
fn run_with<T: Default + 'static>(linker: &Linker<T>, wasm: &[u8]) -> wasmtime::Result<u32> {
    let component = Component::new(linker.engine(), wasm)?;
    let mut store = Store::new(linker.engine(), T::default());
    let instance = linker.instantiate(&mut store, &component)?;
    let run = instance.get_typed_func::<(), (u32,)>(&mut store, "run")?;
    Ok(run.call(&mut store, ())?.0)
}

fn run(wasm: &[u8]) -> wasmtime::Result<u32> {
    run_with(&Linker::<()>::new(&engine()), wasm)
}

/// The error and its causes.
fn error_of(component: &[u8], dependencies: &[Dependency<'_>]) -> String {
    let error = compose(component, dependencies).unwrap_err();
    std::iter::successors(Some(&error as &dyn Error), |error| error.source())
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
            "dependency `acme:prices/tax@1.2.0` matches no import of the component, which besides those from the host imports \
             nothing",
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

#[test]
fn a_dependency_can_do_only_what_it_inherits() {
    let mut linker = Linker::<()>::new(&engine());
    let variables = vec![("PASSWORD".to_owned(), "secret".to_owned())];
    linker
        .instance("wasi:cli/environment@0.2.6")
        .unwrap()
        .func_wrap("get-environment", move |_, (): ()| Ok((variables.clone(),)))
        .unwrap();
    let only = |capability| Inheritance::Only(BTreeSet::from([capability]));
    let seen =
        [(Inheritance::All, 1), (only(Capability::Environment), 1), (only(Capability::Variables), 0), (nothing(), 0)];
    for (inherit, count) in seen {
        let composed = compose_one(&shop(), &name("acme:prices"), &environment_reader(), &inherit);
        assert_eq!(run_with(&linker, &composed).unwrap(), 100 + count, "{inherit:?}");
    }
    let denied = compose_one(&shop(), &name("acme:prices"), &environment_reader(), &nothing());
    assert_eq!(run(&denied).unwrap(), 100, "it does not even import the environment");
}

#[test]
fn a_capability_covers_its_interfaces_and_no_others() {
    let capabilities = [
        ("wasi:http/outgoing-handler@0.2.3", Some(Capability::AllowedOutboundHosts)),
        ("wasi:http/client@0.3.0", Some(Capability::AllowedOutboundHosts)),
        ("wasi:sockets/tcp@0.2.6", Some(Capability::AllowedOutboundHosts)),
        ("wasi:sockets/types@0.3.0", Some(Capability::AllowedOutboundHosts)),
        ("wasi:cli/environment@0.3.0", Some(Capability::Environment)),
        ("wasi:filesystem/preopens@0.2.6", Some(Capability::Files)),
        ("fermyon:spin/key-value@2.0.0", Some(Capability::KeyValueStores)),
        ("spin:key-value/key-value@3.0.0", Some(Capability::KeyValueStores)),
        ("wasi:keyvalue/atomics@0.2.0-draft2", Some(Capability::KeyValueStores)),
        ("fermyon:spin/sqlite@2.0.0", Some(Capability::SqliteDatabases)),
        ("spin:sqlite/sqlite@3.1.0", Some(Capability::SqliteDatabases)),
        ("fermyon:spin/variables@2.0.0", Some(Capability::Variables)),
        ("wasi:config/store@0.2.0-draft-2024-09-27", Some(Capability::Variables)),
        // Nothing that can be listed covers what the host may learn to offer one day.
        ("spin:teleport/beam@1.0.0", None),
        ("wasi:cli/environment-of-others@0.2.0", None),
    ];
    let all = [
        Capability::AllowedOutboundHosts,
        Capability::Environment,
        Capability::Files,
        Capability::KeyValueStores,
        Capability::SqliteDatabases,
        Capability::Variables,
    ];
    for (import, covered_by) in capabilities {
        assert!(deny::is_denied(import, &BTreeSet::new()), "{import}");
        for capability in all {
            let is_denied = deny::is_denied(import, &BTreeSet::from([capability]));
            assert_eq!(is_denied, Some(capability) != covered_by, "{import} under {capability:?}");
        }
    }
    for import in
        ["wasi:io/streams@0.2.6", "wasi:random/random@0.3.0", "wasi:cli/stderr@0.2.0", "acme:prices/tax@1.2.0"]
    {
        assert!(!deny::is_denied(import, &BTreeSet::new()), "{import}");
    }
}

#[test]
fn a_call_is_refused_as_its_type_allows() {
    let wit = "package spin:vault@1.0.0 { interface vault {
        enum plain { broken, access-denied, other }
        variant rich { broken(u64), other(string) }
        resource key { open: static func(path: string) -> result<key, plain>; }
        open: func(path: string, parts: list<string>) -> result<u64, plain>;
        unlock: func() -> result<key, rich>;
        search: func() -> option<u64>;
        knock: func() -> result;
        count: func() -> u32;
    } }";
    let rate = |imports: &str, code: &str| {
        let code = format!("{imports} (func $rate (result i32) {code})");
        let tax = tax_by(wit, "import spin:vault/vault@1.0.0;", &code);
        run(&compose_one(&shop(), &name("acme:prices"), &tax, &nothing())).map(|rate| rate - 100)
    };
    // A result of 64-bit values: its tag at 8, what it holds from 16 on.
    let open = r#"(import "spin:vault/vault@1.0.0" "open" (func $open (param i32 i32 i32 i32 i32)))"#;
    let call_open = "(call $open (i32.const 0) (i32.const 60000) (i32.const 0) (i32.const 9) (i32.const 8))";
    assert_eq!(rate(open, &format!("{call_open} (i32.load8_u (i32.const 8))")).unwrap(), 1, "an error");
    assert_eq!(rate(open, &format!("{call_open} (i32.load8_u (i32.const 16))")).unwrap(), 1, "access denied");

    let open_key = r#"(import "spin:vault/vault@1.0.0" "[static]key.open" (func $open (param i32 i32 i32)))"#;
    let call_open_key = "(call $open (i32.const 0) (i32.const 4) (i32.const 8))";
    assert_eq!(rate(open_key, &format!("{call_open_key} (i32.load8_u (i32.const 12))")).unwrap(), 1, "access denied");

    // The variant's tag at 16, its payload from 24 on: a string with the reason, at 4096 as the dependency wants it.
    let unlock = r#"(import "spin:vault/vault@1.0.0" "unlock" (func $unlock (param i32)))"#;
    let unlocked = |load: &str| rate(unlock, &format!("(call $unlock (i32.const 8)) {load}")).unwrap();
    assert_eq!(unlocked("(i32.load8_u (i32.const 16))"), 1, "the case `other`");
    let reason = "`spin:vault/vault@1.0.0` is denied, because the dependency does not inherit it";
    assert_eq!(unlocked("(i32.load (i32.const 28))"), reason.len() as u32);
    assert_eq!(unlocked("(i32.load8_u (i32.const 4097))"), u32::from(b's'));

    let search = r#"(import "spin:vault/vault@1.0.0" "search" (func $search (param i32)))"#;
    assert_eq!(rate(search, "(call $search (i32.const 8)) (i32.load8_u (i32.const 8))").unwrap(), 0, "no value");
    let knock = r#"(import "spin:vault/vault@1.0.0" "knock" (func $knock (result i32)))"#;
    assert_eq!(rate(knock, "(call $knock)").unwrap(), 1, "an error without a payload");
    let count = r#"(import "spin:vault/vault@1.0.0" "count" (func $count (result i32)))"#;
    let trap = rate(count, "(call $count)").unwrap_err();
    assert!(format!("{trap:#}").contains("unreachable"), "a number cannot be a refusal: {trap:#}");
}

#[test]
fn a_refused_call_keeps_no_handle() {
    struct Request;
    #[derive(Default)]
    struct Requests {
        made: u32,
        dropped: u32,
    }
    let wit = "package test:made { interface dropped { dropped: func() -> u32; } }
    package wasi:http@0.2.6 {
        interface types { resource request { constructor(); } }
        interface outgoing-handler {
            use types.{request};
            peek: func(count: u64, request: borrow<request>) -> result;
            handle: func(request: request, next: option<request>, last: option<request>) -> result;
        }
    }";
    let tax = tax_by(
        wit,
        "import wasi:http/types@0.2.6; import wasi:http/outgoing-handler@0.2.6; import test:made/dropped;",
        r#"(import "wasi:http/types@0.2.6" "[constructor]request" (func $new (result i32)))
           (import "wasi:http/outgoing-handler@0.2.6" "peek" (func $peek (param i64 i32) (result i32)))
           (import "wasi:http/outgoing-handler@0.2.6" "handle" (func $handle (param i32 i32 i32 i32 i32) (result i32)))
           (import "test:made/dropped" "dropped" (func $dropped (result i32)))
           (func $rate (result i32)
               (local $request i32)
               (local.set $request (call $new))
               (drop (call $peek (i64.const 1) (local.get $request)))
               (drop (call $handle (local.get $request) (i32.const 1) (call $new) (i32.const 0) (i32.const 0)))
               (call $dropped))"#,
    );
    let mut linker = Linker::<Requests>::new(&engine());
    let mut types = linker.instance("wasi:http/types@0.2.6").unwrap();
    types
        .resource("request", ResourceType::host::<Request>(), |mut requests, _| {
            requests.data_mut().dropped += 1;
            Ok(())
        })
        .unwrap();
    types
        .func_wrap("[constructor]request", |mut requests, (): ()| {
            requests.data_mut().made += 1;
            Ok((Resource::<Request>::new_own(requests.data().made),))
        })
        .unwrap();
    linker
        .instance("test:made/dropped")
        .unwrap()
        .func_wrap("dropped", |requests, (): ()| Ok((requests.data().dropped,)))
        .unwrap();
    let composed = compose_one(&shop(), &name("acme:prices"), &tax, &nothing());
    assert_eq!(run_with(&linker, &composed).unwrap(), 102);
}

#[test]
fn an_asynchronous_function_is_refused_too() {
    let tax = tax_by(
        "package spin:store@3.0.0 { interface store {
            variant error { access-denied, other(string) }
            get: async func(key: string) -> result<string, error>;
            keys: async func() -> tuple<stream<string>, future<result<_, error>>>;
        } }",
        "import spin:store/store@3.0.0;",
        r#"(import "spin:store/store@3.0.0" "[async-lower]get" (func $get (param i32 i32 i32) (result i32)))
           ;; The status 2: it has returned.
           (func $rate (result i32)
               (i32.add
                   (i32.mul (i32.const 10) (call $get (i32.const 0) (i32.const 9) (i32.const 8)))
                   (i32.load8_u (i32.const 8))))"#,
    );
    let composed = compose_one(&shop(), &name("acme:prices"), &tax, &nothing());
    assert_eq!(run(&composed).unwrap(), 121);
}
