//! Applications as artifacts in OCI registries, in the layout of `spin registry push`.
//!
//! An artifact is an image manifest. Its layers are the components' wasm, their files, and last the locked application, a JSON document
//! that says what belongs where. What Spin has no place for, this host's settings and `gateway.toml`, is in the document's metadata,
//! which Spin passes over. This room knows manifests and files, and no component at work.

mod archive;
mod auth;
mod error;
mod folder;
mod layers;
mod lock;
mod locked;
mod media_type;
mod pull;
mod push;
mod reference;
mod registry;
mod signature;
mod store;
mod unlock;

pub use error::OciError;
pub use lock::{Compose, Locked, Part, lock};
pub use pull::{Package, pull, pull_component};
pub use push::{Pushed, push};
pub use reference::{ArtifactReference, is_probably_reference};
pub use registry::Registry;
pub use signature::{PublicKey, SigningKey};
pub use store::Store;

#[cfg(test)]
mod tests;
