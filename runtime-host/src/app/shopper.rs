//! On which side of a canary a shopper is. It is decided once, where a request comes in, for all that the request leads to; and
//! again the same way at the shopper's next request.
//!
//! Who has no key of their own gets a cookie with a random one while two revisions share the requests of any component. It says
//! nothing else, is for the whole site, and ends with the browser's session. Clients that keep no cookies are drawn anew.

use http::HeaderValue;
use http::header::{CACHE_CONTROL, HeaderMap, SET_COOKIE};

use super::choice::{COOKIE_NAME, sticky_key};
use super::table::Table;
use crate::cookie;
use crate::rollout::{Sides, Sticky};

/// An answer that gives somebody their key must not be given to others by a cache.
const PRIVATE: HeaderValue = HeaderValue::from_static("private");

/// The key of a shopper who came without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewShopper(String);

impl NewShopper {
    fn draw() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }

    /// Has the shopper come back with the key.
    pub(super) fn give(&self, headers: &mut HeaderMap, is_https: bool) {
        if let Some(cookie) = cookie::for_session(COOKIE_NAME, &self.0, is_https) {
            headers.append(SET_COOKIE, cookie);
            headers.append(CACHE_CONTROL, PRIVATE);
        }
    }
}

/// The sides of a request with these headers at all places where two revisions share the requests, and its new key if it had none.
/// Without such a place there is nothing to decide.
pub(super) fn sides(table: &Table, headers: &HeaderMap) -> Option<(Sides, Option<NewShopper>)> {
    let divided = table.divided();
    if divided.is_empty() {
        return None;
    }
    let mut new = None;
    // One number for all places, as a component may be in several of them.
    let random = fastrand::u64(..);
    let decided = divided.iter().map(|(place, candidate)| {
        let side = match sticky_key(&candidate.sticky, headers) {
            Some(key) => candidate.share.of_key(&key),
            None if candidate.sticky == Sticky::None => candidate.share.of_random(random),
            None => candidate.share.of_key(new.get_or_insert_with(NewShopper::draw).0.as_bytes()),
        };
        (*place, side)
    });
    let sides = decided.collect();
    Some((sides, new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_shopper_comes_back_with_the_key_and_no_cache_keeps_the_answer() {
        let shopper = NewShopper::draw();
        let mut answer = HeaderMap::new();
        shopper.give(&mut answer, true);
        let cookie = answer[SET_COOKIE].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{cookie}");
        assert_eq!(answer[CACHE_CONTROL], "private");
        let pair = cookie.split(';').next().unwrap();
        let request = HeaderMap::from_iter([(http::header::COOKIE, pair.parse().unwrap())]);
        assert_eq!(sticky_key(&Sticky::User, &request).as_deref(), Some(shopper.0.as_bytes()));
        assert_ne!(shopper, NewShopper::draw());
    }
}
