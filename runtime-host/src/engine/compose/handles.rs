//! The handles that a function of the adapter is given: those lent to it must be dropped, the others should be.

use wit_parser::abi::{FlatTypes, WasmType};
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldKey};

use super::answers::kind;

/// A handle among the parameters of a function.
pub(super) struct Given {
    /// The parameter that holds it.
    pub(super) local: u32,
    /// The parameter that says whether there is one, where it is optional.
    pub(super) is_some: Option<u32>,
    /// The core import that drops it: module and name.
    pub(super) drop: (String, String),
}

/// The handles among the parameters that are given as such or as an option.
///
/// Parameters that lie in memory are not looked through: no function that a host offers has so many of them.
pub(super) fn given(resolve: &Resolve, world: WorldId, function: &Function) -> Vec<Given> {
    let mut found = Vec::new();
    let mut local = 0;
    for param in &function.params {
        let (handle, is_some, ty) = match kind(resolve, &param.ty) {
            Some(TypeDefKind::Option(inner)) => (local + 1, Some(local), inner),
            _ => (local, None, &param.ty),
        };
        if let Some(TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource))) = kind(resolve, ty) {
            let drop = drop_import(resolve, world, *resource);
            found.extend(drop.map(|drop| Given { local: handle, is_some, drop }));
        }
        let mut storage = [WasmType::I32; Resolve::MAX_FLAT_PARAMS];
        let mut flat = FlatTypes::new(&mut storage);
        resolve.push_flat(&param.ty, &mut flat);
        local += flat.to_vec().len() as u32;
    }
    let are_in_memory = local as usize > Resolve::MAX_FLAT_PARAMS;
    if are_in_memory { Vec::new() } else { found }
}

/// What drops a handle to a resource; nothing for a resource of the adapter's own, of which there is never an instance.
fn drop_import(resolve: &Resolve, world: WorldId, resource: TypeId) -> Option<(String, String)> {
    let mut definition = &resolve.types[resource];
    while let TypeDefKind::Type(Type::Id(alias)) = definition.kind {
        definition = &resolve.types[alias];
    }
    let TypeOwner::Interface(owner) = definition.owner else { return None };
    let key = WorldKey::Interface(owner);
    let is_own = resolve.worlds[world].exports.contains_key(&key);
    let name = definition.name.as_ref()?;
    (!is_own).then(|| (resolve.name_world_key(&key), format!("[resource-drop]{name}")))
}
