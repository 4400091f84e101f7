//! HTTP/1 bodies: lengths that may be read in two ways, chunks that are malformed, requests hidden in what nobody reads.

use super::exchange::Then::{Closes, GoesOn};
use super::exchange::{HIDDEN, case, try_all};

/// Has the body counted that is framed by these header lines.
fn counted(framing: &str, body: &str) -> String {
    format!("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    counted("transfer-encoding: chunked", body)
}

fn posted(path: &str, framing: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_has_one_length_or_none() {
    let hidden = format!("0\r\n\r\n{HIDDEN}");
    let in_chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    let mut cases = vec![
        case("CL.TE", counted("content-length: 6\r\ntransfer-encoding: chunked", &hidden), &["200 0"], Closes),
        case("TE.CL", counted("transfer-encoding: chunked\r\ncontent-length: 4", &in_chunk), &["200 35"], Closes),
        case("TE", counted("transfer-encoding: chunked", &in_chunk), &["200 35"], GoesOn),
        case("TE in capitals", counted("Transfer-Encoding: CHUNKED", "0\r\n\r\n"), &["200 0"], GoesOn),
        case("TE after a tab", counted("transfer-encoding:\tchunked\t", "0\r\n\r\n"), &["200 0"], GoesOn),
        case("lengths alike", counted("content-length: 5\r\ncontent-length: 5", "hello"), &["200 5"], GoesOn),
        case("length with zeros", counted("content-length: 0005", "hello"), &["200 5"], GoesOn),
        case(
            "HTTP/1.0 and TE",
            "POST /misbehave/count HTTP/1.0\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            &["400"],
            Closes,
        ),
    ];
    for obfuscated in [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: 'chunked'",
        "transfer-encoding: \x0bchunked",
        "transfer-encoding: chunked\x00",
        "transfer-encoding:",
        "transfer-encoding : chunked",
        "transfer-encoding\n: chunked",
        " transfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
        "transfer-encoding: chunked\rx: y",
        "transfer-encoding: \r\n chunked",
    ] {
        let sent = counted(&format!("content-length: 5\r\n{obfuscated}"), &hidden);
        cases.push(case(&format!("{obfuscated:?}"), sent, &["400"], Closes));
    }
    for known_in_part in [
        "chunked, chunked",
        "identity, chunked",
        "gzip, chunked",
        "identity\r\ntransfer-encoding: chunked",
        "chunked\r\ntransfer-encoding: chunked",
    ] {
        let sent = counted(&format!("content-length: 5\r\ntransfer-encoding: {known_in_part}"), &hidden);
        cases.push(case(&format!("{known_in_part:?}"), sent, &["501 unknown-transfer-coding"], Closes));
    }
    for length in [
        "-5",
        "+5",
        "0x5",
        "5 5",
        "5, 5",
        "5,6",
        "",
        "5.0",
        "5e0",
        "\u{665}",
        "99999999999999999999",
        "5\r\ncontent-length: 6",
    ] {
        let sent = counted(&format!("content-length: {length}"), &format!("hello{HIDDEN}"));
        cases.push(case(&format!("length {length:?}"), sent, &["400"], Closes));
    }
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_read_in_one_way_only() {
    let mut cases = vec![
        case("extension", chunked("5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"), &["200 5"], GoesOn),
        case("capitals and zeros", chunked("00A\r\nhellohello\r\n000\r\n\r\n"), &["200 10"], GoesOn),
        // The second LF begins a trailer, and what seems to be a request is one as well.
        case("LF at the end", chunked(&format!("5\r\nhello\r\n0\r\n\n{HIDDEN}")), &["200 5"], GoesOn),
        case("trailers", chunked("5\r\nhello\r\n0\r\nx: y\r\ncontent-length: 3\r\n\r\n"), &["200 5"], GoesOn),
    ];
    let long = "x".repeat(20 << 10);
    let trailers = "x: y\r\n".repeat(200);
    for (name, body) in [
        ("long extension", format!("5;{long}\r\nhello\r\n0\r\n\r\n")),
        ("long trailer", format!("5\r\nhello\r\n0\r\nx: {long}{long}{long}{long}\r\n\r\n")),
        ("many trailers", format!("5\r\nhello\r\n0\r\n{trailers}\r\n")),
        ("size overflows", "10000000000000005\r\nhello\r\n0\r\n\r\n".into()),
        ("size overflows to 5", "fffffffffffffffff5\r\nhello\r\n0\r\n\r\n".into()),
        ("negative size", "-5\r\nhello\r\n0\r\n\r\n".into()),
        ("size with plus", "+5\r\nhello\r\n0\r\n\r\n".into()),
        ("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n".into()),
        ("size after space", " 5\r\nhello\r\n0\r\n\r\n".into()),
        ("no size", "\r\nhello\r\n0\r\n\r\n".into()),
        ("size with underscore", "1_0\r\nhello\r\n0\r\n\r\n".into()),
        ("LF after size", "5\nhello\r\n0\r\n\r\n".into()),
        ("CR after size", "5\rhello\r\n0\r\n\r\n".into()),
        ("LF in extension", "5;a\nhello\r\n0\r\n\r\n".into()),
        ("LF after data", "5\r\nhello\n0\r\n\r\n".into()),
        ("more data than said", "5\r\nhello!\r\n0\r\n\r\n".into()),
        ("less data than said", "6\r\nhello\r\n0\r\n\r\n".into()),
    ] {
        cases.push(case(name, chunked(&format!("{body}{HIDDEN}")), &["400 broken-body"], Closes));
    }
    let host = try_all(cases).await;
    let labels = [("component", "misbehave"), ("status_class", "5xx")];
    let failed = host.metrics().await.sum("bodega_http_requests_total", &labels);
    assert_eq!(failed, 0.0, "no revision is taken back because of its clients");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_a_body_that_nobody_reads() {
    let hello = "200 Hello, world!";
    let mut cases = Vec::new();
    let whole = format!("content-length: {}", HIDDEN.len());
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    for (path, answer) in [
        ("/misbehave/denied", "403 forbidden"),
        ("/misbehave/members", "401 unauthenticated"),
        ("/misbehave/small", "413 content-too-large"),
        ("/nowhere", "404 no-such-route"),
        ("/fixed", "200 fixed"),
        ("/hello/", hello),
        ("/misbehave/ignore-body", "200 ignored"),
        ("/misbehave//ambiguous", "400 ambiguous-path"),
    ] {
        cases.push(case(&format!("{path}, whole"), posted(path, &whole, HIDDEN), &[answer], GoesOn));
        cases.push(case(
            &format!("{path}, waits for 100"),
            posted(path, &format!("{whole}\r\nexpect: 100-continue"), HIDDEN),
            &[answer],
            GoesOn,
        ));
        // The length is said before, so the rest is part of the body as well.
        let more = "content-length: 1000000";
        cases.push(case(&format!("{path}, half"), posted(path, more, HIDDEN), &[answer], Closes));
        if path != "/misbehave/small" {
            cases.push(case(
                &format!("{path}, chunked"),
                posted(path, "transfer-encoding: chunked", &chunk),
                &[answer],
                GoesOn,
            ));
            cases.push(case(
                &format!("{path}, broken chunks"),
                posted(path, "transfer-encoding: chunked", &format!("zz\r\n{HIDDEN}")),
                &[answer],
                Closes,
            ));
        }
    }
    let large = "content-length: 100000000000";
    cases.push(case(
        "larger than allowed",
        posted("/misbehave/count", large, HIDDEN),
        &["413 content-too-large"],
        Closes,
    ));
    try_all(cases).await;
}
