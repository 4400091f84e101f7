//! Whether a request is sent once more, and how many may be.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use http::{HeaderName, Method, StatusCode};

use crate::gateway::lock;

/// By which a client says that a request does the same however often it comes (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// How long the first retry waits at most; the next ones twice as long each.
const BACKOFF: Duration = Duration::from_millis(25);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// When a rule's requests are sent once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct RetrySettings {
    /// How often, besides the first time.
    pub(in crate::gateway) retries: u32,
    /// After which answers.
    pub(in crate::gateway) statuses: Vec<StatusCode>,
    /// Whether all requests of the rule may come twice.
    pub(in crate::gateway) is_safe: bool,
}

impl RetrySettings {
    /// Whether such a request may come twice.
    pub(in crate::gateway) fn may_repeat(&self, method: &Method, headers: &http::HeaderMap) -> bool {
        self.is_safe || method.is_idempotent() || headers.contains_key(IDEMPOTENCY_KEY)
    }
}

/// How long a retry waits, so that many do not come at the same moment.
pub(in crate::gateway) fn backoff(retry: u32) -> Duration {
    let longest = BACKOFF.saturating_mul(1 << retry.min(8)).min(BACKOFF_MAX);
    longest.mul_f64(fastrand::f64())
}

/// Retries for each request, at the long run.
const RATIO: f64 = 0.2;
/// Retries in a second that are allowed however few the requests.
const PER_SECOND: f64 = 3.0;
/// Retries that are saved up at most.
const SAVED_MAX: f64 = 30.0;

/// How many retries a component or upstream gets: a part of its requests, so that what is overloaded is not buried under them.
#[derive(Debug)]
pub(in crate::gateway) struct RetryBudget(Mutex<Saved>);

#[derive(Debug)]
struct Saved {
    retries: f64,
    at: Option<Instant>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(Saved { retries: PER_SECOND, at: None }))
    }
}

impl RetryBudget {
    /// A request has come.
    pub(in crate::gateway) fn request(&self) {
        let mut saved = lock(&self.0);
        saved.retries = (saved.retries + RATIO).min(SAVED_MAX);
    }

    /// Whether a retry is left, which is then spent.
    pub(in crate::gateway) fn spend(&self, now: Instant) -> bool {
        let mut saved = lock(&self.0);
        let passed = saved.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        saved.at = Some(saved.at.map_or(now, |at| at.max(now)));
        // What time gives is for a second at most.
        let given = (passed.as_secs_f64() * PER_SECOND).min((PER_SECOND - saved.retries).max(0.0));
        saved.retries += given;
        let is_left = saved.retries >= 1.0;
        if is_left {
            saved.retries -= 1.0;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_may_not_come_twice_is_not_repeated() {
        let retry = |is_safe: bool| RetrySettings { retries: 1, statuses: Vec::new(), is_safe };
        let none = http::HeaderMap::new();
        assert!(retry(false).may_repeat(&Method::GET, &none) && retry(false).may_repeat(&Method::PUT, &none));
        assert!(!retry(false).may_repeat(&Method::POST, &none) && retry(true).may_repeat(&Method::POST, &none));
        let keyed = http::HeaderMap::from_iter([(IDEMPOTENCY_KEY, "k".parse().unwrap())]);
        assert!(retry(false).may_repeat(&Method::POST, &keyed));
    }

    proptest! {
        /// However requests and the clock go: no more retries than a fifth of the requests, three a second, and what is saved.
        #[test]
        fn retries_stay_within_the_budget(
            steps in proptest::collection::vec((proptest::bool::weighted(0.6), -200i64..400), 1..400)
        ) {
            let budget = RetryBudget::default();
            let begin = Instant::now() + Duration::from_secs(1000);
            let (mut now, mut earliest, mut latest) = (begin, begin, begin);
            let (mut requests, mut retries) = (0u32, 0u32);
            for (is_request, millis) in steps {
                let step = Duration::from_millis(millis.unsigned_abs());
                now = if millis < 0 { now - step } else { now + step };
                (earliest, latest) = (earliest.min(now), latest.max(now));
                if is_request {
                    budget.request();
                    requests += 1;
                } else if budget.spend(now) {
                    retries += 1;
                }
            }
            let most = f64::from(requests) * RATIO + (latest - earliest).as_secs_f64() * PER_SECOND + PER_SECOND;
            prop_assert!(f64::from(retries) <= most + 1e-6, "{} of {}", retries, most);
        }
    }

    #[test]
    fn a_few_retries_are_left_when_there_are_few_requests() {
        let (budget, now) = (RetryBudget::default(), Instant::now());
        let spent = (0..10).filter(|_| budget.spend(now)).count();
        assert_eq!(spent, 3);
        assert!((0..3).all(|_| budget.spend(now + Duration::from_secs(1))));
        assert!(!budget.spend(now + Duration::from_secs(1)));
    }
}
