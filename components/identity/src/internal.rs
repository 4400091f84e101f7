//! The secret between services, for deployments where internal routes cross a network.

use axum::http::{HeaderMap, HeaderName};
use subtle::ConstantTimeEq;

use crate::IdentityError;

/// The header that carries the secret.
pub const INTERNAL_SECRET_HEADER: HeaderName = HeaderName::from_static("x-internal-secret");

/// The secret that callers of internal routes must send; an empty one asks for none, which is right where
/// those routes are private to one process.
pub struct InternalSecret(String);

impl InternalSecret {
    /// Takes the value of the variable `internal_secret`.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// Passes callers who know the secret. The comparison takes the same time for every wrong guess.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), IdentityError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let given = headers.get(INTERNAL_SECRET_HEADER).map_or(&b""[..], |value| value.as_bytes());
        match bool::from(given.ct_eq(self.0.as_bytes())) {
            true => Ok(()),
            false => Err(IdentityError::Invalid("the internal secret is missing or wrong")),
        }
    }
}
