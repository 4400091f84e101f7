//! Guessing is slowed down: after some failures each further one makes the next attempt wait twice as long.
//!
//! An attempt counts as a failure before the password is looked at, and is taken back if it was right. So a
//! hundred guesses at once are counted as a hundred, and not as the one that they all saw.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;

use crate::secret::digest;

/// Failures of one account before there is a delay.
pub(crate) const ACCOUNT_FAILURES_FREE: u32 = 5;
/// Failures from one address before there is a delay: behind it may be a whole office or a phone network.
pub(crate) const ADDRESS_FAILURES_FREE: u32 = 20;
/// The first delay, in milliseconds.
pub(crate) const DELAY_MIN_MS: i64 = 1_000;
/// The longest delay, in milliseconds.
pub(crate) const DELAY_MAX_MS: i64 = 15 * 60 * 1_000;
/// How long after the last failure all are forgotten, in milliseconds.
pub(crate) const FORGOTTEN_AFTER_MS: i64 = 60 * 60 * 1_000;
/// How long one address gets no second mail of a kind, in milliseconds.
pub(crate) const MAIL_PAUSE_MS: i64 = 60 * 1_000;
/// Where the host says who connected.
const CLIENT_ADDRESS_HEADER: &str = "spin-client-addr";

/// What is counted, and how many failures it has free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) key: String,
    pub(crate) free: u32,
}

/// What has been counted for a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) failures: u32,
    pub(crate) blocked_until_ms: i64,
    pub(crate) last_ms: i64,
}

impl Counter {
    /// How long an attempt has to wait, in milliseconds; 0 if it may be made.
    pub(crate) fn wait_ms(self, now_ms: i64) -> i64 {
        // A clock that was set back must not lock anybody out for longer than the longest delay.
        (self.blocked_until_ms - now_ms).clamp(0, DELAY_MAX_MS)
    }

    /// The counter after one more failure.
    #[must_use]
    pub(crate) fn failed(self, free: u32, now_ms: i64) -> Self {
        let forgotten = now_ms - self.last_ms >= FORGOTTEN_AFTER_MS;
        let failures = if forgotten { 1 } else { self.failures.saturating_add(1) };
        let delay_ms = match failures.checked_sub(free) {
            Some(doublings) => DELAY_MIN_MS.checked_shl(doublings.min(30)).unwrap_or(DELAY_MAX_MS).min(DELAY_MAX_MS),
            None => 0,
        };
        Self { failures, blocked_until_ms: now_ms + delay_ms, last_ms: now_ms }
    }

    /// The counter after an attempt that was counted turned out to be right.
    #[must_use]
    pub(crate) fn taken_back(self) -> Self {
        Self { failures: self.failures.saturating_sub(1), blocked_until_ms: 0, ..self }
    }
}

/// The account of this email key, which need not exist.
pub(crate) fn account(email_key: &str) -> Subject {
    Subject { key: format!("account:{}", digest(email_key)), free: ACCOUNT_FAILURES_FREE }
}

/// The address that a request comes from, if the host says so.
pub(crate) fn address(headers: &HeaderMap) -> Option<Subject> {
    let address = headers.get(CLIENT_ADDRESS_HEADER)?.to_str().ok()?;
    let ip = address.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| address.parse::<IpAddr>()).ok()?;
    let network = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        // One customer of a provider has at least a /64 to choose addresses from.
        IpAddr::V6(ip) => format!("{}/64", Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    };
    Some(Subject { key: format!("address:{network}"), free: ADDRESS_FAILURES_FREE })
}

/// Mails of one kind to one email key.
pub(crate) fn mail(kind: &str, email_key: &str) -> String {
    format!("mail:{kind}:{}", digest(email_key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    #[test]
    fn delays_begin_after_the_free_failures_and_double() {
        let mut counter = Counter::default();
        let mut waits = Vec::new();
        for _ in 0..17 {
            counter = counter.failed(ACCOUNT_FAILURES_FREE, NOW_MS);
            waits.push(counter.wait_ms(NOW_MS) / 1_000);
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
        let later = NOW_MS + FORGOTTEN_AFTER_MS;
        assert_eq!(counter.failed(ACCOUNT_FAILURES_FREE, later).failures, 1);
    }

    #[test]
    fn one_network_is_one_address() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(CLIENT_ADDRESS_HEADER.parse().unwrap(), value.parse().unwrap())]);
            address(&headers).map(|subject| subject.key)
        };
        assert_eq!(of("192.0.2.7:53152").as_deref(), Some("address:192.0.2.7"));
        assert_eq!(of("192.0.2.7"), of("192.0.2.7:1"));
        assert_eq!(of("[::ffff:192.0.2.7]:1"), of("192.0.2.7:1"));
        assert_eq!(of("[2001:db8:1:2:3::4]:1").as_deref(), Some("address:2001:db8:1:2::/64"));
        assert_eq!(of("[2001:db8:1:2:ffff::1]:9"), of("[2001:db8:1:2:3::4]:1"));
        assert_ne!(of("[2001:db8:1:3::1]:9"), of("[2001:db8:1:2::1]:9"));
        assert_eq!(of("somewhere"), None);
        assert_eq!(address(&HeaderMap::new()), None);
    }

    proptest! {
        /// However attempts and successes alternate, nobody guesses more often than the delays allow.
        #[test]
        fn guesses_are_bounded(pauses_ms in prop::collection::vec(0..2_000_i64, 1..200)) {
            let (mut counter, mut now_ms, mut guesses) = (Counter::default(), NOW_MS, 0_u32);
            for pause_ms in pauses_ms {
                now_ms += pause_ms;
                if counter.wait_ms(now_ms) == 0 {
                    counter = counter.failed(ACCOUNT_FAILURES_FREE, now_ms);
                    guesses += 1;
                }
            }
            // The n-th guess beyond the free ones waited for 2^n - 1 seconds in all.
            let waited_s = (now_ms - NOW_MS) / 1_000;
            let beyond = 64 - u64::leading_zeros((waited_s + 1).cast_unsigned());
            prop_assert!(guesses <= ACCOUNT_FAILURES_FREE + beyond);
        }

        #[test]
        fn no_wait_is_longer_than_the_longest(failures in any::<u32>(), free in 0..30_u32, back_ms in any::<i32>()) {
            let counter = Counter { failures, blocked_until_ms: 0, last_ms: NOW_MS }.failed(free, NOW_MS);
            prop_assert!(counter.wait_ms(NOW_MS + i64::from(back_ms)) <= DELAY_MAX_MS);
        }
    }
}
