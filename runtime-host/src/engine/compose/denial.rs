//! The code of the adapter: every function answers with a constant that its type offers for a refusal, and traps otherwise.
//!
//! A refusal is an error (`access-denied` before all others), an empty list or no value. So a dependency sees no environment,
//! no folder and no store, as under Spin, and its standard library starts.

use std::collections::BTreeSet;

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Instruction, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_parser::abi::{AbiVariant, FlatTypes, WasmSignature, WasmType};
use wit_parser::{Handle, Int, Param, Resolve, SizeAlign, Type, TypeDefKind, TypeId, TypeOwner, WorldId, WorldItem, WorldKey};

/// Cases that say that something is not allowed, as the interfaces of WASI and Spin name them.
const REFUSALS: [&str; 5] = ["access-denied", "HTTP-request-denied", "destination-not-allowed", "model-not-supported", "not-permitted"];

/// Bytes of a page of linear memory.
const PAGE_BYTES_LOG2: i32 = 16;
/// No value of the canonical ABI needs a coarser alignment.
const ALIGNMENT_BYTES_MAX: usize = 8;

/// A core module for `world` that refuses every call.
pub(super) fn module(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut answers = Answers::new(resolve);
    let mut functions = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = resolve.name_world_key(key);
        for function in resolve.interfaces[*id].functions.values() {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            functions.push(Refusing {
                export: format!("{interface}#{}", function.name),
                answer: function.result.and_then(|result| answers.add(&result, &interface)),
                // Parameters in memory are not looked through; no interface of a host has so many of them.
                handles: if signature.indirect_params { Vec::new() } else { handles(resolve, world, &function.params) },
                signature,
            });
        }
    }
    encode(&functions, answers.memory)
}

/// A function that refuses.
struct Refusing {
    export: String,
    signature: WasmSignature,
    /// Where in memory the answer is; without one the function traps.
    answer: Option<Answer>,
    /// The resources to drop first, as a function must not keep what was lent to it.
    handles: Vec<PassedHandle>,
}

/// A constant result.
#[derive(Clone, Copy)]
struct Answer {
    address: u32,
    /// The first byte, which for a result of one number is all of it.
    tag: u8,
}

/// The results of all functions as they lie in linear memory from address 0.
struct Answers<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    memory: Vec<u8>,
}

impl<'a> Answers<'a> {
    fn new(resolve: &'a Resolve) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, memory: Vec::new() }
    }

    /// Lays out a refusal by a function of `interface`, if its result can be one.
    fn add(&mut self, result: &Type, interface: &str) -> Option<Answer> {
        let address = self.memory.len().next_multiple_of(ALIGNMENT_BYTES_MAX);
        // All zero is the empty list and no value.
        self.memory.resize(address + self.sizes.size(result).size_wasm32(), 0);
        match kind(self.resolve, result)? {
            TypeDefKind::List(_) | TypeDefKind::Option(_) => (),
            TypeDefKind::Result(result) => {
                self.memory[address] = 1;
                if let Some(error) = &result.err {
                    let offset = self.sizes.payload_offset(Int::U8, [result.ok.as_ref(), Some(error)]);
                    self.write_error(address + offset.size_wasm32(), error, interface)?;
                }
            }
            _ => return None,
        }
        Some(Answer { address: u32::try_from(address).ok()?, tag: *self.memory.get(address)? })
    }

    fn write_error(&mut self, address: usize, error: &Type, interface: &str) -> Option<()> {
        if *error == Type::String {
            return self.write_text(address, interface);
        }
        match kind(self.resolve, error)? {
            TypeDefKind::Enum(error) => {
                let case = choose(error.cases.iter().map(|case| (case.name.as_str(), true)))?;
                self.write_tag(address, error.tag(), case)
            }
            TypeDefKind::Variant(error) => {
                let is_plain = |payload: &Type| {
                    *payload == Type::String || matches!(kind(self.resolve, payload), Some(TypeDefKind::Option(_)))
                };
                let case = choose(error.cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref().is_none_or(is_plain))))?;
                self.write_tag(address, error.tag(), case)?;
                if error.cases[case].ty == Some(Type::String) {
                    let offset = self.sizes.payload_offset(error.tag(), error.cases.iter().map(|case| case.ty.as_ref()));
                    self.write_text(address + offset.size_wasm32(), interface)?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn write_tag(&mut self, address: usize, tag: Int, case: usize) -> Option<()> {
        let bytes = match tag {
            Int::U8 => 1,
            Int::U16 => 2,
            Int::U32 | Int::U64 => 4,
        };
        self.write(address, &case.to_le_bytes()[..bytes])
    }

    /// A string with the reason: its address and its length.
    fn write_text(&mut self, address: usize, interface: &str) -> Option<()> {
        let text = format!("`{interface}` is denied, because the dependency does not inherit it");
        let start = u32::try_from(self.memory.len()).ok()?;
        self.memory.extend_from_slice(text.as_bytes());
        self.write(address, &start.to_le_bytes())?;
        self.write(address + size_of::<u32>(), &u32::try_from(text.len()).ok()?.to_le_bytes())
    }

    fn write(&mut self, address: usize, bytes: &[u8]) -> Option<()> {
        self.memory.get_mut(address..address + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }
}

/// The case of an error that is a refusal: one that says so, or else the last that fits, by custom the one for everything else.
fn choose<'a>(cases: impl Iterator<Item = (&'a str, bool)>) -> Option<usize> {
    let cases: Vec<_> = cases.collect();
    let refusal = cases.iter().position(|(name, fits)| *fits && REFUSALS.contains(name));
    refusal.or_else(|| cases.iter().rposition(|(_, fits)| *fits))
}

/// A handle among the parameters of a function.
struct PassedHandle {
    /// The parameter that holds it.
    local: u32,
    /// The parameter that says whether there is one, where it is optional.
    is_some: Option<u32>,
    /// The core import that drops it: module and name.
    drop: (String, String),
}

/// The handles among the parameters that are given as such or as an option.
fn handles(resolve: &Resolve, world: WorldId, params: &[Param]) -> Vec<PassedHandle> {
    let mut found = Vec::new();
    let mut local = 0;
    for param in params {
        let (local_of_handle, is_some, ty) = match kind(resolve, &param.ty) {
            Some(TypeDefKind::Option(inner)) => (local + 1, Some(local), inner),
            _ => (local, None, &param.ty),
        };
        if let Some(TypeDefKind::Handle(Handle::Own(resource) | Handle::Borrow(resource))) = kind(resolve, ty) {
            let drop = drop_import(resolve, world, *resource);
            found.extend(drop.map(|drop| PassedHandle { local: local_of_handle, is_some, drop }));
        }
        let mut flat = [WasmType::I32; Resolve::MAX_FLAT_PARAMS];
        let mut flat = FlatTypes::new(&mut flat);
        resolve.push_flat(&param.ty, &mut flat);
        local += flat.to_vec().len() as u32;
    }
    found
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

/// What a type is, behind its aliases; `None` for a primitive.
fn kind<'a>(resolve: &'a Resolve, ty: &Type) -> Option<&'a TypeDefKind> {
    let Type::Id(id) = ty else { return None };
    match &resolve.types[*id].kind {
        TypeDefKind::Type(alias) => kind(resolve, alias),
        kind => Some(kind),
    }
}

fn encode(functions: &[Refusing], data: Vec<u8>) -> Vec<u8> {
    let drops: BTreeSet<_> = functions.iter().flat_map(|function| &function.handles).map(|handle| &handle.drop).collect();
    let drops: Vec<_> = drops.into_iter().collect();
    let scratch = data.len().next_multiple_of(ALIGNMENT_BYTES_MAX);

    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    let mut declared = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();

    const DROP_TYPE: u32 = 0;
    const ALLOCATE_TYPE: u32 = 1;
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    for (module, name) in &drops {
        imports.import(module, name, EntityType::Function(DROP_TYPE));
    }

    let allocate = drops.len() as u32;
    declared.function(ALLOCATE_TYPE);
    code.function(&allocator(scratch as i32));
    exports.export("cabi_realloc", ExportKind::Func, allocate);
    exports.export("memory", ExportKind::Memory, 0);

    for function in functions {
        let index = drops.len() as u32 + declared.len();
        declared.function(types.len());
        types.ty().function(values(&function.signature.params), values(&function.signature.results));
        code.function(&body(function, &drops));
        exports.export(&function.export, ExportKind::Func, index);
    }

    let mut memories = MemorySection::new();
    let pages = scratch.div_ceil(1 << PAGE_BYTES_LOG2).max(1) as u64;
    memories.memory(MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut segments = DataSection::new();
    segments.active(0, &ConstExpr::i32_const(0), data);

    let mut module = Module::new();
    module.section(&types).section(&imports).section(&declared).section(&memories).section(&exports).section(&code).section(&segments);
    module.finish()
}

/// Gives the room behind the answers, the same every time: nobody reads a parameter, so that they may overwrite each other.
fn allocator(scratch: i32) -> Function {
    const NEW_SIZE: u32 = 3;
    const PAGES_MISSING: u32 = 4;
    let mut body = Function::new([(1, ValType::I32)]);
    body.instructions()
        // pages missing = pages of (scratch + new size), rounded up, - pages there are
        .local_get(NEW_SIZE)
        .i32_const(scratch + (1 << PAGE_BYTES_LOG2) - 1)
        .i32_add()
        .i32_const(PAGE_BYTES_LOG2)
        .i32_shr_u()
        .memory_size(0)
        .i32_sub()
        .local_tee(PAGES_MISSING)
        .i32_const(0)
        .i32_gt_s()
        .if_(BlockType::Empty)
        .local_get(PAGES_MISSING)
        .memory_grow(0)
        .i32_const(-1)
        .i32_eq()
        .if_(BlockType::Empty)
        .unreachable()
        .end()
        .end()
        .i32_const(scratch)
        .end();
    body
}

fn body(function: &Refusing, drops: &[&(String, String)]) -> Function {
    let mut body = Function::new([]);
    let Some(answer) = function.answer else {
        body.instructions().unreachable().end();
        return body;
    };
    for handle in &function.handles {
        if let Some(is_some) = handle.is_some {
            body.instructions().local_get(is_some).if_(BlockType::Empty);
        }
        let drop = drops.iter().position(|drop| **drop == handle.drop);
        body.instructions().local_get(handle.local).call(drop.unwrap_or_default() as u32);
        if handle.is_some.is_some() {
            body.instruction(&Instruction::End);
        }
    }
    // A result that does not fit into one number is returned as its address.
    let result = if function.signature.retptr { answer.address as i32 } else { answer.tag.into() };
    body.instructions().i32_const(result).end();
    body
}

fn values(types: &[WasmType]) -> Vec<ValType> {
    let value = |ty: &WasmType| match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => ValType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => ValType::I64,
        WasmType::F32 => ValType::F32,
        WasmType::F64 => ValType::F64,
    };
    types.iter().map(value).collect()
}
