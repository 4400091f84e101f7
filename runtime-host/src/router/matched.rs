//! A route that matched a path, and the headers that tell the component so.

use std::sync::LazyLock;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::pattern::{RoutePattern, Segment};
use super::{inner, split_segment};

const FULL_URL: HeaderName = HeaderName::from_static("spin-full-url");
const PATH_INFO: HeaderName = HeaderName::from_static("spin-path-info");
const MATCHED_ROUTE: HeaderName = HeaderName::from_static("spin-matched-route");
const COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-component-route");
const RAW_COMPONENT_ROUTE: HeaderName = HeaderName::from_static("spin-raw-component-route");
const BASE_PATH: HeaderName = HeaderName::from_static("spin-base-path");
const CLIENT_ADDR: HeaderName = HeaderName::from_static("spin-client-addr");
/// What the names of the headers of parameters begin with.
pub(super) const PARAM_PREFIX: &str = "spin-path-match-";
/// Headers that are set for every request, which is what a map of them has to make room for.
const HEADERS: usize = 7;

/// The route that Spin reports for a request from another component, whatever the path.
pub const CHAINED_ROUTE: &str = "/...";
#[expect(clippy::expect_used, reason = "it is a valid pattern, which a test shows")]
static CHAINED: LazyLock<RoutePattern> = LazyLock::new(|| CHAINED_ROUTE.parse().expect("a valid pattern"));

/// A path and the route that answers it.
#[derive(Debug, Clone, Copy)]
pub struct Match<'r, 'p, T> {
    /// What answers.
    pub target: &'r T,
    pattern: &'r RoutePattern,
    path: &'p str,
}

/// What the headers say of a request besides its route.
#[derive(Debug)]
pub struct RequestFacts<'a> {
    /// `http` or `https`, as the client connected.
    pub scheme: &'a Scheme,
    /// The host that the client asked for, with its port if it gave one.
    pub host: &'a str,
    /// The request's path and query.
    pub uri: &'a Uri,
    /// The other end of the connection, as its address is written.
    pub client: &'a HeaderValue,
}

impl<'r, 'p, T> Match<'r, 'p, T> {
    pub(super) fn new(target: &'r T, pattern: &'r RoutePattern, path: &'p str) -> Self {
        Self { target, pattern, path }
    }

    /// The match of a request that one component sends to another by name: the route is `/...`.
    pub fn chained(target: &'r T, path: &'p str) -> Self {
        Self { target, pattern: &CHAINED, path }
    }

    /// The route's pattern.
    pub fn pattern(&self) -> &'r RoutePattern {
        self.pattern
    }

    /// What the trailing `/...` stands for, with the slash before it and one after it if the path ends in one;
    /// empty for a route without a wildcard.
    pub fn path_info(&self) -> &'p str {
        if !self.pattern.has_wildcard() {
            return "";
        }
        let ends_with_slash = self.path.ends_with('/');
        let mut rest = inner(self.path);
        for _ in self.pattern.segments() {
            rest = rest.and_then(|rest| split_segment(rest).1);
        }
        let Some(rest) = rest else {
            return if ends_with_slash { "/" } else { "" };
        };
        // `rest` lies within `path` with a slash before it, so that both ends can be widened by a slash.
        let start = rest.as_ptr().addr() - self.path.as_ptr().addr();
        &self.path[start - 1..start + rest.len() + usize::from(ends_with_slash)]
    }

    /// The headers that carry the parameters, with their values; a parameter `user_id` is in
    /// `spin-path-match-user-id`.
    pub fn params(&self) -> impl Iterator<Item = (&'r HeaderName, &'p str)> {
        let mut rest = inner(self.path);
        self.pattern.segments().iter().filter_map(move |segment| {
            let (text, after) = split_segment(rest?);
            rest = after;
            match segment {
                Segment::Param(header) => Some((header, text)),
                Segment::Literal(_) => None,
            }
        })
    }

    /// Sets the `spin-*` headers that components are promised, in place of what the client sent under those names.
    pub fn set_headers(&self, request: &RequestFacts<'_>, headers: &mut HeaderMap) {
        // Those that are not replaced below: otherwise a client could pass off as Spin's word what it made up.
        let forged: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with(PARAM_PREFIX)).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
        headers.reserve(HEADERS);
        headers.insert(FULL_URL, full_url(request));
        headers.insert(PATH_INFO, value(self.path_info()));
        headers.insert(MATCHED_ROUTE, self.pattern.matched_header.clone());
        headers.insert(COMPONENT_ROUTE, self.pattern.prefix_header.clone());
        headers.insert(RAW_COMPONENT_ROUTE, self.pattern.raw_header.clone());
        headers.insert(BASE_PATH, HeaderValue::from_static("/"));
        headers.insert(CLIENT_ADDR, request.client.clone());
        for (name, text) in self.params() {
            headers.insert(name, value(text));
        }
    }
}

/// Put together in one piece, which the header then keeps.
fn full_url(request: &RequestFacts<'_>) -> HeaderValue {
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    let parts = [request.scheme.as_str(), "://", request.host, path];
    HeaderValue::from_maybe_shared(Bytes::from(parts.concat())).unwrap_or(HeaderValue::from_static(""))
}

fn value(text: &str) -> HeaderValue {
    // Parts of a URI and addresses hold no control characters, which are all that a header value refuses.
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static(""))
}
