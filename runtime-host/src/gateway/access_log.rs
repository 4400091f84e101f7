//! Which requests have a line in the access log, and what it shows of their paths.

use http::StatusCode;

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

/// Bits at the end of a trace id that are random (W3C Trace Context Level 2).
const RANDOM_BITS: u32 = 56;

impl AccessLog {
    /// Whether a request has a line. All requests of one trace have, or none that did not fail.
    pub fn wants(&self, trace_id: u128, status: StatusCode) -> bool {
        if self.sample >= 1.0 || status.is_server_error() {
            return true;
        }
        let range = 1u128 << RANDOM_BITS;
        // Fractions of so many are exact enough for a part of requests.
        ((trace_id % range) as f64) < self.sample * range as f64
    }

    /// What is shown of a path.
    pub fn shown<'p>(&'p self, path: &'p str) -> &'p str {
        self.hidden.iter().find(|pattern| pattern.matches(path)).map_or(path, |pattern| pattern.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_traces_has_lines_and_all_failures_have() {
        let log = AccessLog { sample: 0.25, hidden: Vec::new() };
        let wants = |random: u128, status| log.wants(0x0af7_6519_16cd_43dd_8400_0000_0000_0000 | random, status);
        let wanted = (0..1u128 << 12).filter(|number| wants(number << 44, StatusCode::OK)).count();
        assert_eq!(wanted, 1 << 10);
        assert!(wants((1 << 56) - 1, StatusCode::BAD_GATEWAY) && !wants((1 << 56) - 1, StatusCode::NOT_FOUND));
        assert!(AccessLog::default().wants(u128::MAX, StatusCode::OK));
    }

    #[test]
    fn secrets_in_paths_are_not_shown() {
        let log = AccessLog { sample: 1.0, hidden: vec!["/reset/:token".parse().unwrap()] };
        assert_eq!(log.shown("/reset/s3cret"), "/reset/:token");
        assert_eq!(log.shown("/orders/7"), "/orders/7");
    }
}
