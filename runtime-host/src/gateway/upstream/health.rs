//! Whether a server of an upstream is asked: what checks of it say, and how requests to it end.

use std::time::{Duration, Instant};

/// How a server is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) struct HealthCheck {
    pub(in crate::gateway) path: String,
    pub(in crate::gateway) every: Duration,
    pub(in crate::gateway) timeout: Duration,
    /// Checks in a row after which it is taken for well, or for ill.
    pub(in crate::gateway) healthy_after: u32,
    pub(in crate::gateway) unhealthy_after: u32,
}

/// When a server is left alone for how its requests end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) struct Ejection {
    /// Failures in a row.
    pub(in crate::gateway) failures: u32,
    /// For how long at first; twice as long each time that its next request fails too.
    pub(in crate::gateway) time: Duration,
}

/// For how long a server is left alone at most.
const EJECTION_TIME_MAX: Duration = Duration::from_secs(300);

/// What is known of a server. It is taken for well until something else is known.
#[derive(Debug, Default)]
pub(super) struct Health {
    is_ill: bool,
    /// Checks in a row that say the opposite of `is_ill`.
    contrary_checks: u32,
    failures: u32,
    /// Ejections since a request last succeeded.
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Health {
    pub(super) fn is_available(&self, now: Instant) -> bool {
        !self.is_ill && self.ejected_until.is_none_or(|until| now >= until)
    }

    /// A check has ended. Tells whether that changed what the server is taken for.
    pub(super) fn checked(&mut self, is_well: bool, check: &HealthCheck) -> bool {
        if is_well != self.is_ill {
            self.contrary_checks = 0;
            return false;
        }
        self.contrary_checks += 1;
        let needed = if self.is_ill { check.healthy_after } else { check.unhealthy_after };
        if self.contrary_checks < needed {
            return false;
        }
        *self = Self { is_ill: !self.is_ill, ..Self::default() };
        true
    }

    /// A request has ended. Tells for how long the server is left alone from now, if it is.
    pub(super) fn answered(&mut self, is_success: bool, now: Instant, ejection: Ejection) -> Option<Duration> {
        if is_success {
            // Ones that began before it was ejected say nothing of how it is.
            if self.ejected_until.is_none_or(|until| now >= until) {
                (self.failures, self.ejections, self.ejected_until) = (0, 0, None);
            }
            return None;
        }
        if self.ejected_until.is_some_and(|until| now < until) {
            return None;
        }
        self.failures += 1;
        // After an ejection, one more failure is enough.
        if self.failures < ejection.failures && self.ejections == 0 {
            return None;
        }
        let time = ejection.time.saturating_mul(1 << self.ejections.min(16)).min(EJECTION_TIME_MAX);
        self.ejections += 1;
        self.failures = 0;
        self.ejected_until = Some(now + time);
        Some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection = Ejection { failures: 3, time: Duration::from_secs(10) };

    fn check() -> HealthCheck {
        HealthCheck {
            path: "/".into(),
            every: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }

    #[test]
    fn several_checks_in_a_row_change_what_a_server_is_taken_for() {
        let (mut health, check, now) = (Health::default(), check(), Instant::now());
        let mut after = |results: &[bool]| {
            let changes = results.iter().filter(|result| health.checked(**result, &check)).count();
            (changes, health.is_available(now))
        };
        assert_eq!(after(&[false, false, true, false, false]), (0, true));
        assert_eq!(after(&[false]), (1, false));
        assert_eq!(after(&[true, false, true]), (0, false));
        assert_eq!(after(&[true]), (1, true));
    }

    #[test]
    fn a_server_that_fails_is_left_alone_for_longer_each_time() {
        let (mut health, begin) = (Health::default(), Instant::now());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        assert_eq!([false, false].map(|ok| health.answered(ok, at(0), EJECTION)), [None, None]);
        assert_eq!(health.answered(false, at(0), EJECTION), Some(Duration::from_secs(10)));
        // What is still under way when it is ejected does not count.
        assert_eq!(health.answered(false, at(1), EJECTION), None);
        assert_eq!(health.answered(true, at(2), EJECTION), None);
        assert!(!health.is_available(at(9)) && health.is_available(at(10)));
        assert_eq!(health.answered(false, at(11), EJECTION), Some(Duration::from_secs(20)));
        for _ in 0..40 {
            let until = health.ejected_until.unwrap();
            assert!(health.answered(false, until, EJECTION).unwrap() <= EJECTION_TIME_MAX);
        }
        let until = health.ejected_until.unwrap();
        assert_eq!(health.answered(true, until, EJECTION), None);
        assert_eq!(health.answered(false, until, EJECTION), None, "it begins anew");
    }
}
