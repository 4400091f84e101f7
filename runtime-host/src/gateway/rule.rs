//! Which requests a rule is for.

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method};

use super::policies::Policies;
use crate::config_file::Position;
use crate::router::RoutePattern;

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

impl Matcher {
    pub(super) fn matches(&self, request: &Parts) -> bool {
        self.path.as_ref().is_none_or(|path| path.matches(request.uri.path()))
            && self.methods.as_ref().is_none_or(|methods| methods.contains(&request.method))
            && self.host.as_ref().is_none_or(|host| asked_host(request).is_some_and(|asked| asked == *host))
            && self.headers.iter().all(|(name, value)| {
                let mut values = request.headers.get_all(name).iter();
                values.any(|found| value.as_ref().is_none_or(|value| value == found))
            })
            && (self.query.is_empty() || self.matches_query(request.uri.query().unwrap_or_default()))
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
            (Some(methods), Some(others)) => others.iter().all(|method| methods.contains(method)),
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

/// The host that the client asks for, in lower case.
fn asked_host(request: &Parts) -> Option<String> {
    let in_header = || Authority::try_from(request.headers.get(http::header::HOST)?.as_bytes()).ok();
    let authority = request.uri.authority().cloned().or_else(in_header)?;
    Some(authority.host().to_ascii_lowercase())
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
        assert!(any.matches(&get));
        let is = |matcher: Matcher| matcher.matches(&get);
        assert!(is(Matcher { path: path("/api/orders/:id"), ..Matcher::default() }));
        assert!(!is(Matcher { path: path("/api/orders"), ..Matcher::default() }));
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
