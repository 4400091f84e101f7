//! `Idempotency-Key`: the same key with the same request gives the same answer.

use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use crate::Problem;

/// Longest key that is accepted, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// The key that a client chose for one intended effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The key of the request, if it has one.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str() {
            Ok(key) if !key.is_empty() && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX => Ok(Some(Self(key.to_owned()))),
            _ => Err(Problem::new(StatusCode::BAD_REQUEST, "bad-idempotency-key", "The idempotency key is not usable")
                .detail(format!("Idempotency-Key is 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"))),
        }
    }

    /// The text of the key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The answer when the key comes back with another request.
    pub fn reused() -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency-key-reused",
            "The idempotency key was used for another request",
        )
        .detail("repeat the first request unchanged, or choose a new key")
    }
}

/// A digest that tells whether two requests are the same: of the method and path, and of the body.
pub fn fingerprint(target: &str, body: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update((target.len() as u64).to_le_bytes());
    hasher.update(target);
    hasher.update(body);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_and_body_are_told_apart() {
        assert_ne!(fingerprint("POST /a", b"b"), fingerprint("POST /", b"ab"));
        assert_eq!(fingerprint("POST /a", b"b"), fingerprint("POST /a", b"b"));
    }

    #[test]
    fn a_key_is_short_and_visible() {
        let read = |key: &str| {
            IdempotencyKey::from_headers(&HeaderMap::from_iter([(
                "idempotency-key".parse().unwrap(),
                key.parse().unwrap(),
            )]))
        };
        assert_eq!(read("k-1").unwrap().unwrap().as_str(), "k-1");
        assert!(read("").is_err());
        assert!(read(&"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)).is_err());
        assert!(IdempotencyKey::from_headers(&HeaderMap::new()).unwrap().is_none());
    }
}
