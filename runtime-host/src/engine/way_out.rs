//! How answers leave the instances of a pool.

use std::sync::Weak;

use super::outbound_http::ServiceChain;
use super::patience::Patience;

/// Who is there for the answers of a pool's instances.
#[derive(Clone)]
pub(super) struct WayOut {
    /// The wait for what else may be ready of their bodies.
    pub(super) patience: Patience,
    /// Who is told of them. Weak, because the worker that it stands for owns the pool.
    pub(super) chain: Weak<dyn ServiceChain>,
}
