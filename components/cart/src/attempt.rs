//! A write that a client may have made before. The keys are kept in the cart itself, so that the effect and the memory
//! of it are one write.

use axum::http::HeaderMap;
use commerce::{IdempotencyKey, Precondition, fingerprint};
use serde::{Deserialize, Serialize};
use service::Error;

/// What a cart remembers of a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    key: String,
    fingerprint: String,
}

impl Attempt {
    /// The attempt at `target`, the method and path, if the client gave it a key.
    pub(crate) fn from_headers(headers: &HeaderMap, target: &str, body: &[u8]) -> Result<Option<Self>, Error> {
        let key = IdempotencyKey::from_headers(headers)?;
        Ok(key.map(|key| Self { key: key.as_str().to_owned(), fingerprint: fingerprint(target, body) }))
    }

    /// Whether it is among those that were made; with the key of another one it is refused.
    pub(crate) fn is_among<'a>(&self, mut made: impl Iterator<Item = &'a Self>) -> Result<bool, Error> {
        match made.find(|earlier| earlier.key == self.key) {
            Some(earlier) if earlier == self => Ok(true),
            Some(_) => Err(Error::KeyReused),
            None => Ok(false),
        }
    }
}

/// What has to hold for a change.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// The version that the client read, if it says so.
    pub(crate) version: Option<Precondition>,
    /// What tells whether it was made before.
    pub(crate) attempt: Option<Attempt>,
}

impl Condition {
    /// `If-Match` of the headers.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Error> {
        let given = headers.contains_key(axum::http::header::IF_MATCH);
        let version = given.then(|| Precondition::from_headers(headers)).transpose()?;
        Ok(Self { version, attempt: None })
    }

    /// `If-Match` and `Idempotency-Key` of the headers.
    pub(crate) fn with_attempt(headers: &HeaderMap, target: &str, body: &[u8]) -> Result<Self, Error> {
        Ok(Self { attempt: Attempt::from_headers(headers, target, body)?, ..Self::from_headers(headers)? })
    }

    /// Holds the version of a cart against what the client read.
    pub(crate) fn check(&self, version: i64) -> Result<(), Error> {
        match &self.version {
            Some(precondition) => Ok(precondition.check(version)?),
            None => Ok(()),
        }
    }
}
