//! Which requests have a line in the access log, and what it shows of their paths.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use http::StatusCode;

use super::rule::matches_path;
use crate::router::RoutePattern;

/// What is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessLog {
    /// The part of the requests that have a line; failures always have one.
    pub(super) sample: f64,
    /// Paths with secrets in them, which are shown as written here.
    pub(super) hidden: Vec<RoutePattern>,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self { sample: 1.0, hidden: Vec::new() }
    }
}

/// Another one in each process: a client that chooses its trace id is not to choose whether it has a line.
static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl AccessLog {
    /// Whether a request has a line. All requests of one trace have, or none that did not fail.
    pub fn wants(&self, trace_id: u128, status: StatusCode) -> bool {
        if self.sample >= 1.0 || status.is_server_error() {
            return true;
        }
        // Fractions of so many are exact enough for a part of requests.
        (HASHES.hash_one(trace_id) as f64) < self.sample * u64::MAX as f64
    }

    /// What is shown of a path.
    pub fn shown<'p>(&'p self, path: &'p str) -> &'p str {
        self.hidden.iter().find(|pattern| matches_path(pattern, path)).map_or(path, |pattern| pattern.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_traces_has_lines_and_all_failures_have() {
        let log = AccessLog { sample: 0.25, hidden: Vec::new() };
        let wanted = |status| (0..4000).filter(|trace_id| log.wants(*trace_id, status)).count();
        // A quarter, and six standard deviations.
        assert!((836..=1164).contains(&wanted(StatusCode::OK)), "{}", wanted(StatusCode::OK));
        assert_eq!(wanted(StatusCode::OK), wanted(StatusCode::NOT_FOUND), "the trace decides");
        assert_eq!(wanted(StatusCode::BAD_GATEWAY), 4000);
        assert!(AccessLog::default().wants(u128::MAX, StatusCode::OK));
    }

    #[test]
    fn secrets_in_paths_are_not_shown() {
        let log = AccessLog { sample: 1.0, hidden: vec!["/reset/:token".parse().unwrap()] };
        for path in ["/reset/s3cret", "/%72eset/s3cret"] {
            assert_eq!(log.shown(path), "/reset/:token");
        }
        assert_eq!(log.shown("/orders/7"), "/orders/7");
    }
}
