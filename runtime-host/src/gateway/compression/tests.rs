//! What is negotiated, and which answers leave as they are.

use http::header::ETAG;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers
}

fn places(places: usize) -> &'static Semaphore {
    Box::leak(Box::new(Semaphore::new(places)))
}

/// What becomes of an answer of 2 KiB, and its headers.
fn answered(
    method: Method,
    asked: &[(&'static str, &'static str)],
    status: u16,
    answer: &[(&'static str, &'static str)],
) -> (Body, HeaderMap) {
    let compression = Compression::default();
    let mut answer = headers(answer);
    let wish = compression.wish(&method, &headers(asked));
    let status = StatusCode::from_u16(status).unwrap();
    let body = compression.apply(wish, places(1), status, &mut answer, Some(2048));
    (body, answer)
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip");
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn the_coding_is_the_one_that_the_client_likes_most() {
    use Encoding::{Brotli, Gzip, Zstd};
    for (accepted, expected) in [
        ("", None),
        ("gzip", Some(Gzip)),
        ("GZip", Some(Gzip)),
        ("x-gzip", Some(Gzip)),
        ("gzip, deflate, br", Some(Brotli)),
        ("gzip, deflate, br, zstd", Some(Zstd)),
        ("gzip;q=1.0, br;q=0.5, zstd; q=0.7", Some(Gzip)),
        ("br ; Q=0.5, gzip;q=0.4", Some(Brotli)),
        ("deflate, compress", None),
        ("identity", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=1", Some(Gzip)),
        ("gzip, identity", Some(Gzip)),
        ("identity;q=0", None),
        ("identity;q=0, gzip;q=0.1", Some(Gzip)),
        ("*", Some(Zstd)),
        ("*;q=0", None),
        ("*;q=0, gzip", Some(Gzip)),
        ("zstd;q=0, *", Some(Brotli)),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("gzip;q=high, br;q=-1, zstd;q=2", None),
        ("gzip;q=0.001,", Some(Gzip)),
    ] {
        let all = Compression::default().encodings;
        assert_eq!(negotiate(&all, &headers(&[("accept-encoding", accepted)])), expected, "{accepted}");
    }
    let lines = headers(&[("accept-encoding", "gzip;q=0.2"), ("accept-encoding", "br;q=0.3")]);
    assert_eq!(negotiate(&[Gzip, Brotli], &lines), Some(Brotli));
    assert_eq!(negotiate(&[Gzip], &lines), Some(Gzip), "only what the rule has");
    assert_eq!(negotiate(&[Gzip], &HeaderMap::new()), None);
}

#[test]
fn a_compressed_answer_no_longer_speaks_of_what_it_was() {
    let said = [
        JSON,
        ("content-length", "2048"),
        ("etag", "\"7\""),
        ("accept-ranges", "bytes"),
        ("repr-digest", "sha-256=:AA==:"),
        ("vary", "origin"),
    ];
    let (body, answer) = answered(Method::GET, &[GZIP], 200, &said);
    assert!(matches!(body, Body::Compressed(_)), "{body:?}");
    assert_eq!(
        answer,
        headers(&[
            JSON,
            ("etag", "W/\"7\""),
            ("vary", "origin"),
            ("vary", "accept-encoding"),
            ("content-encoding", "gzip")
        ])
    );
    let (body, answer) = answered(Method::HEAD, &[GZIP], 200, &said);
    assert!(matches!(body, Body::OfUnknownLength), "{body:?}");
    assert_eq!((answer.get(CONTENT_LENGTH), answer.get(CONTENT_ENCODING)), (None, None));
    assert_eq!(answer[ETAG], "W/\"7\"", "as GET would have it");
}

#[test]
fn caches_are_told_even_if_this_client_gets_the_answer_as_it_is() {
    for asked in [vec![], vec![("accept-encoding", "gzip;q=0")], vec![GZIP, ("cookie", "a=b")]] {
        let (body, answer) = answered(Method::GET, &asked, 200, &[JSON, ("etag", "\"7\""), ("content-length", "2048")]);
        assert!(matches!(body, Body::Untouched), "{asked:?}");
        let kept = [JSON, ("etag", "\"7\""), ("content-length", "2048"), ("vary", "accept-encoding")];
        assert_eq!(answer, headers(&kept), "{asked:?}");
    }
    let (_, answer) = answered(Method::GET, &[GZIP], 200, &[JSON, ("vary", "Accept-Encoding, Origin")]);
    assert_eq!(answer.get_all(VARY).iter().count(), 1, "once is enough");
}

#[test]
fn what_is_still_the_same_has_the_tag_that_the_client_knows() {
    let (body, answer) = answered(Method::GET, &[GZIP], 304, &[("etag", "\"7\"")]);
    assert!(matches!(body, Body::Untouched));
    assert_eq!(answer, headers(&[("etag", "W/\"7\""), ("vary", "accept-encoding")]));
    let (_, answer) = answered(Method::GET, &[], 304, &[("etag", "\"7\"")]);
    assert_eq!(answer[ETAG], "\"7\"");
}

#[test]
fn what_bears_secrets_stays_as_it_is() {
    let is_compressed = |asked: &[_], answer: &[_]| {
        let asked = [&[GZIP], asked].concat();
        let answer = [&[JSON], answer].concat();
        matches!(answered(Method::GET, &asked, 200, &answer).0, Body::Compressed(_))
    };
    assert!(is_compressed(&[], &[]));
    assert!(is_compressed(&[], &[("cache-control", "max-age=60")]));
    assert!(!is_compressed(&[], &[("set-cookie", "a=b")]));
    assert!(!is_compressed(&[], &[("set-cookie", "a=b"), ("cache-control", "public")]));
    assert!(!is_compressed(&[], &[("cache-control", "max-age=60, Private")]));
    assert!(!is_compressed(&[], &[("cache-control", "private=\"set-cookie\"")]));
    assert!(!is_compressed(&[], &[("cache-control", "no-store")]));
    for credentials in ["authorization", "x-api-key"] {
        assert!(!is_compressed(&[(credentials, "x")], &[]));
        assert!(!is_compressed(&[(credentials, "x")], &[("cache-control", "public")]));
    }
    assert!(!is_compressed(&[("cookie", "a=b")], &[]));
    assert!(is_compressed(&[("cookie", "a=b")], &[("cache-control", "public, max-age=60")]));

    let compression = Compression::default();
    let wish = compression.wish(&Method::GET, &headers(&[GZIP])).identified(true);
    let body = compression.apply(wish, places(1), StatusCode::OK, &mut headers(&[JSON]), None);
    assert!(matches!(body, Body::Untouched), "however it was found out who asks");
}

#[test]
fn what_gains_nothing_stays_as_it_is() {
    let untouched = |status: u16, answer: &[_]| {
        let (body, after) = answered(Method::GET, &[GZIP], status, answer);
        assert!(matches!(body, Body::Untouched), "{status} {answer:?}");
        assert_eq!(after, headers(answer), "{status} {answer:?}");
    };
    for status in [204, 206] {
        untouched(status, &[JSON]);
    }
    untouched(200, &[]);
    untouched(200, &[JSON, ("content-encoding", "br")]);
    untouched(200, &[JSON, ("cache-control", "public, no-transform")]);
    for (media_type, is_fit) in [
        ("application/json; charset=utf-8", true),
        ("application/problem+json", true),
        ("Text/HTML", true),
        ("image/svg+xml", true),
        ("application/javascript", true),
        ("image/png", false),
        ("video/mp4", false),
        ("application/zip", false),
        ("font/woff2", false),
        ("application/octet-stream", false),
        ("text/event-stream", false),
    ] {
        assert_eq!(is_compressible(&HeaderValue::from_static(media_type)), is_fit, "{media_type}");
    }
    let compression = Compression::default();
    let wish = compression.wish(&Method::GET, &headers(&[GZIP]));
    let sent = |bytes| compression.apply(wish, places(1), StatusCode::OK, &mut headers(&[JSON]), bytes);
    assert!(matches!(sent(Some(1023)), Body::Untouched));
    assert!(matches!(sent(Some(1024)), Body::Compressed(_)));
    assert!(matches!(sent(None), Body::Compressed(_)), "a stream");
}

#[test]
fn only_so_many_are_compressed_at_once() {
    let (compression, places) = (Compression::default(), places(1));
    let wish = compression.wish(&Method::GET, &headers(&[GZIP]));
    let send = || {
        let mut answer = headers(&[JSON]);
        (compression.apply(wish, places, StatusCode::OK, &mut answer, None), answer)
    };
    let (first, _) = send();
    let (second, answer) = send();
    assert!(matches!((&first, second), (Body::Compressed(_), Body::Untouched)));
    assert!(!answer.contains_key(CONTENT_ENCODING));
    drop(first);
    assert!(matches!(send().0, Body::Compressed(_)));
}
