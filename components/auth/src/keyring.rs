//! The keys that sign access tokens, and when each of them signs and is published.
//!
//! A new key is published before it signs, so that every service has had the time to fetch it. A key that signs
//! no more stays published until its last token has expired.

use identity::{FETCH_PAUSE_S, JWKS_FRESH_S, LEEWAY_S, Signer};
use serde_json::{Value, json};

/// How long an access token is good, in seconds.
pub(crate) const ACCESS_LIFETIME_S: i64 = 10 * 60;
/// How long a key signs before the next one is made, in milliseconds.
pub(crate) const ROTATED_AFTER_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a key is published before it signs, in milliseconds: as long as anybody keeps the set without asking.
pub(crate) const LEAD_MS: i64 = JWKS_MAX_AGE_S * 1_000;
/// How long the set may be kept without asking, in seconds.
pub(crate) const JWKS_MAX_AGE_S: i64 = JWKS_FRESH_S;
/// How long after its last signature a key may still be needed, in milliseconds.
const LINGERS_MS: i64 = (ACCESS_LIFETIME_S + LEEWAY_S) * 1_000;

const _: () =
    assert!(JWKS_MAX_AGE_S >= FETCH_PAUSE_S, "a service would turn away tokens of a key that it must not fetch yet");

/// A key and the time from which it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) seed: [u8; 32],
    pub(crate) signs_from_ms: i64,
}

impl Key {
    fn signer(&self) -> Signer {
        Signer::new(&self.kid, self.seed)
    }
}

/// All keys, in the order in which they sign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keyring(Vec<Key>);

impl Keyring {
    pub(crate) fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_by(|a, b| (a.signs_from_ms, &a.kid).cmp(&(b.signs_from_ms, &b.kid)));
        Self(keys)
    }

    /// The key that signs now.
    pub(crate) fn signer(&self, now_ms: i64) -> Option<Signer> {
        let started = self.0.iter().rfind(|key| key.signs_from_ms <= now_ms);
        // With a clock that was set back the oldest key signs, which everybody knows.
        started.or(self.0.first()).map(Key::signer)
    }

    /// The newest key.
    pub(crate) fn newest(&self) -> Option<&Key> {
        self.0.last()
    }

    /// Whether it is time for a new key.
    pub(crate) fn is_due(&self, now_ms: i64) -> bool {
        self.newest().is_none_or(|key| now_ms - key.signs_from_ms >= ROTATED_AFTER_MS)
    }

    /// Whether a new key is published that does not sign yet.
    pub(crate) fn is_rotating(&self, now_ms: i64) -> bool {
        self.newest().is_some_and(|key| key.signs_from_ms > now_ms)
    }

    /// The ids of the keys that nobody needs any more.
    pub(crate) fn outlived(&self, now_ms: i64) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().zip(self.0.iter().skip(1));
        pairs.filter(move |(_, next)| now_ms - next.signs_from_ms > LINGERS_MS).map(|(key, _)| key.kid.as_str())
    }

    /// The JWKS (RFC 7517): every key by which a token that is still good may be signed, and the next one.
    pub(crate) fn jwks(&self, now_ms: i64) -> Value {
        let outlived: Vec<&str> = self.outlived(now_ms).collect();
        let published = self.0.iter().filter(|key| !outlived.contains(&key.kid.as_str()));
        json!({ "keys": published.map(|key| key.signer().jwk()).collect::<Vec<_>>() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(number: u8, signs_from_ms: i64) -> Key {
        Key { kid: format!("k{number}"), seed: [number; 32], signs_from_ms }
    }

    fn published(keyring: &Keyring, now_ms: i64) -> Vec<String> {
        let jwks = keyring.jwks(now_ms);
        jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after() {
        let start = 1_800_000_000_000;
        let keyring = Keyring::new(vec![key(2, start + LEAD_MS), key(1, start)]);
        let signs = |now_ms| keyring.signer(now_ms).unwrap().kid().to_owned();
        assert_eq!((signs(start), published(&keyring, start)), ("k1".into(), vec!["k1".into(), "k2".into()]));
        assert!(keyring.is_rotating(start));
        let switched = start + LEAD_MS;
        assert_eq!((signs(switched - 1), signs(switched)), ("k1".into(), "k2".into()));
        assert!(!keyring.is_rotating(switched));
        assert_eq!(published(&keyring, switched + LINGERS_MS), ["k1", "k2"]);
        assert_eq!(published(&keyring, switched + LINGERS_MS + 1), ["k2"]);
        assert!(!keyring.is_due(switched + ROTATED_AFTER_MS - 1));
        assert!(keyring.is_due(switched + ROTATED_AFTER_MS));
        assert!(Keyring::default().is_due(0) && Keyring::default().signer(0).is_none());
    }

    proptest! {
        /// Whoever fetched the set at most its age ago can verify every token that has not expired.
        #[test]
        fn a_good_token_is_always_verifiable(
            gaps_ms in prop::collection::vec(0..2 * ROTATED_AFTER_MS, 1..6),
            signed_after_ms in 0..4 * ROTATED_AFTER_MS,
            shown_after_ms in 0..ACCESS_LIFETIME_S * 1_000,
            fetched_before_ms in 0..JWKS_MAX_AGE_S * 1_000,
        ) {
            // Each key is made when the one before it has begun to sign, and signs a lead later.
            let mut made_ms = 0;
            let mut keys = vec![(0, key(0, 0))];
            for (number, gap_ms) in (1..).zip(gaps_ms) {
                made_ms += LEAD_MS + gap_ms;
                keys.push((made_ms, key(number, made_ms + LEAD_MS)));
            }
            let as_of = |now_ms: i64| {
                Keyring::new(keys.iter().filter(|(made_ms, _)| *made_ms <= now_ms).map(|(_, key)| key.clone()).collect())
            };
            let signed_ms = signed_after_ms;
            let shown_ms = signed_ms + shown_after_ms;
            let fetched_ms = (shown_ms - fetched_before_ms).max(0);
            let kid = as_of(signed_ms).signer(signed_ms).unwrap().kid().to_owned();
            prop_assert!(published(&as_of(fetched_ms), fetched_ms).contains(&kid));
        }
    }
}
