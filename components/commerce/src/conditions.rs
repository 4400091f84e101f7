//! Conditional requests (RFC 9110 section 13): `If-None-Match` on reads, `If-Match` on updates.
//!
//! An entity tag is `"<version>-<stock>"`: edits count the first number up, stock movements the second.
//! A read is unchanged only if both are. An update looks at the first alone, because an editor must not
//! lose to the shoppers who buy meanwhile.

use axum::http::{HeaderMap, StatusCode, header};

use crate::Problem;

/// Whether the client already holds the representation with this tag (then the answer is 304).
pub fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    tags(headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// What an update's `If-Match` asks of the stored version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// `*`: whatever version is there.
    Any,
    /// One of these versions.
    Versions(Vec<i64>),
}

/// Why an update may not go on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreconditionError {
    /// No `If-Match` at all (RFC 6585 section 3).
    #[error("send If-Match with the ETag that you read")]
    Missing,
    /// Somebody else changed it since.
    #[error("it was changed since you read it")]
    Mismatch,
}

impl Precondition {
    /// Reads `If-Match`.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, PreconditionError> {
        if !headers.contains_key(header::IF_MATCH) {
            return Err(PreconditionError::Missing);
        }
        let mut versions = Vec::new();
        for tag in tags(headers, header::IF_MATCH) {
            if tag == "*" {
                return Ok(Self::Any);
            }
            // A tag that is not one of ours can match no version.
            let version = tag.strip_prefix('"').and_then(|tag| tag.split(['-', '"']).next());
            versions.extend(version.and_then(|version| version.parse::<i64>().ok()));
        }
        Ok(Self::Versions(versions))
    }

    /// Holds the stored version against what was asked.
    pub fn check(&self, version: i64) -> Result<(), PreconditionError> {
        match self {
            Self::Versions(versions) if !versions.contains(&version) => Err(PreconditionError::Mismatch),
            _ => Ok(()),
        }
    }
}

impl From<PreconditionError> for Problem {
    fn from(error: PreconditionError) -> Self {
        let problem = match error {
            PreconditionError::Missing => {
                Problem::new(StatusCode::PRECONDITION_REQUIRED, "precondition-required", "If-Match is required")
            }
            PreconditionError::Mismatch => {
                Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", "The version has changed")
            }
        };
        problem.detail(error.to_string())
    }
}

fn tags(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_read_is_unchanged_only_with_the_very_tag() {
        for (value, unchanged) in
            [("\"3-7\"", true), ("W/\"3-7\"", true), ("\"1-1\", \"3-7\"", true), ("*", true), ("\"3-8\"", false)]
        {
            assert_eq!(not_modified(&headers(header::IF_NONE_MATCH, value), "\"3-7\""), unchanged, "{value}");
        }
        assert!(!not_modified(&HeaderMap::new(), "\"3-7\""));
    }

    #[test]
    fn an_update_looks_at_the_edits_alone() {
        let precondition = |value| Precondition::from_headers(&headers(header::IF_MATCH, value)).unwrap();
        assert_eq!(precondition("\"3-7\"").check(3), Ok(()));
        assert_eq!(precondition("\"3-7\"").check(4), Err(PreconditionError::Mismatch));
        assert_eq!(precondition("\"2-0\", \"4-0\"").check(4), Ok(()));
        assert_eq!(precondition("*").check(9), Ok(()));
        assert_eq!(precondition("garbage").check(0), Err(PreconditionError::Mismatch));
        assert_eq!(Precondition::from_headers(&HeaderMap::new()), Err(PreconditionError::Missing));
    }
}
