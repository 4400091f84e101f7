//! What is refused before anybody looks at what it asks for.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Request, Version};
use http_body::Body as _;

use super::{IncomingBody, Limits, Refusal};

/// Why a request is not handled, if it is not.
pub(super) fn of(request: &Request<IncomingBody>, limits: &Limits) -> Option<Refusal> {
    if !names_one_host(request) {
        return Some(Refusal::BadHost);
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

/// Whether all who decide by the host decide by the same one. Only HTTP/1.0 knows requests without.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let authority = request.uri().authority();
    let Some(host) = hosts.next() else {
        return authority.map_or(request.version() <= Version::HTTP_10, is_host);
    };
    let Ok(host) = Authority::try_from(host.as_bytes()) else { return false };
    hosts.next().is_none() && is_host(&host) && authority.is_none_or(|authority| *authority == host)
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
