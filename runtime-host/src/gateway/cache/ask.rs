//! A request as the cache sees it: whether it may be answered by what is stored, under which key, and what it wants. Pure.

use std::sync::Arc;

use http::header::{AUTHORIZATION, IF_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::CacheRule;
use super::directives::Directives;
use crate::gateway::machines::API_KEY;

/// Fields that concern a part of an answer, a version of it, or another protocol: such requests pass by.
const PASSING: [HeaderName; 5] = [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE];

/// What answers are stored under: scheme, host, path and query as they were asked for, and who is to answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key of a URL for requests that are to be answered `by` some and not by others. The case of a host means nothing; all else stays as it is.
    fn new(scheme: &Scheme, authority: &Authority, path_and_query: &str, by: &[u8]) -> Self {
        let authority = authority.as_str().to_ascii_lowercase();
        let parts = [scheme.as_str().as_bytes(), authority.as_bytes(), path_and_query.as_bytes(), by];
        // No part but the last one can have a line's end in it.
        Self(parts.join(&b'\n').into())
    }

    /// The same for requests with these values of the fields by which answers differ.
    pub(super) fn with(&self, vary: &Vary) -> Self {
        let mut bytes = self.0.to_vec();
        for (name, values) in &vary.0 {
            bytes.push(b'\n');
            bytes.extend_from_slice(name.as_str().as_bytes());
            values.iter().for_each(|value| {
                bytes.push(b'\n');
                bytes.extend_from_slice(value.as_bytes());
            });
        }
        Self(bytes.into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The values that a request had of the fields that an answer's `Vary` names (RFC 9111, 4.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Vary(Box<[(HeaderName, Vec<HeaderValue>)]>);

impl Vary {
    /// Of a request for an answer whose `Vary` names `names`.
    pub(super) fn of(names: impl IntoIterator<Item = HeaderName>, request: &HeaderMap) -> Self {
        let values = |name: HeaderName| {
            let values = request.get_all(&name).iter().cloned().collect();
            (name, values)
        };
        Self(names.into_iter().map(values).collect())
    }

    /// Of another request, with the same fields.
    pub(super) fn again(&self, request: &HeaderMap) -> Self {
        Self::of(self.0.iter().map(|(name, _)| name.clone()), request)
    }

    /// Whether these are its fields, each of which is there once.
    pub(super) fn is_of(&self, names: &[HeaderName]) -> bool {
        self.0.len() == names.len() && self.0.iter().all(|(name, _)| names.contains(name))
    }

    pub(super) fn matches(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, values)| request.get_all(name).iter().eq(values))
    }

    pub(super) fn bytes(&self) -> usize {
        let value = |value: &HeaderValue| value.len() + size_of::<HeaderValue>();
        self.0.iter().map(|(name, values)| name.as_str().len() + values.iter().map(value).sum::<usize>()).sum()
    }
}

/// A request that what is stored may answer.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where its answers are stored.
    pub key: Key,
    /// Path and query, by which they are purged.
    pub(super) url: Box<str>,
    pub(super) rule: CacheRule,
    /// What its `Cache-Control` says.
    pub wanted: Directives,
    /// Whether it asks for no body.
    pub is_head: bool,
    /// Whether it says who asks.
    pub(super) is_authenticated: bool,
    /// Whether it has a body, by which its answer may differ (RFC 9110, 9.3.1).
    has_body: bool,
    has_cookies: bool,
}

/// Who asks for what, as the listener and the gateway know.
#[derive(Debug)]
pub struct Asked<'a> {
    /// How the client asked.
    pub scheme: &'a Scheme,
    /// Whom it asked.
    pub authority: &'a Authority,
    /// Who is to answer what, where that is not the same for all requests: the target, what the rule changes, and the revisions.
    pub by: &'a [u8],
    /// Whether the request said who asks, whatever has become of that since, or the gateway knows it.
    pub is_known: bool,
    /// Whether it has a body.
    pub has_body: bool,
    /// Whether it has cookies but those of the host, by which its answer may differ.
    pub has_cookies: bool,
}

#[cfg(test)]
impl<'a> Asked<'a> {
    /// By somebody of whom nothing is known, without a body.
    pub(super) fn by_anybody(authority: &'a Authority) -> Self {
        Self { scheme: &Scheme::HTTPS, authority, by: &[], is_known: false, has_body: false, has_cookies: false }
    }
}

impl Ask {
    /// `None` for what passes by the cache, whatever is stored.
    pub fn new(request: &Parts, asked: &Asked<'_>, mut rule: CacheRule) -> Option<Self> {
        let is_head = match request.method {
            Method::GET => false,
            Method::HEAD => true,
            _ => return None,
        };
        let says_who = [AUTHORIZATION, API_KEY].iter().any(|name| request.headers.contains_key(name));
        let is_authenticated = asked.is_known || says_who;
        let wanted = Directives::of(&request.headers);
        let is_barred = is_authenticated && !rule.authenticated || wanted.no_store;
        if is_barred || PASSING.iter().any(|name| request.headers.contains_key(name)) {
            return None;
        }
        if asked.has_cookies {
            // An answer that says nothing may be for who has them alone.
            (rule.ttl, rule.stale_while_revalidate, rule.stale_if_error) = (None, None, None);
        }
        let url = request.uri.path_and_query().map_or("/", |path| path.as_str());
        let key = Key::new(asked.scheme, asked.authority, url, asked.by);
        let Asked { has_body, has_cookies, .. } = *asked;
        Some(Self { key, url: url.into(), rule, wanted, is_head, is_authenticated, has_body, has_cookies })
    }

    /// What those have in common who may wait for one answer: with cookies and without, other answers are for all.
    pub(super) fn boarding_key(&self) -> Key {
        match self.has_cookies {
            true => Key([&self.key.0[..], b"\ncookies"].concat().into()),
            false => self.key.clone(),
        }
    }

    /// Whether its answer may be stored and given to others who ask for the same meanwhile.
    pub fn may_be_shared(&self) -> bool {
        !self.is_head && !self.has_body
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    pub(in crate::gateway::cache) fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method(method).uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn ask(method: &str, uri: &str, headers: &[(&str, &str)], rule: CacheRule) -> Option<Ask> {
        let authority = Authority::from_static("Shop.example");
        Ask::new(&parts(method, uri, headers), &Asked::by_anybody(&authority), rule)
    }

    #[test]
    fn some_requests_pass_by() {
        let (plain, with_users) = (CacheRule::default(), CacheRule { authenticated: true, ..CacheRule::default() });
        for (method, headers, rule, is_asked) in [
            ("GET", &[][..], plain, true),
            ("HEAD", &[], plain, true),
            ("POST", &[], plain, false),
            ("OPTIONS", &[], plain, false),
            ("GET", &[("range", "bytes=0-1")], plain, false),
            ("GET", &[("if-range", "\"a\"")], plain, false),
            ("GET", &[("if-match", "\"a\"")], plain, false),
            ("GET", &[("if-none-match", "\"a\"")], plain, true),
            ("GET", &[("upgrade", "websocket")], plain, false),
            ("GET", &[("cache-control", "no-store")], plain, false),
            ("GET", &[("cache-control", "no-cache")], plain, true),
            ("GET", &[("authorization", "Bearer a")], plain, false),
            ("GET", &[("authorization", "Bearer a")], with_users, true),
            ("GET", &[("x-api-key", "a")], plain, false),
            ("GET", &[("cookie", "a=b")], plain, true),
        ] {
            assert_eq!(ask(method, "/a", headers, rule).is_some(), is_asked, "{method} {headers:?}");
        }
    }

    #[test]
    fn keys_differ_by_all_that_may_make_a_difference() {
        let key = |scheme: &Scheme, host: &str, url: &str, by: &[u8]| Key::new(scheme, &host.parse().unwrap(), url, by);
        let one = key(&Scheme::HTTPS, "shop.example", "/a?b=1", &[]);
        assert_eq!(one, key(&Scheme::HTTPS, "SHOP.example", "/a?b=1", &[]));
        for other in [
            key(&Scheme::HTTP, "shop.example", "/a?b=1", &[]),
            key(&Scheme::HTTPS, "shop.example:8443", "/a?b=1", &[]),
            key(&Scheme::HTTPS, "shop.example", "/A?b=1", &[]),
            key(&Scheme::HTTPS, "shop.example", "/a?b=1&", &[]),
            key(&Scheme::HTTPS, "shop.example", "/%61?b=1", &[]),
            key(&Scheme::HTTPS, "shop.example", "/a?b=1", &[1]),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn an_answer_is_for_requests_with_the_same_values() {
        let request = parts("GET", "/", &[("accept-language", "de"), ("accept", "a"), ("accept", "b")]).headers;
        let names = || ["accept-language", "accept", "x-none"].map(HeaderName::from_static);
        let vary = Vary::of(names(), &request);
        assert!(vary.matches(&request));
        for other in [
            &[("accept-language", "en"), ("accept", "a"), ("accept", "b")][..],
            &[("accept-language", "de"), ("accept", "a")],
            &[("accept-language", "de"), ("accept", "a"), ("accept", "b"), ("x-none", "")],
        ] {
            assert!(!vary.matches(&parts("GET", "/", other).headers), "{other:?}");
        }
    }
}
