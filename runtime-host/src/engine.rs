//! The WebAssembly engine: configuration, the linker with every interface offered to guests, loading and pre-linking.
//!
//! Only this module and its children name wasmtime. It knows nothing of routes or policies.

mod activity;
pub mod admission;
pub mod body;
mod body_end;
pub mod code_cache;
pub mod component;
pub mod compose;
mod epoch;
mod guest_io;
mod instance;
pub mod interfaces;
mod job;
pub mod outbound_client;
mod outbound_connector;
pub mod outbound_http;
pub mod outbound_tls;
mod patience;
pub mod pool;
mod queue;
mod requests;
pub mod state;
mod way_out;

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use self::code_cache::CodeCache;
use self::epoch::EpochTicker;
use self::state::GuestState;
use crate::manifest::Capability;

/// How many component instances may be alive at once in the whole process.
pub const INSTANCES_MAX: u32 = 2_500;
/// Core modules, memories and tables that one component may consist of; composition multiplies them.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 64;
/// Linear memories that one component may define.
const MEMORIES_PER_COMPONENT_MAX: u32 = 16;
/// Elements that one guest table may hold.
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Bytes of wasm stack before a recursing guest traps.
const WASM_STACK_BYTES_MAX: usize = 512 << 10;
/// Bytes of each linear memory that stay resident when a pooled slot is reused; resetting them costs less than faulting them in again.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 256 << 10;
/// Bytes of each fiber stack that stay resident between uses.
const STACK_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Threads that compile what is deployed while the application serves.
const QUIET_COMPILE_THREADS: usize = 1;
/// How far they stand back, as `nice` counts: they get about a tenth of a core that requests also want.
const QUIET_COMPILE_NICENESS: i32 = 10;
/// Free slots that keep their mapping, by which an instance of a recently seen module starts fastest.
const WARM_SLOTS_MAX: u32 = 128;

/// Why the engine could not be built or a component could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine or linker rejected its configuration.
    #[error("the WebAssembly engine could not be set up")]
    Setup(#[source] wasmtime::Error),
    /// The file is not a component that can be compiled.
    #[error("component `{component}`: {path} cannot be compiled: {reason}")]
    Compile {
        /// The component's id in the manifest.
        component: String,
        /// Where the bytes came from.
        path: String,
        /// The compiler's words.
        reason: String,
    },
    /// The component imports what the host does not offer, or exports no HTTP handler.
    #[error("component `{component}`: {reason}")]
    Link {
        /// The component's id in the manifest.
        component: String,
        /// What is missing, by name.
        reason: String,
    },
}

/// A configured wasmtime with its linker and code cache; one per process.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<GuestState>,
    cache: CodeCache,
    epoch: EpochTicker,
    instances_max: usize,
}

impl Engine {
    /// Sets up the engine for as many instances at once, at most [`INSTANCES_MAX`]. `code_cache` is the folder that keeps
    /// compiled code between starts.
    pub fn new(code_cache: &std::path::Path, instances: usize) -> Result<Arc<Self>, EngineError> {
        let instances = u32::try_from(instances).unwrap_or(u32::MAX).min(INSTANCES_MAX);
        let wasmtime = wasmtime::Engine::new(&config(instances)).map_err(EngineError::Setup)?;
        let linker = interfaces::linker(&wasmtime).map_err(EngineError::Setup)?;
        let cache = CodeCache::new(code_cache, &wasmtime);
        let epoch = EpochTicker::start({
            let wasmtime = wasmtime.clone();
            move || wasmtime.increment_epoch()
        });
        Ok(Arc::new(Self { wasmtime, linker, cache, epoch, instances_max: instances as usize }))
    }

    /// Instances of all components that there is room for at once.
    pub fn instances_max(&self) -> usize {
        self.instances_max
    }

    /// The component with this `digest`, pre-linked, if it was compiled before and the cache has it.
    pub fn find(&self, id: &str, digest: &str) -> Result<Option<ProxyPre<GuestState>>, EngineError> {
        self.cache.find(&self.wasmtime, digest).map(|component| self.prelink(id, &component)).transpose()
    }

    /// Compiles and pre-links a component, so that an instance can be made at any time. The cache keeps it under `digest`.
    ///
    /// A core module, a damaged file, an import that is not offered and a missing HTTP handler are refused by name.
    pub fn compile(
        &self,
        id: &str,
        path: &str,
        digest: &str,
        wasm: &[u8],
    ) -> Result<ProxyPre<GuestState>, EngineError> {
        let component = self.cache.compile(&self.wasmtime, digest, wasm).map_err(|error| EngineError::Compile {
            component: id.to_owned(),
            path: path.to_owned(),
            reason: describe_compile_error(wasm, &error),
        })?;
        self.prelink(id, &component)
    }

    /// Removes compiled code that no host has started with for long; to be called once everything is loaded.
    pub fn prune_code_cache(&self) {
        self.cache.prune();
    }

    /// Makes one instance and drops it: what cannot start is refused before anything is served.
    pub async fn try_start(
        &self,
        pre: &ProxyPre<GuestState>,
        component: Arc<component::Component>,
    ) -> Result<(), EngineError> {
        let id = component.id.clone();
        let refused =
            |error: wasmtime::Error| EngineError::Link { component: id, reason: format!("it cannot start: {error:#}") };
        instance::start(self, pre, component, std::sync::Weak::<outbound_http::NoChain>::new())
            .await
            .map(drop)
            .map_err(refused)
    }

    fn prelink(&self, id: &str, component: &Component) -> Result<ProxyPre<GuestState>, EngineError> {
        let refused = |reason| EngineError::Link { component: id.to_owned(), reason };
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(|error| refused(format!("an import is not offered by this host: {error:#}")))?;
        let p3_error = match p3::bindings::ServicePre::new(pre.clone()) {
            Ok(service) => return Ok(ProxyPre::P3(service)),
            Err(error) => error,
        };
        p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2).map_err(|_| {
            refused(format!("it exports neither `wasi:http/handler@0.3.0` nor `wasi:http/incoming-handler@0.2.x`, which an HTTP trigger needs ({p3_error:#})"))
        })
    }
}

/// The rights that a component makes use of, by the interfaces of the host that it imports, each with one of these. A component may
/// import what it never calls.
pub fn uses(pre: &ProxyPre<GuestState>) -> BTreeMap<Capability, String> {
    let component = match pre {
        ProxyPre::P2(pre) => pre.instance_pre().component(),
        ProxyPre::P3(pre) => pre.instance_pre().component(),
    };
    let component_type = component.component_type();
    let imports = component_type.imports(component.engine());
    imports.filter_map(|(name, _)| Some((compose::capability_of(name)?, name.to_owned()))).collect()
}

/// Does work that compiles while the application serves: on few threads of low priority. Blocks until it is done.
pub fn quietly<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(QUIET_COMPILE_THREADS)
        .thread_name(|_| "compile".to_owned())
        .start_handler(|_| stand_back(QUIET_COMPILE_NICENESS))
        .build();
    match threads {
        Ok(threads) => threads.install(work),
        // No thread to be had: it is done all the same.
        Err(_) => work(),
    }
}

/// Has this thread stand back for those that want the same core.
pub fn stand_back(niceness: i32) {
    // On Linux a niceness is the thread's own. Where it cannot be set, what it does competes with requests.
    let _ = rustix::process::nice(niceness);
}

/// Another handle on the same pre-linked component.
pub fn share(pre: &ProxyPre<GuestState>) -> ProxyPre<GuestState> {
    match pre {
        ProxyPre::P2(pre) => ProxyPre::P2(pre.clone()),
        ProxyPre::P3(pre) => ProxyPre::P3(pre.clone()),
    }
}

fn describe_compile_error(wasm: &[u8], error: &wasmtime::Error) -> String {
    // The binary format's preamble: magic, version, layer. Layer 0 is a core module, layer 1 a component.
    if wasm.starts_with(b"\0asm\x01\0\0\0") {
        return "it is a core WebAssembly module, not a component; build it for wasm32-wasip2".to_owned();
    }
    if !wasm.starts_with(b"\0asm") {
        return "it is not a WebAssembly file".to_owned();
    }
    format!("{error:#}")
}

fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    // Setting up a stack takes a system call, so there are not more of them than the application can use: a guest that
    // waits in a call of the older kind keeps its stack, and another one is for what runs meanwhile.
    pool.total_component_instances(instances)
        .total_core_instances(instances * 16)
        .total_memories(instances * 4)
        .total_tables(instances * 8)
        .total_stacks(instances * 2)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX)
        .max_memories_per_component(MEMORIES_PER_COMPONENT_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_unused_warm_slots(WARM_SLOTS_MAX)
        .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES);
    let mut config = Config::new();
    config
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}
