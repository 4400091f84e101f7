//! The code of the adapter: a core module whose functions answer with a constant refusal, or trap where there is none.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_parser::abi::{AbiVariant, WasmSignature, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

use super::answers::{ALIGNMENT_BYTES_MAX, Answer, Answers};
use super::handles::{self, Given};

/// Bytes of a page of linear memory, as a power of two.
const PAGE_BYTES_LOG2: u32 = 16;
/// The most bytes that a page lacks to be full.
const PAGE_BYTES_LESS_ONE: i32 = (1 << PAGE_BYTES_LOG2) - 1;
/// The type of what drops a handle.
const DROP_TYPE: u32 = 0;
/// The type of the allocator.
const ALLOCATOR_TYPE: u32 = 1;

/// A function that refuses.
struct Refusal {
    export: String,
    signature: WasmSignature,
    handles: Vec<Given>,
    /// Without one the function traps.
    answer: Option<Answer>,
}

/// A core module for `world` that refuses every call.
pub(super) fn module(resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut answers = Answers::new(resolve);
    let mut refusals = Vec::new();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = resolve.name_world_key(key);
        for function in resolve.interfaces[*id].functions.values() {
            refusals.push(Refusal {
                export: format!("{interface}#{}", function.name),
                // An asynchronous function may be implemented by one that returns at once.
                signature: resolve.wasm_signature(AbiVariant::GuestExport, function),
                handles: handles::given(resolve, world, function),
                answer: function.result.and_then(|result| answers.add(&result, &interface)),
            });
        }
    }
    encode(&refusals, answers.into_memory())
}

fn encode(refusals: &[Refusal], answers: Vec<u8>) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], []);
    types.ty().function([ValType::I32; 4], [ValType::I32]);

    let mut drops: Vec<_> = refusals.iter().flat_map(|refusal| &refusal.handles).map(|given| &given.drop).collect();
    drops.sort();
    drops.dedup();
    let mut imports = ImportSection::new();
    for (module, name) in &drops {
        imports.import(module, name, EntityType::Function(DROP_TYPE));
    }
    // The functions are numbered from the imports on.
    let first = drops.len() as u32;

    let scratch = answers.len().next_multiple_of(ALIGNMENT_BYTES_MAX);
    let mut functions = FunctionSection::new();
    functions.function(ALLOCATOR_TYPE);
    let mut code = CodeSection::new();
    code.function(&allocator(scratch as i32));
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    exports.export("cabi_realloc", ExportKind::Func, first);
    for refusal in refusals {
        exports.export(&refusal.export, ExportKind::Func, first + functions.len());
        functions.function(types.len());
        types.ty().function(values(&refusal.signature.params), values(&refusal.signature.results));
        code.function(&body(refusal, &drops));
    }

    let minimum = scratch.div_ceil(1 << PAGE_BYTES_LOG2).max(1) as u64;
    let mut memories = MemorySection::new();
    memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), answers);

    let mut module = Module::new();
    module.section(&types).section(&imports).section(&functions).section(&memories);
    module.section(&exports).section(&code).section(&data);
    module.finish()
}

/// Gives the room behind the answers, the same every time: nobody reads a parameter, so one may lie over another, and
/// a dependency that asks again and again takes no more memory.
fn allocator(scratch: i32) -> Function {
    const NEW_SIZE: u32 = 3;
    const PAGES_MISSING: u32 = 4;
    let mut body = Function::new([(1, ValType::I32)]);
    body.instructions()
        // Pages missing = pages of (scratch + new size), rounded up, - pages there are.
        .local_get(NEW_SIZE)
        .i32_const(scratch + PAGE_BYTES_LESS_ONE)
        .i32_add()
        .i32_const(PAGE_BYTES_LOG2 as i32)
        .i32_shr_u()
        .memory_size(0)
        .i32_sub()
        .local_tee(PAGES_MISSING)
        .i32_const(0)
        .i32_gt_s()
        .if_(BlockType::Empty)
        .local_get(PAGES_MISSING)
        .memory_grow(0)
        // The caller finds by itself that the room is outside of the memory, and traps.
        .drop()
        .end()
        .i32_const(scratch)
        .end();
    body
}

fn body(refusal: &Refusal, drops: &[&(String, String)]) -> Function {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    let Some(answer) = refusal.answer else {
        code.unreachable().end();
        return body;
    };
    for (drop, import) in drops.iter().zip(0..) {
        for given in refusal.handles.iter().filter(|given| given.drop == **drop) {
            match given.is_some {
                Some(is_some) => {
                    code.local_get(is_some).if_(BlockType::Empty).local_get(given.local).call(import).end()
                }
                None => code.local_get(given.local).call(import),
            };
        }
    }
    // A result that does not fit into one number is returned as its address.
    let result = if refusal.signature.retptr { answer.address as i32 } else { answer.tag.into() };
    code.i32_const(result).end();
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
