//! What every HTTP service of the shop does the same way.
//!
//! `entry` (from the host's request to the router) -> `access` (whom the service trusts) and `peer` (the services that
//! it asks) -> `request`, `cards`, `answer`, `idempotency`, `outbox`, `news`, `figures` -> `column`, `retry`, `error`. A service
//! brings its routes, its rules and its SQL.

mod access;
pub mod answer;
pub mod cards;
pub mod column;
mod entry;
mod error;
pub mod figures;
pub mod idempotency;
pub mod news;
pub mod outbox;
mod peer;
pub mod request;
mod retry;
pub mod tags;
#[cfg(feature = "testing")]
pub mod testing;

pub use access::Access;
pub use answer::Answer;
pub use entry::{SettingError, serve, variable};
pub use error::{Error, Violation};
pub use peer::{Peer, PeerError, Reply, Transport, wasi_http};
pub use retry::Retry;
