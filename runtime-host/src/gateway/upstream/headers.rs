//! What of a message is for one connection only, and so is not passed on (RFC 9110, 7.6.1).

use http::header::{
    CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};

use super::Origin;

/// Headers that are always for one connection, and those that servers would mistake for the host's word on a route.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];
const EXPECT: HeaderName = http::header::EXPECT;
const VIA_HTTP1: HeaderValue = HeaderValue::from_static("1.1 bodega");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 bodega");
/// What headers begin with that the host tells components.
const SPIN_PREFIX: &str = "spin-";

/// Takes out what is for one connection only.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let listed = listed.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
    let listed: Vec<HeaderName> = listed.collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Makes of a request from a client one to a server, whatever the connection.
pub(super) fn to_server<B>(request: &mut Request<B>, origin: &Origin, host: Option<&HeaderValue>) {
    let via = if request.version() == Version::HTTP_2 { VIA_HTTP2 } else { VIA_HTTP1 };
    let asked = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    let headers = request.headers_mut();
    strip_hop_by_hop(headers);
    let told: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(SPIN_PREFIX)).cloned().collect();
    for name in told.iter().chain(&[EXPECT, TRAILER]) {
        headers.remove(name);
    }
    headers.append(VIA, via);
    let own = || HeaderValue::try_from(origin.authority()).ok();
    let host = host.cloned().or_else(|| headers.get(HOST).cloned()).or(asked).or_else(own);
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
}

/// Writes it as HTTP/2 or HTTP/1.1 does: with the host in the URI or in a header.
pub(super) fn address<B>(request: &mut Request<B>, origin: &Origin, is_http2: bool) {
    let mut parts = request.uri().clone().into_parts();
    let path = parts.path_and_query.take().unwrap_or(PathAndQuery::from_static("/"));
    if is_http2 {
        let host = request.headers_mut().remove(HOST);
        parts.scheme = Some(if origin.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok()).or(parts.authority);
        parts.path_and_query = Some(path);
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        *request.version_mut() = Version::HTTP_2;
    } else {
        let in_uri = parts.authority.and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
        if let Some(host) = in_uri {
            request.headers_mut().entry(HOST).or_insert(host);
        }
        *request.uri_mut() = path.into();
        *request.version_mut() = Version::HTTP_11;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let builder = Request::builder().uri("http://shop.example/a?b=1");
        headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(()).unwrap()
    }

    fn origin() -> Origin {
        Origin { is_tls: false, host: "10.0.0.5".into(), port: 8080 }
    }

    #[test]
    fn what_is_for_one_connection_is_not_passed_on() {
        let mut request = request(&[
            ("connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic YTpi"),
            ("expect", "100-continue"),
            ("spin-path-info", "/forged"),
            ("x-kept", "1"),
        ]);
        to_server(&mut request, &origin(), None);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "via", "x-kept"]);
    }

    #[test]
    fn a_server_is_asked_for_the_host_of_the_client_unless_it_is_told_otherwise() {
        let asked = |host: Option<&'static str>, is_http2: bool| {
            let mut request = request(&[]);
            to_server(&mut request, &origin(), host.map(HeaderValue::from_static).as_ref());
            // A connection that turned out to be of no use may have been of the other kind.
            for is_http2 in [!is_http2, is_http2] {
                address(&mut request, &origin(), is_http2);
            }
            (request.uri().to_string(), request.headers().get(HOST).cloned())
        };
        assert_eq!(asked(None, false), ("/a?b=1".into(), Some("shop.example".parse().unwrap())));
        assert_eq!(asked(Some("old.example"), false), ("/a?b=1".into(), Some("old.example".parse().unwrap())));
        assert_eq!(asked(None, true), ("http://shop.example/a?b=1".into(), None));
        assert_eq!(asked(Some("old.example"), true), ("http://old.example/a?b=1".into(), None));
    }
}
