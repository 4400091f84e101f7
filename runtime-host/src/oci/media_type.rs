//! The media types of artifacts, as Spin, `wkg` and cosign write them.

/// The locked application: a layer, or in older artifacts the configuration itself.
pub(super) const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
/// A component, as Spin pushes it.
pub(super) const WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
/// A component, as `wkg` pushes it.
pub(super) const WASM_PACKAGE: &str = "application/wasm";
/// A file that components see.
pub(super) const DATA: &str = "application/vnd.wasm.content.layer.v1+data";
/// An archive of such files.
pub(super) const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
/// A signature: the payload that is signed is the layer, and the signature an annotation of it.
pub(super) const SIGNED_PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// A signature with what is needed to verify it, in one document.
pub(super) const SIGNATURE_BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
