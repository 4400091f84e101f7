//! Which pages of other origins may ask (the Fetch standard's CORS protocol).

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// What pages of other origins may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cors {
    /// Who may ask; `None` is everybody.
    pub(super) origins: Option<Vec<HeaderValue>>,
    /// As the headers say them.
    pub(super) methods: Option<HeaderValue>,
    pub(super) headers: Option<HeaderValue>,
    pub(super) exposed_headers: Option<HeaderValue>,
    /// Whether cookies and other credentials may come along.
    pub(super) credentials: bool,
    /// How long a browser may remember the answer to a preflight.
    pub(super) max_age: Duration,
}

impl Cors {
    /// The method of the request that this one only asks about, if it does.
    pub(super) fn preflight<'h>(method: &Method, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let is_question = method == Method::OPTIONS && headers.contains_key(ORIGIN);
        headers.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| is_question)
    }

    /// Tells a browser what a page of the request's origin may do; to others nothing.
    pub(super) fn answer_preflight(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if !self.allow(origin, answer) {
            return;
        }
        for (name, list) in
            [(ACCESS_CONTROL_ALLOW_METHODS, &self.methods), (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers)]
        {
            answer.extend(list.clone().map(|list| (name, list)));
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.as_secs().into());
    }

    /// Tells a browser whether a page of the request's origin may see this answer, in place of what the component said.
    pub(super) fn answer(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        answer.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
        answer.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        if self.allow(origin, answer)
            && let Some(exposed) = &self.exposed_headers
        {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
    }

    fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) -> bool {
        let Some(origins) = &self.origins else {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return true;
        };
        // A cache must not give one origin's answer to another, not even to those who are no page.
        answer.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = origin.filter(|origin| origins.contains(origin)) else { return false };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: HeaderValue = HeaderValue::from_static("https://shop.example");
    const OTHER: HeaderValue = HeaderValue::from_static("https://other.example");

    fn cors() -> Cors {
        Cors {
            origins: Some(vec![SHOP]),
            methods: Some(HeaderValue::from_static("GET, POST")),
            headers: Some(HeaderValue::from_static("content-type")),
            exposed_headers: Some(HeaderValue::from_static("x-request-id")),
            credentials: true,
            max_age: Duration::from_secs(600),
        }
    }

    #[test]
    fn a_preflight_is_told_what_its_origin_may() {
        let mut answer = HeaderMap::new();
        cors().answer_preflight(Some(&SHOP), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_METHODS], "GET, POST");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "content-type");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(answer[ACCESS_CONTROL_MAX_AGE], "600");
        let mut answer = HeaderMap::new();
        cors().answer_preflight(Some(&OTHER), &mut answer);
        assert_eq!(answer.keys().collect::<Vec<_>>(), [VARY], "{answer:?}");
    }

    #[test]
    fn an_answer_is_for_the_origins_that_are_named() {
        for (origin, allowed) in [(Some(SHOP), true), (Some(OTHER), false), (None, false)] {
            let said = [(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))];
            let mut answer: HeaderMap = said.into_iter().collect();
            cors().answer(origin.as_ref(), &mut answer);
            assert_eq!(answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), allowed, "{origin:?}");
            assert_eq!(answer.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS), allowed);
            assert_eq!(answer[VARY], "origin");
        }
    }

    #[test]
    fn everybody_is_everybody() {
        let mut answer = HeaderMap::new();
        Cors { origins: None, credentials: false, ..cors() }.answer(Some(&OTHER), &mut answer);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!answer.contains_key(VARY));
    }

    #[test]
    fn a_request_is_a_preflight_by_its_headers() {
        let asked = [(ORIGIN, SHOP), (ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("PUT"))];
        let mut headers: HeaderMap = asked.into_iter().collect();
        assert_eq!(Cors::preflight(&Method::OPTIONS, &headers), Some(&HeaderValue::from_static("PUT")));
        assert_eq!(Cors::preflight(&Method::GET, &headers), None);
        headers.remove(ACCESS_CONTROL_REQUEST_METHOD);
        assert_eq!(Cors::preflight(&Method::OPTIONS, &headers), None);
    }
}
