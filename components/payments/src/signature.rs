//! Signatures of webhooks: `t=<unix seconds>,v1=<hex>` with HMAC-SHA256 over `<t>.<body>`, the scheme that Stripe
//! documents and that the test provider follows.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::error::Refusal;

/// How far the time of a signature may be from ours; a webhook that was caught cannot be sent again later.
pub(crate) const TOLERANCE_S: i64 = 300;
/// Signatures that one header may hold; a provider that changes its secret sends one with each.
const SIGNATURES_MAX: usize = 8;

/// The HMAC keyed with `secret`; any length of key is good.
fn mac(secret: &str, time_s: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
    mac.update(time_s.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// Passes a body that `secret` signed within [`TOLERANCE_S`] of now. The comparison takes the same time for every
/// wrong signature. Without a secret nothing passes.
pub(crate) fn verify(secret: &str, header: &str, body: &[u8], now_s: i64) -> Result<(), Refusal> {
    if secret.is_empty() {
        return Err(Refusal::Signature("not checkable, since there is no secret"));
    }
    let part = |name: &'static str| header.split(',').filter_map(move |part| part.trim().strip_prefix(name));
    let time = part("t=").next().ok_or(Refusal::Signature("without a time"))?;
    let time_s: i64 = time.parse().map_err(|_| Refusal::Signature("without a time"))?;
    let mac = mac(secret, time, body).ok_or(Refusal::Signature("not checkable"))?;
    let is_ours = |signature: &str| {
        let signature = hex::decode(signature).unwrap_or_default();
        mac.clone().verify_slice(&signature).is_ok()
    };
    if !part("v1=").take(SIGNATURES_MAX).any(is_ours) {
        return Err(Refusal::Signature("wrong"));
    }
    match now_s.abs_diff(time_s) {
        off if off <= TOLERANCE_S.unsigned_abs() => Ok(()),
        _ => Err(Refusal::Signature("too old or from the future")),
    }
}

#[cfg(test)]
pub(crate) fn sign(secret: &str, body: &[u8], time_s: i64) -> String {
    let time = time_s.to_string();
    format!("t={time},v1={}", hex::encode(mac(secret, &time, body).unwrap().finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_S: i64 = 1_800_000_000;

    fn passes(secret: &str, header: &str, body: &[u8], now_s: i64) -> bool {
        verify(secret, header, body, now_s).is_ok()
    }

    #[test]
    fn the_mac_is_hmac_sha256_over_time_dot_body() {
        let mut expected = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
        expected.update(b"1800000000.{}");
        let header = format!("t=1800000000,v1={}", hex::encode(expected.finalize().into_bytes()));
        assert_eq!(sign("secret", b"{}", NOW_S), header);
    }

    #[test]
    fn one_good_signature_of_several_is_enough() {
        let good = sign("new", b"{}", NOW_S);
        let signature = good.split_once("v1=").unwrap().1;
        let header = format!("t={NOW_S}, v1={}, v0=ff, v1={signature}", "0".repeat(64));
        assert!(passes("new", &header, b"{}", NOW_S));
        assert!(!passes("old", &header, b"{}", NOW_S));
    }

    #[test]
    fn a_signature_is_good_for_five_minutes_in_either_direction() {
        let header = sign("s", b"{}", NOW_S);
        for (off_s, good) in [(0, true), (TOLERANCE_S, true), (-TOLERANCE_S, true), (TOLERANCE_S + 1, false)] {
            assert_eq!(passes("s", &header, b"{}", NOW_S + off_s), good, "{off_s}");
        }
        assert!(!passes("s", &header, b"{}", NOW_S - TOLERANCE_S - 1));
    }

    #[test]
    fn nothing_passes_without_a_secret() {
        assert!(!passes("", &sign("", b"{}", NOW_S), b"{}", NOW_S));
    }

    proptest! {
        #[test]
        fn only_the_very_body_time_and_secret_pass(
            body in prop::collection::vec(any::<u8>(), 1..64), flipped in any::<prop::sample::Index>(), bit in 0..8u8
        ) {
            let header = sign("s", &body, NOW_S);
            prop_assert!(passes("s", &header, &body, NOW_S));
            let mut other = body.clone();
            other[flipped.index(body.len())] ^= 1 << bit;
            prop_assert!(!passes("s", &header, &other, NOW_S));
            let later = header.replace(&NOW_S.to_string(), &(NOW_S + 1).to_string());
            prop_assert!(!passes("s", &later, &body, NOW_S));
            prop_assert!(!passes("S", &header, &body, NOW_S));
        }

        #[test]
        fn garbage_never_passes(header in "[tv01=,a-f0-9]{0,60}") {
            let passed = passes("s", &header, b"{}", NOW_S);
            prop_assert!(!passed);
        }
    }
}
