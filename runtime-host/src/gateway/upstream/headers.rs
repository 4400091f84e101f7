//! What of a message is for one connection only, and so is not passed on (RFC 9110, 7.6.1).

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Request, Response, Uri, Version};

use super::{Origin, Server};
use crate::gateway::header_edits::strip_for_connection;

/// Headers that are always for one connection.
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
/// What headers begin with that the host tells components, which a server could take for its word.
const SPIN_PREFIX: &str = "spin-";

/// Takes out of an answer what is for one connection only. Its framing has been read already: a length beside a transfer coding
/// says nothing (RFC 9112, 6.3).
pub(super) fn from_server<B>(answer: &mut Response<B>) {
    let headers = answer.headers_mut();
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip_for_connection(headers);
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    // Each host speaks for itself (RFC 9110, 6.2).
    *answer.version_mut() = Version::HTTP_11;
}

/// Makes of a request from a client one to a server, whatever the connection. What the client said is for its connection only was
/// taken out when the request came.
pub(super) fn to_server<B>(request: &mut Request<B>, server: &Server, host: Option<&HeaderValue>) {
    let via = if request.version() == Version::HTTP_2 { VIA_HTTP2 } else { VIA_HTTP1 };
    let asked = request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    let headers = request.headers_mut();
    let wants_trailers = headers.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    let told: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with(SPIN_PREFIX)).cloned().collect();
    for name in told.iter().chain(&HOP_BY_HOP).chain(&[EXPECT, TRAILER]) {
        headers.remove(name);
    }
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.append(VIA, via);
    let own = || HeaderValue::try_from(server.authority()).ok();
    if let Some(host) = host.cloned().or_else(|| headers.get(HOST).cloned()).or(asked).or_else(own) {
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
        request.headers_mut().remove(TE);
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

    fn server() -> Server {
        Server::new(Origin { is_tls: false, host: "10.0.0.5".into(), port: 8080 }, None, 1)
    }

    #[test]
    fn what_is_for_one_connection_is_not_passed_on() {
        let mut request = request(&[
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic YTpi"),
            ("expect", "100-continue"),
            ("spin-path-info", "/forged"),
            ("x-kept", "1"),
        ]);
        to_server(&mut request, &server(), None);
        address(&mut request, &server().origin, false);
        let mut names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["host", "via", "x-kept"]);
    }

    #[test]
    fn an_answer_is_in_our_own_version_and_has_one_framing() {
        let answer = Response::builder().version(Version::HTTP_10).header("connection", "x-gone").header("x-gone", "1");
        let mut answer = answer.header("transfer-encoding", "chunked").header("content-length", "5").body(()).unwrap();
        from_server(&mut answer);
        assert!(answer.headers().is_empty() && answer.version() == Version::HTTP_11, "{answer:?}");
    }

    #[test]
    fn a_server_is_asked_for_the_host_of_the_client_unless_it_is_told_otherwise() {
        let asked = |host: Option<&'static str>, is_http2: bool| {
            let mut request = request(&[("te", "trailers")]);
            to_server(&mut request, &server(), host.map(HeaderValue::from_static).as_ref());
            if is_http2 {
                // A connection that turned out to be of no use was of the other kind.
                let mut other = request.clone();
                address(&mut other, &server().origin, false);
                address(&mut other, &server().origin, true);
                assert_eq!(other.uri().path(), "/a");
            }
            address(&mut request, &server().origin, is_http2);
            assert_eq!(request.headers().contains_key(TE), is_http2);
            (request.uri().to_string(), request.headers().get(HOST).cloned())
        };
        assert_eq!(asked(None, false), ("/a?b=1".into(), Some("shop.example".parse().unwrap())));
        assert_eq!(asked(Some("old.example"), false), ("/a?b=1".into(), Some("old.example".parse().unwrap())));
        assert_eq!(asked(None, true), ("http://shop.example/a?b=1".into(), None));
        assert_eq!(asked(Some("old.example"), true), ("http://old.example/a?b=1".into(), None));
    }
}
