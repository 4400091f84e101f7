//! What is refused before anybody looks at what it asks for.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::{Authority, Scheme};
use http::{Request, Uri, Version};
use http_body::Body as _;

use super::{IncomingBody, Limits, Refusal};

/// Why a request is not handled, if it is not. One that is has its host in its URI, whichever way it came.
pub(super) fn of(request: &mut Request<IncomingBody>, limits: &Limits, scheme: &Scheme) -> Option<Refusal> {
    match host(request) {
        Err(BadHost) => return Some(Refusal::BadHost),
        // `*` is of no host's paths.
        Ok(Some(host)) if request.uri().authority().is_none() && request.uri().path().starts_with('/') => {
            name_host(request.uri_mut(), host, scheme);
        }
        Ok(_) => {}
    }
    if !is_coded_once(request) {
        return Some(Refusal::UnknownTransferCoding);
    }
    let uri_bytes = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if uri_bytes > limits.uri_bytes_max {
        return Some(Refusal::UriTooLong);
    }
    // The lower bound is what `Content-Length` announces.
    let announced = request.body().size_hint().lower();
    limits.body_bytes_max.is_some_and(|max| announced > max).then_some(Refusal::ContentTooLarge)
}

/// Whether nothing more is to be read from an HTTP/1 client: whoever stands in between may have read its requests otherwise.
pub(super) fn ends_connection(refusal: Refusal) -> bool {
    matches!(refusal, Refusal::BadHost | Refusal::UnknownTransferCoding)
}

/// Somebody could decide by another host than somebody else.
struct BadHost;

/// The host by which all decide who decide by it. Only HTTP/1.0 knows requests without.
fn host<B>(request: &Request<B>) -> Result<Option<Authority>, BadHost> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let authority = request.uri().authority();
    let host = match hosts.next() {
        None if authority.is_none() && request.version() <= Version::HTTP_10 => return Ok(None),
        None => authority.cloned().ok_or(BadHost)?,
        Some(host) => Authority::try_from(host.as_bytes()).map_err(|_| BadHost)?,
    };
    let is_one = hosts.next().is_none() && authority.is_none_or(|authority| *authority == host);
    if is_one && is_host(&host) { Ok(Some(host)) } else { Err(BadHost) }
}

fn name_host(uri: &mut Uri, host: Authority, scheme: &Scheme) {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(host);
    // All parts are there, which is all that a URI needs.
    if let Ok(named) = Uri::from_parts(parts) {
        *uri = named;
    }
}

/// A name or an address, perhaps with a port; no user (RFC 9110, 4.2.4).
fn is_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    let is_port = |port: &str| {
        port.strip_prefix(':')
            .is_some_and(|digits| digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    !authority.host().is_empty() && port.is_some_and(|port| port.is_empty() || is_port(port))
}

/// Other codings are not known here. Where `chunked` is said twice, or after others, some read the body in another way.
fn is_coded_once<B>(request: &Request<B>) -> bool {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let first = codings.next();
    first.is_none_or(|first| first.as_bytes().eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(uri: &str, hosts: &[&str], version: Version) -> Option<Option<String>> {
        let request = Request::get(uri).version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host)).body(()).unwrap();
        host(&request).ok().map(|host| host.map(|host| host.to_string()))
    }

    #[test]
    fn the_host_is_in_the_uri_or_in_the_header_or_in_both_alike() {
        let found = |uri: &str, hosts: &[&str]| found(uri, hosts, Version::HTTP_11).flatten();
        assert_eq!(found("/a", &["shop.example:8080"]).as_deref(), Some("shop.example:8080"));
        assert_eq!(found("http://a.example/a", &[]).as_deref(), Some("a.example"));
        assert_eq!(found("http://a.example/a", &["A.example"]).as_deref(), Some("A.example"));
        for bad in ["", "a b", "a/b", "http://a", "[::1"] {
            assert_eq!(found("/a", &[bad]), None, "{bad:?}");
        }
        for (uri, hosts) in [
            ("http://a.example/a", &["b.example"][..]),
            ("http://a.example:8080/a", &["a.example"]),
            ("/a", &["a.example", "a.example"]),
            ("/a", &[]),
        ] {
            assert_eq!(found(uri, hosts), None, "{uri} {hosts:?}");
        }
    }

    #[test]
    fn only_the_former_version_knows_requests_without_a_host() {
        assert_eq!(found("/a", &[], Version::HTTP_10), Some(None));
        assert_eq!(found("/a", &[], Version::HTTP_11), None);
    }

    #[test]
    fn the_host_is_named_in_the_uri() {
        let named = |uri: &str| {
            let mut uri: Uri = uri.parse().unwrap();
            name_host(&mut uri, Authority::from_static("shop.example:80"), &Scheme::HTTPS);
            uri.to_string()
        };
        assert_eq!(named("/a?b=%20"), "https://shop.example:80/a?b=%20");
        assert_eq!(named("/"), "https://shop.example:80/");
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        let is_host = |text: &str| text.parse().is_ok_and(|authority| is_host(&authority));
        for host in ["shop", "shop.example.", "shop:80", "shop:", "127.0.0.1:3000", "[::1]", "[::1]:65535"] {
            assert!(is_host(host), "{host}");
        }
        for none in
            ["", ":80", "u@shop", "u:p@shop:80", "@shop", "shop:x", "shop:+80", "shop:123456", "shop:80:80", "[::1]x"]
        {
            assert!(!is_host(none), "{none}");
        }
    }
}
