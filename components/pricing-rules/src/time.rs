//! A moment in whole seconds, which is as fine as promotions need it.

use serde::{Deserialize, Serialize};

/// Seconds since the Unix epoch; as JSON, RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(u64);

/// The text is not a time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 time in UTC such as 2026-01-31T12:00:00Z")]
pub struct TimestampError(String);

const MS_PER_SECOND: u64 = 1000;

impl Timestamp {
    /// So many seconds after the Unix epoch.
    pub fn from_unix_s(seconds: u64) -> Self {
        Self(seconds)
    }

    /// This moment.
    pub fn now() -> Self {
        // The clock reads a time before 1970 as the epoch itself.
        Self(u64::try_from(commerce::unix_s()).unwrap_or_default())
    }

    /// Seconds since the Unix epoch.
    pub fn unix_s(self) -> u64 {
        self.0
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        let unix_ms = commerce::parse_rfc3339(&text).and_then(|ms| u64::try_from(ms).ok());
        unix_ms.map(|ms| Self(ms / MS_PER_SECOND)).ok_or(TimestampError(text))
    }
}

impl From<Timestamp> for String {
    fn from(time: Timestamp) -> Self {
        commerce::rfc3339(i64::try_from(time.0.saturating_mul(MS_PER_SECOND)).unwrap_or(i64::MAX))
    }
}
