//! Makes one component of a component and the dependencies that the manifest gives it.
//!
//! As in Spin, each import is satisfied on its own, by the export of the same name or by the one that the manifest
//! names. A dependency shares no memory with the component, and what it does not inherit is denied to it (`deny.rs`).

mod answers;
mod deny;
mod handles;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::error::Error;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeError, NodeId, PackageId};

pub(super) use self::deny::capability_of;
use crate::manifest::{DependencyName, Inheritance};

/// An error of the libraries that read and write components; they are of many types.
type Cause = Box<dyn Error + Send + Sync>;

/// A component that satisfies imports of another one.
#[derive(Debug, Clone, Copy)]
pub struct Dependency<'a> {
    /// The imports that it satisfies.
    pub name: &'a DependencyName,
    /// Its code.
    pub wasm: &'a [u8],
    /// The export to use, where its name is not that of the import.
    pub export: Option<&'a str>,
    /// What it may do of that which the component may do.
    pub inherit: &'a Inheritance,
}

/// Why a component and its dependencies do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The component that has the dependencies is damaged, or no component at all.
    #[error("the component cannot be read")]
    Component(#[source] Cause),
    /// A dependency is damaged, or no component at all.
    #[error("dependency `{dependency}` cannot be read as a component")]
    Dependency {
        /// The dependency's name in the manifest.
        dependency: String,
        /// What is wrong with it.
        source: Cause,
    },
    /// A dependency satisfies nothing.
    #[error("dependency `{dependency}` matches no import of the component, which besides those from the host imports {}", list(.imports))]
    Unmatched {
        /// The dependency's name in the manifest.
        dependency: String,
        /// What the component imports, other than from the host.
        imports: Vec<String>,
    },
    /// Two dependencies satisfy the same import.
    #[error("import `{import}` is satisfied by both dependency `{first}` and dependency `{second}`; expected one")]
    Ambiguous {
        /// The import.
        import: String,
        /// A dependency's name in the manifest.
        first: String,
        /// Another dependency's name in the manifest.
        second: String,
    },
    /// A dependency lacks what the component imports.
    #[error("dependency `{dependency}` does not export `{export}`, which import `{import}` needs; it exports {}", list(.exports))]
    MissingExport {
        /// The dependency's name in the manifest.
        dependency: String,
        /// The export that was looked for.
        export: String,
        /// The import that it would satisfy.
        import: String,
        /// What the dependency exports.
        exports: Vec<String>,
    },
    /// What a dependency exports has another type than what the component imports.
    #[error("dependency `{dependency}` exports `{export}` with another type than import `{import}` has")]
    Mismatch {
        /// The dependency's name in the manifest.
        dependency: String,
        /// The export.
        export: String,
        /// The import that it would satisfy.
        import: String,
        /// Where the types differ.
        source: Cause,
    },
    /// What a dependency does not inherit cannot be denied to it.
    #[error("dependency `{dependency}` imports what it does not inherit, and it cannot be denied")]
    Deny {
        /// The dependency's name in the manifest.
        dependency: String,
        /// What is wrong.
        source: Cause,
    },
    /// The parts fit, but not as a whole: for example, they import an interface with types that contradict each other.
    #[error("the component and its dependencies cannot be made one")]
    Encode(#[source] EncodeError),
    /// An export of the component cannot be that of the whole.
    #[error("the component's export `{export}` cannot be kept")]
    Export {
        /// The export.
        export: String,
        /// What is wrong with it.
        source: Cause,
    },
}

/// Satisfies imports of `component` by `dependencies`; the result exports what `component` does.
///
/// The same parts give the same bytes. Without a dependency the component stays as it is.
pub fn compose(component: &[u8], dependencies: &[Dependency<'_>]) -> Result<Vec<u8>, ComposeError> {
    if dependencies.is_empty() {
        return Ok(component.to_vec());
    }
    let mut graph = CompositionGraph::new();
    // No dependency can have this name: it has a space.
    let component = register(&mut graph, "the component", component).map_err(ComposeError::Component)?;
    let matches = match_imports(&names(&graph, component, Side::Imports), dependencies)?;
    let instance = graph.instantiate(component);
    for (dependency, imports) in dependencies.iter().zip(matches) {
        satisfy(&mut graph, instance, dependency, &imports)?;
    }
    for name in names(&graph, component, Side::Exports) {
        let failed = |source| ComposeError::Export { export: name.clone(), source };
        let export = graph.alias_instance_export(instance, &name).map_err(|error| failed(error.into()))?;
        graph.export(export, &name).map_err(|error| failed(error.into()))?;
    }
    graph.encode(Default::default()).map_err(ComposeError::Encode)
}

/// The imports that each dependency satisfies, in the order of the dependencies.
fn match_imports(imports: &[String], dependencies: &[Dependency<'_>]) -> Result<Vec<Vec<String>>, ComposeError> {
    let mut taken = BTreeMap::new();
    let mut matches = Vec::new();
    for dependency in dependencies {
        let matched: Vec<_> = imports.iter().filter(|import| is_match(dependency.name, import)).cloned().collect();
        if matched.is_empty() {
            // The imports that a host satisfies would hide the few that are meant for dependencies.
            let imports = imports.iter().filter(|import| !deny::is_of_host(import)).cloned().collect();
            return Err(ComposeError::Unmatched { dependency: dependency.name.to_string(), imports });
        }
        for import in &matched {
            if let Some(first) = taken.insert(import.clone(), dependency.name) {
                return Err(ComposeError::Ambiguous {
                    import: import.clone(),
                    first: first.to_string(),
                    second: dependency.name.to_string(),
                });
            }
        }
        matches.push(matched);
    }
    Ok(matches)
}

/// Spin's rule: what the name leaves out may be anything, what it says is meant exactly, the version included.
fn is_match(name: &DependencyName, import: &str) -> bool {
    let (package, interface, version) = match name {
        DependencyName::Plain(name) => return import == name,
        DependencyName::Package { package, interface, version } => (package, interface, version),
    };
    let Some((import_package, rest)) = import.split_once('/') else { return false };
    let (import_interface, import_version) =
        rest.split_once('@').map_or((rest, None), |(interface, version)| (interface, Some(version)));
    import_package == package
        && interface.as_ref().is_none_or(|interface| import_interface == interface)
        && version.as_ref().is_none_or(|version| import_version == Some(version.to_string().as_str()))
}

/// Makes an instance of a dependency, denies it what it does not inherit, and plugs it into `imports` of `component`.
fn satisfy(
    graph: &mut CompositionGraph,
    component: NodeId,
    dependency: &Dependency<'_>,
    imports: &[String],
) -> Result<(), ComposeError> {
    let name = dependency.name.to_string();
    let package = register(graph, &name, dependency.wasm)
        .map_err(|source| ComposeError::Dependency { dependency: name.clone(), source })?;
    let instance = graph.instantiate(package);
    deny_to(graph, package, instance, dependency)
        .map_err(|source| ComposeError::Deny { dependency: name.clone(), source })?;

    let exports = names(graph, package, Side::Exports);
    for import in imports {
        let export = dependency.export.unwrap_or(import);
        if !exports.iter().any(|name| name == export) {
            return Err(ComposeError::MissingExport {
                dependency: name,
                export: export.to_owned(),
                import: import.clone(),
                exports,
            });
        }
        plug(graph, instance, export, component, import).map_err(|source| ComposeError::Mismatch {
            dependency: name.clone(),
            export: export.to_owned(),
            import: import.clone(),
            source,
        })?;
    }
    Ok(())
}

/// Answers the imports of a dependency by which it could do what it does not inherit.
fn deny_to(
    graph: &mut CompositionGraph,
    package: PackageId,
    instance: NodeId,
    dependency: &Dependency<'_>,
) -> Result<(), Cause> {
    let Inheritance::Only(inherited) = dependency.inherit else { return Ok(()) };
    let imports = names(graph, package, Side::Imports);
    let denied: Vec<_> = imports.iter().filter(|import| deny::is_denied(import, inherited)).collect();
    if denied.is_empty() {
        return Ok(());
    }
    let adapter = deny::adapter(dependency.wasm, &denied)?;
    let adapter = register(graph, &format!("what {} may not do", dependency.name), &adapter)?;
    let adapter = graph.instantiate(adapter);
    denied.into_iter().try_for_each(|import| plug(graph, adapter, import, instance, import))
}

fn plug(graph: &mut CompositionGraph, from: NodeId, export: &str, into: NodeId, import: &str) -> Result<(), Cause> {
    let export = graph.alias_instance_export(from, export)?;
    Ok(graph.set_instantiation_argument(into, import, export)?)
}

fn register(graph: &mut CompositionGraph, name: &str, wasm: &[u8]) -> Result<PackageId, Cause> {
    let package = Package::from_bytes(name, None, wasm, graph.types_mut())?;
    Ok(graph.register_package(package)?)
}

#[derive(Clone, Copy)]
enum Side {
    Imports,
    Exports,
}

fn names(graph: &CompositionGraph, package: PackageId, side: Side) -> Vec<String> {
    let world = &graph.types()[graph[package].ty()];
    let items = match side {
        Side::Imports => &world.imports,
        Side::Exports => &world.exports,
    };
    items.keys().cloned().collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
