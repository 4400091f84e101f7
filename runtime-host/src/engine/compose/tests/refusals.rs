//! What a dependency can do, and how it is told what it cannot.

use std::collections::BTreeSet;

use wasmtime::component::{Linker, Resource, ResourceType};

use super::*;
use crate::manifest::Capability;

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
    // A path of one page, the dependency's whole memory, does not fit into the adapter's first page besides the answers.
    let call_open = "(call $open (i32.const 0) (i32.const 65536) (i32.const 0) (i32.const 9) (i32.const 8))";
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
