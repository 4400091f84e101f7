//! The Bodega host: runs the components of a Spin application behind one HTTP listener.
//!
//! Arrows go one way: `cli -> app -> engine -> stores` and `app -> gateway`. Only `engine` names wasmtime's engine, linker
//! and stores; `app` and `problem` share with it `wasmtime_wasi_http`'s types for a body and for a loaded component.
//! `manifest`, `router`, `registry` and `stores` know nothing of HTTP servers; `gateway` knows requests and answers and no
//! component; `rollout` decides and does nothing. `oci` knows `manifest` and files, and nothing that runs.

pub mod admin;
pub mod allowed_hosts;
pub mod app;
pub mod cli;
pub mod config_file;
pub mod cookie;
pub mod engine;
#[cfg(test)]
mod fuzz;
pub mod gateway;
pub mod generated;
pub mod listener;
pub mod manifest;
pub mod oci;
pub mod problem;
pub mod registry;
pub mod rollout;
pub mod router;
pub mod runtime_config;
pub mod service_manager;
pub mod state_dir;
pub mod stores;
pub mod telemetry;
pub mod template;
pub mod upgrade;
pub mod variables;
