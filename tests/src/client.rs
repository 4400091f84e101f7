//! HTTP clients for tests.
//!
//! They speak plain text only, but the host's own client of registries has them ask for TLS that nobody has chosen by itself.

use reqwest::{Client, ClientBuilder};

/// A client, to be completed.
pub fn builder() -> ClientBuilder {
    prepare();
    Client::builder()
}

/// Has a TLS chosen for all clients of this process.
pub(crate) fn prepare() {
    // Another thread may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
