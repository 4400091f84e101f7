//! The adapter that stands in for the host towards a dependency: a component that exports what the dependency must not
//! get from the host, with the types that the dependency imports, and refuses every call.

use std::collections::BTreeSet;

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};

use super::{Cause, refusal};
use crate::manifest::Capability;

/// The namespaces of what a host offers. An import from another one stays, so that the linker refuses it by name.
const HOST_NAMESPACES: [&str; 3] = ["wasi:", "spin:", "fermyon:"];

/// Packages and interfaces that give access to nothing, so that a dependency has them in any case, as under Spin:
/// clocks, random numbers, output, the end of the instance, and types that can do nothing without a denied interface.
const HARMLESS: [&str; 17] = [
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:cli/types",
    "wasi:clocks",
    "wasi:filesystem/types",
    "wasi:http/types",
    "wasi:io",
    "wasi:random",
    "wasi:sockets/instance-network",
    "wasi:sockets/network",
];

/// The packages and interfaces by which a component makes use of a right; the assignment is Spin's.
fn interfaces(capability: Capability) -> &'static [&'static str] {
    match capability {
        Capability::AllowedOutboundHosts => &[
            "fermyon:spin/http",
            "fermyon:spin/mqtt",
            "fermyon:spin/redis",
            "spin:mqtt",
            "spin:redis",
            "wasi:http/client",
            "wasi:http/outgoing-handler",
            "wasi:sockets",
        ],
        Capability::Environment => &["wasi:cli/environment"],
        Capability::Files => &["wasi:filesystem"],
        Capability::KeyValueStores => &["fermyon:spin/key-value", "spin:key-value", "wasi:keyvalue"],
        Capability::SqliteDatabases => &[
            "fermyon:spin/mysql",
            "fermyon:spin/postgres",
            "fermyon:spin/rdbms-types",
            "fermyon:spin/sqlite",
            "spin:postgres",
            "spin:sqlite",
        ],
        Capability::Variables => &["fermyon:spin/config", "fermyon:spin/variables", "spin:variables", "wasi:config"],
    }
}

/// The right that a component makes use of by this import, if it does by any. Sockets do not count: the standard libraries of some
/// languages import them for every component.
pub(in crate::engine) fn capability_of(import: &str) -> Option<Capability> {
    let interface = interface_of(import);
    let is_used = |capability: &Capability| is_in(interface, interfaces(*capability));
    let all = [
        Capability::AllowedOutboundHosts,
        Capability::Environment,
        Capability::Files,
        Capability::KeyValueStores,
        Capability::SqliteDatabases,
        Capability::Variables,
    ];
    all.into_iter().find(is_used).filter(|_| !is_in(interface, &["wasi:sockets"]))
}

/// Without its version.
fn interface_of(import: &str) -> &str {
    import.split_once('@').map_or(import, |(interface, _version)| interface)
}

/// Whether an interface is one of these or of one of these packages.
fn is_in(interface: &str, names: &[&str]) -> bool {
    let is_it =
        |name: &&str| interface.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    names.iter().any(is_it)
}

/// Whether an import is one that a host satisfies.
pub(super) fn is_of_host(import: &str) -> bool {
    HOST_NAMESPACES.iter().any(|namespace| import.starts_with(namespace))
}

/// Whether an import would let a dependency do what it does not inherit. What this host does not know is denied too.
pub(super) fn is_denied(import: &str, inherited: &BTreeSet<Capability>) -> bool {
    let interface = interface_of(import);
    let is_inherited = |capability: &Capability| is_in(interface, interfaces(*capability));
    is_of_host(import) && !is_in(interface, &HARMLESS) && !inherited.iter().any(is_inherited)
}

/// A component that exports the `denied` imports of `dependency`.
///
/// It imports the interfaces whose types the denied ones use; the composition gives it the dependency's instances.
pub(super) fn adapter(dependency: &[u8], denied: &[&String]) -> Result<Vec<u8>, Cause> {
    let DecodedWasm::Component(mut resolve, _) = wit_component::decode(dependency)? else {
        return Err("it is a package of interfaces, not a component".into());
    };
    let exports: String = denied.iter().map(|interface| format!("export {interface};\n")).collect();
    let package =
        resolve.push_source("adapter.wit", &format!("package bodega:deny;\nworld adapter {{\n{exports}}}\n"))?;
    let world = resolve.select_world(&[package], Some("adapter"))?;
    let mut module = refusal::module(&resolve, world);
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.encode()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_tells_which_right_is_made_use_of() {
        for (import, expected) in [
            ("spin:sqlite/sqlite@3.0.0", Some(Capability::SqliteDatabases)),
            ("fermyon:spin/sqlite@2.0.0", Some(Capability::SqliteDatabases)),
            ("wasi:keyvalue/store@0.2.0-draft2", Some(Capability::KeyValueStores)),
            ("wasi:http/client@0.3.0", Some(Capability::AllowedOutboundHosts)),
            ("wasi:http/outgoing-handler@0.2.0", Some(Capability::AllowedOutboundHosts)),
            ("wasi:sockets/tcp@0.2.0", None),
            ("wasi:http/types@0.3.0", None),
            ("acme:tax/rates@1.0.0", None),
        ] {
            assert_eq!(capability_of(import), expected, "{import}");
        }
    }
}
