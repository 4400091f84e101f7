//! Which of two revisions a request is for: by its shopper, or by chance. Pure.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;

use super::preview::{self, PREVIEW};
use crate::cookie;
use crate::gateway::cache::{PURGE, SURROGATE_KEY};
use crate::rollout::{Share, Side, Sticky};
use crate::telemetry::guest_counters::COUNT;

/// The cookie of shoppers without a key of their own.
pub(super) const COOKIE_NAME: &str = "bodega-shopper";
/// What stands before a token, in any case of letters (RFC 9110, 11.1).
const BEARER: &[u8] = b"Bearer ";

/// What of a token says whose it is. Nobody's word is taken for it: it only has to stay the same.
#[derive(Deserialize)]
struct Claims<'a> {
    #[serde(borrow)]
    sub: Cow<'a, str>,
}

/// What is the same for all requests of one shopper, if the request has it.
///
/// Who came without a token has the host's cookie, and keeps their side when they log in. Where a cookie or header is configured,
/// that of the host is for those who do not have it.
pub(super) fn sticky_key<'h>(sticky: &Sticky, headers: &'h HeaderMap) -> Option<Cow<'h, [u8]>> {
    let given = || cookie::find(COOKIE_NAME, headers).map(Cow::Borrowed);
    match sticky {
        Sticky::None => None,
        Sticky::User => given().or_else(|| user(headers.get(AUTHORIZATION)?.as_bytes())),
        Sticky::Header(name) => headers.get(name).map(|value| value.as_bytes().into()).or_else(given),
        Sticky::Cookie(name) => cookie::find(name, headers).map(Cow::Borrowed).or_else(given),
    }
}

/// The subject of a token, which stays when the token is renewed; of another kind of credentials all of it.
fn user(credentials: &[u8]) -> Option<Cow<'_, [u8]>> {
    let subject = || {
        let (scheme, token) = credentials.split_at_checked(BEARER.len())?;
        if !scheme.eq_ignore_ascii_case(BEARER) {
            return None;
        }
        let claims = token.split(|byte| *byte == b'.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        Some(Cow::Owned(claims.sub.as_bytes().to_vec()))
    };
    subject().or(Some(credentials.into()))
}

/// The side for a request for which it was not decided where it came in.
pub(super) fn side(share: Share, sticky: &Sticky, headers: &HeaderMap) -> Side {
    match sticky_key(sticky, headers) {
        Some(key) => share.of_key(&key),
        None => share.of_random(fastrand::u64(..)),
    }
}

/// Takes out of a request what no component is to see: a secret, which components may log; and counts and purges, which only
/// they themselves may make, while some answer with what they were asked.
pub(super) fn withhold(headers: &mut HeaderMap) {
    headers.remove(PREVIEW);
    preview::take_cookie(headers);
    [COUNT, PURGE, SURROGATE_KEY].iter().for_each(|name| drop(headers.remove(name)));
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn key(sticky: &Sticky, pairs: &[(&'static str, &str)]) -> Option<String> {
        let headers = headers(pairs);
        sticky_key(sticky, &headers).map(|key| String::from_utf8(key.into_owned()).unwrap())
    }

    fn token(claims: &str, signature: &str) -> String {
        format!("Bearer e30.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_user_is_who_the_token_says_however_often_it_is_renewed() {
        for (expiry, signature) in [(1, "aa"), (2, "bb")] {
            let token = token(&format!(r#"{{"exp":{expiry},"sub":"ann"}}"#), signature);
            for token in [token.replace("Bearer", "bearer"), token.replace("Bearer", "BEARER"), token] {
                assert_eq!(key(&Sticky::User, &[("authorization", &token)]).as_deref(), Some("ann"), "{token}");
            }
        }
        assert_eq!(key(&Sticky::User, &[("authorization", "Basic YTpi")]).as_deref(), Some("Basic YTpi"));
        assert_eq!(key(&Sticky::User, &[("authorization", "Bearer key.!!.x")]).as_deref(), Some("Bearer key.!!.x"));
        assert_eq!(key(&Sticky::User, &[]), None);
    }

    #[test]
    fn cookies_and_headers_are_found_by_their_whole_name() {
        let cart = Sticky::Cookie("cart".to_owned());
        assert_eq!(key(&cart, &[("cookie", "carts=1; xcart=2; cart=3; cart=4")]).as_deref(), Some("3"));
        assert_eq!(key(&cart, &[("cookie", "carts=1")]), None);
        let header = Sticky::Header("x-session".to_owned());
        assert_eq!(key(&header, &[("x-session", "s-1")]).as_deref(), Some("s-1"));
        assert_eq!(key(&Sticky::None, &[("x-session", "s-1")]), None);
    }

    #[test]
    fn the_cookie_of_the_host_stands_for_who_has_no_other_key_and_outlives_a_login() {
        let given = ("cookie", "a=1; bodega-shopper=0f");
        let token = token(r#"{"sub":"ann"}"#, "aa");
        assert_eq!(key(&Sticky::User, &[given]).as_deref(), Some("0f"));
        assert_eq!(key(&Sticky::User, &[given, ("authorization", &token)]).as_deref(), Some("0f"));
        let header = Sticky::Header("x-session".to_owned());
        assert_eq!(key(&header, &[given]).as_deref(), Some("0f"));
        assert_eq!(key(&header, &[given, ("x-session", "s-1")]).as_deref(), Some("s-1"));
        let cookie = Sticky::Cookie("a".to_owned());
        assert_eq!(key(&cookie, &[given]).as_deref(), Some("1"));
        assert_eq!(key(&cookie, &[("cookie", "bodega-shopper=0f")]).as_deref(), Some("0f"));
        assert_eq!(key(&Sticky::None, &[given]), None);
    }

    #[test]
    fn a_shopper_stays_where_it_is_while_the_share_grows() {
        let sticky = Sticky::Header("x-session".to_owned());
        for session in 0..200 {
            let headers = headers(&[("x-session", &format!("s-{session}"))]);
            let sides = [0, 10, 25, 50, 100].map(|percent| side(Share::new(percent, 7), &sticky, &headers));
            let moved = sides.windows(2).filter(|pair| pair[0] != pair[1]).count();
            assert_eq!((sides[0], sides[4], moved), (Side::Old, Side::New, 1));
        }
    }

    #[test]
    fn no_component_sees_the_token_nor_what_a_client_would_have_it_count_or_purge() {
        let mut headers = headers(&[("x-bodega-preview", "s3cret"), ("x-bodega-count", "paid_total=9"), ("x-a", "b")]);
        headers.append("x-bodega-count", "failed_total=9".parse().unwrap());
        headers.append("x-bodega-purge", "products".parse().unwrap());
        headers.append("surrogate-key", "products".parse().unwrap());
        headers.append("cookie", "x-bodega-preview=s3cret".parse().unwrap());
        withhold(&mut headers);
        assert_eq!(headers, self::headers(&[("x-a", "b")]));
    }
}
