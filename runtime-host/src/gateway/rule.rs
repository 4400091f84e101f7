//! Which requests a rule is for.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::policies::Policies;
use crate::config_file::Position;
use crate::router::RoutePattern;

/// What no path holds as it is (RFC 3986, 3.3).
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'%');

/// A rule of `gateway.toml`: the first whose matcher fits a request says what is done with it.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matcher: Matcher,
    pub(super) policies: Policies,
    pub(super) position: Position,
}

/// What a request has to be; what is left out may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Matcher {
    pub(super) path: Option<RoutePattern>,
    pub(super) methods: Option<Vec<Method>>,
    /// In lower case, without port.
    pub(super) host: Option<String>,
    /// Headers with their values; without one any will do.
    pub(super) headers: Vec<(HeaderName, Option<HeaderValue>)>,
    /// Parameters of the query, percent-decoded, with their values.
    pub(super) query: Vec<(String, Option<String>)>,
}

/// A request that looks for its rule.
pub(super) struct Asked<'r> {
    request: &'r Parts,
    /// In lower case; read for the first rule that asks for it.
    host: OnceCell<Option<String>>,
}

impl<'r> Asked<'r> {
    pub(super) fn new(request: &'r Parts) -> Self {
        Self { request, host: OnceCell::new() }
    }

    fn host(&self) -> Option<&str> {
        self.host.get_or_init(|| asked_host(self.request)).as_deref()
    }
}

impl Matcher {
    pub(super) fn matches(&self, asked: &Asked<'_>) -> bool {
        let has_headers = || {
            self.headers.iter().all(|(name, value)| {
                let mut values = asked.request.headers.get_all(name).iter();
                values.any(|found| value.as_ref().is_none_or(|value| value == found))
            })
        };
        self.matches_method(asked, &asked.request.method) && has_headers()
    }

    /// Whether a request that may be asked for by this preflight would fit; its headers are not known yet.
    pub(super) fn matches_preflight(&self, preflight: &Asked<'_>, about: &Method) -> bool {
        self.matches_method(preflight, about)
    }

    fn matches_method(&self, asked: &Asked<'_>, method: &Method) -> bool {
        let uri = &asked.request.uri;
        self.methods.as_ref().is_none_or(|methods| has(methods, method))
            && self.path.as_ref().is_none_or(|path| matches_path(path, uri.path()))
            && self.host.as_ref().is_none_or(|host| asked.host() == Some(host))
            && (self.query.is_empty() || self.matches_query(uri.query().unwrap_or_default()))
    }

    fn matches_query(&self, query: &str) -> bool {
        self.query.iter().all(|(name, value)| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.any(|(found, given)| found == **name && value.as_ref().is_none_or(|value| given == **value))
        })
    }

    /// Whether every request that `other` is for is for this one too, as far as can be told from how they are written.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(path), Some(other)) => path.covers(other),
        };
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(methods), Some(others)) => others.iter().all(|method| has(methods, method)),
        };
        let host = self.host.is_none() || self.host == other.host;
        let headers = self.headers.iter().all(|(name, value)| {
            other.headers.iter().any(|(found, given)| found == name && (value.is_none() || value == given))
        });
        let query = self.query.iter().all(|(name, value)| {
            other.query.iter().any(|(found, given)| found == name && (value.is_none() || value == given))
        });
        path && methods && host && headers && query
    }
}

/// Whether components may read a path in more than one way: some see folders in it that others do not.
pub(super) fn is_ambiguous(path: &str) -> bool {
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let slashes = decoded.iter().filter(|byte| **byte == b'/').count();
    let has_hidden = decoded.iter().any(|byte| matches!(byte, b'\\' | 0)) || slashes != path.matches('/').count();
    let mut segments = decoded.split(|byte| *byte == b'/');
    // Java servers leave out what is after a `;` (RFC 3986, 3.3 calls it a parameter).
    let is_dots = |segment: &[u8]| {
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    };
    has_hidden || segments.any(is_dots) || path.contains("//")
}

/// Who may be asked with GET may be asked with HEAD, which gives away the same.
fn has(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}

/// As it is written, or as a component may read it.
pub(super) fn matches_path(pattern: &RoutePattern, path: &str) -> bool {
    pattern.matches(path) || (path.contains('%') && pattern.matches(&percent_decode_str(path).decode_utf8_lossy()))
}

/// The path in the writing in which the pattern is for it.
pub(super) fn path_for<'p>(pattern: &RoutePattern, path: &'p str) -> Option<Cow<'p, str>> {
    if pattern.matches(path) {
        return Some(path.into());
    }
    // Of the same path, with only that encoded which has to be.
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    let path = utf8_percent_encode(&decoded, NOT_IN_PATHS).to_string();
    pattern.matches(&path).then_some(Cow::Owned(path))
}

/// The host that the client asks for, in lower case and without a dot at its end.
fn asked_host(request: &Parts) -> Option<String> {
    let in_header = || Authority::try_from(request.headers.get(http::header::HOST)?.as_bytes()).ok();
    let authority = request.uri.authority().cloned().or_else(in_header)?;
    Some(authority.host().trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: Method, uri: &str) -> Parts {
        let request = Request::builder().method(method).uri(uri).header("host", "Shop.Example:8080");
        request.header("x-kind", "a").header("x-kind", "b").body(()).unwrap().into_parts().0
    }

    fn path(path: &str) -> Option<RoutePattern> {
        Some(path.parse().unwrap())
    }

    #[test]
    fn a_matcher_asks_for_all_that_it_names() {
        let get = parts(Method::GET, "/api/orders/7?dry%20run=1&x");
        let any = Matcher::default();
        assert!(any.matches(&Asked::new(&get)));
        let is = |matcher: Matcher| matcher.matches(&Asked::new(&get));
        assert!(is(Matcher { path: path("/api/orders/:id"), ..Matcher::default() }));
        assert!(!is(Matcher { path: path("/api/orders"), ..Matcher::default() }));
        let encoded = parts(Method::HEAD, "/%61pi/orders/7");
        assert!(Matcher { path: path("/api/orders/:id"), ..Matcher::default() }.matches(&Asked::new(&encoded)));
        assert!(Matcher { methods: Some(vec![Method::GET]), ..Matcher::default() }.matches(&Asked::new(&encoded)));
        assert!(is(Matcher { methods: Some(vec![Method::POST, Method::GET]), ..Matcher::default() }));
        assert!(!is(Matcher { methods: Some(vec![Method::POST]), ..Matcher::default() }));
        assert!(is(Matcher { host: Some("shop.example".into()), ..Matcher::default() }));
        assert!(!is(Matcher { host: Some("other.example".into()), ..Matcher::default() }));
        let header = |value: Option<&'static str>| {
            let value = value.map(HeaderValue::from_static);
            is(Matcher { headers: vec![(HeaderName::from_static("x-kind"), value)], ..Matcher::default() })
        };
        assert!(header(None) && header(Some("b")) && !header(Some("c")));
        let query = |name: &str, value: Option<&str>| {
            is(Matcher { query: vec![(name.into(), value.map(str::to_owned))], ..Matcher::default() })
        };
        assert!(query("x", None) && query("dry run", Some("1")));
        assert!(!query("dry run", Some("2")) && !query("y", None));
    }

    #[test]
    fn a_preflight_is_for_the_rule_of_what_it_is_about() {
        let mut preflight = parts(Method::OPTIONS, "/a");
        preflight.headers.insert("origin", HeaderValue::from_static("https://shop.example"));
        preflight.headers.insert("access-control-request-method", HeaderValue::from_static("POST"));
        let of = |method: Method| Matcher {
            methods: Some(vec![method]),
            headers: vec![(HeaderName::from_static("x-csrf"), None)],
            ..Matcher::default()
        };
        assert!(of(Method::POST).matches_preflight(&Asked::new(&preflight), &Method::POST));
        assert!(!of(Method::PUT).matches_preflight(&Asked::new(&preflight), &Method::POST));
        assert!(!of(Method::POST).matches(&Asked::new(&preflight)), "as a request it is what it is");
    }

    #[test]
    fn paths_that_may_be_read_otherwise_are_found() {
        for path in [
            "/a//b",
            "/a/./b",
            "/a/../b",
            "/a/%2e%2e/b",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/..",
            "//a",
            "/a/..;/b",
            "/a/.;x=1/b",
            "/a/..%3b/b",
        ] {
            assert!(is_ambiguous(path), "{path}");
        }
        for path in ["/", "/a/b/", "/a.b/..c", "/%61", "/caf%C3%A9", "/a:b@c"] {
            assert!(!is_ambiguous(path), "{path}");
        }
    }

    #[test]
    fn a_rule_that_asks_for_less_covers_one_that_asks_for_more() {
        let of = |pattern: &str, methods: Option<&[Method]>| Matcher {
            path: path(pattern),
            methods: methods.map(<[Method]>::to_vec),
            ..Matcher::default()
        };
        assert!(Matcher::default().covers(&of("/a", None)));
        assert!(of("/a/...", None).covers(&of("/a/b", Some(&[Method::GET]))));
        assert!(!of("/a/...", Some(&[Method::GET])).covers(&of("/a/b", None)));
        assert!(of("/a/:x", None).covers(&of("/a/b", None)));
        assert!(!of("/a/b", None).covers(&of("/a/:x", None)));
        assert!(!of("/a", None).covers(&Matcher::default()));
    }
}
