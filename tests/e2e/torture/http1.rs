//! HTTP/1: framing that may be read in two ways, heads that are malformed, requests hidden in bodies.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tests::host::Host;
use tests::raw::RawConnection;

use super::{app, assert_serves};

/// How long the end of a connection may take: less than any timeout of the host.
const CLOSES_WITHIN: Duration = Duration::from_secs(3);
/// Cases that are tried at the same time.
const AT_ONCE: usize = 8;
/// A request that must be answered only where it is one.
const HIDDEN: &str = "GET /fixed HTTP/1.1\r\nhost: shop\r\n\r\n";
const LAST: &str = "GET /fixed HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";

/// What a client sends, and what it gets.
struct Case {
    name: String,
    sent: Vec<u8>,
    /// Each answer's status and body; of a problem document its type.
    answers: Vec<&'static str>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Closes,
    GoesOn,
}

use Then::{Closes, GoesOn};

fn case(name: &str, sent: impl AsRef<[u8]>, answers: &[&'static str], then: Then) -> Case {
    Case { name: name.to_owned(), sent: sent.as_ref().to_vec(), answers: answers.to_vec(), then }
}

/// Has the body counted that is framed by these header lines.
fn counted(framing: &str, body: &str) -> String {
    format!("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n{body}")
}

fn chunked(body: &str) -> String {
    counted("transfer-encoding: chunked", body)
}

fn get(lines: &str) -> String {
    format!("GET /hello/ HTTP/1.1\r\n{lines}\r\n\r\n")
}

fn posted(path: &str, framing: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: shop\r\n{framing}\r\n\r\n{body}")
}

async fn try_all(cases: Vec<Case>) -> Host {
    let running = app().start().await;
    let mut wrong = Vec::new();
    let host = &running;
    let trying = stream::iter(&cases).map(async |case| (case, outcome(host, case).await));
    for (case, found) in trying.buffered(AT_ONCE).collect::<Vec<_>>().await {
        if found != (case.answers.iter().map(|answer| (*answer).to_owned()).collect(), case.then) {
            wrong.push(format!("{}: {found:?}, not {:?} {:?}", case.name, case.answers, case.then));
        }
    }
    assert_serves(host, "all cases").await;
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    running
}

async fn outcome(host: &Host, case: &Case) -> (Vec<String>, Then) {
    let mut connection = RawConnection::open(host).await;
    connection.send(&case.sent).await;
    if case.then == GoesOn {
        connection.send(LAST).await;
    }
    let (read, is_closed) = connection.read_for(CLOSES_WITHIN).await;
    let mut answers = answers(&read, case.sent.starts_with(b"HEAD"));
    // The answer to the last request is no answer to the case.
    let went_on = case.then == GoesOn
        && answers.len() > case.answers.len()
        && answers.last().is_some_and(|last| last == "200 fixed");
    if went_on {
        answers.pop();
    }
    if !is_closed {
        answers.push("no end".to_owned());
    }
    (answers, if went_on { GoesOn } else { Closes })
}

/// All answers in what a connection has sent.
fn answers(mut read: &str, is_head: bool) -> Vec<String> {
    let mut answers = Vec::new();
    while let Some((head, rest)) = read.split_once("\r\n\r\n") {
        let status = head.split(' ').nth(1).unwrap_or(head);
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let has_none = matches!(status, "100" | "204" | "304") || (is_head && answers.is_empty());
        let (body, rest) = if has_none {
            (String::new(), rest)
        } else if header("transfer-encoding").is_some() {
            unchunk(rest)
        } else {
            let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(rest.len());
            let (body, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
            (body.to_owned(), rest)
        };
        let problem = body.split_once("urn:bodega:problem:").and_then(|(_, rest)| rest.split('"').next());
        answers.push(format!("{status} {}", problem.unwrap_or(body.trim_end())).trim_end().to_owned());
        read = rest;
    }
    if !read.is_empty() {
        answers.push(format!("no answer: {read:?}"));
    }
    answers
}

fn unchunk(mut rest: &str) -> (String, &str) {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        body.push_str(after.get(..size).unwrap_or(after));
        rest = after.get(size + 2..).unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    (body, rest)
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
async fn heads_are_well_formed_or_refused() {
    let hello = "200 Hello, world!";
    let mut cases = vec![
        case("empty line first", format!("\r\n{}", get("host: shop")), &[hello], GoesOn),
        case("LF ends lines", "GET /hello/ HTTP/1.1\nhost: shop\n\n", &[hello], GoesOn),
        case("unknown method", "FETCH /hello/ HTTP/1.1\r\nhost: shop\r\n\r\n", &[hello], GoesOn),
        case("HTTP/1.0", "GET /hello/ HTTP/1.0\r\nhost: shop\r\n\r\n", &[hello], Closes),
        case(
            "HTTP/1.0 that goes on",
            "GET /hello/ HTTP/1.0\r\nhost: shop\r\nconnection: keep-alive\r\n\r\n",
            &[hello],
            GoesOn,
        ),
    ];
    for lines in [
        "host: shop\r\nx: y\r\n z",
        " host: shop",
        "host: shop\r\nx : y",
        "host: shop\r\n: y",
        "host: shop\r\nx",
        "host: shop\r\nx y: z",
        "host: shop\r\nx: a\0b",
        "host: shop\r\nx\0: a",
        "host: shop\r\nx: a\rb",
        "host: shop\r\nx: a\x7f",
        "host: shop\r\nx(y): z",
        "host: sh\0op",
    ] {
        cases.push(case(&format!("{lines:?}"), get(lines) + HIDDEN, &["400"], Closes));
    }
    for line in [
        "GET  /hello/ HTTP/1.1",
        "GET /hello/  HTTP/1.1",
        " GET /hello/ HTTP/1.1",
        "GET /hello/ HTTP/1.1 ",
        "GET\t/hello/\tHTTP/1.1",
        "GET /hel lo/ HTTP/1.1",
        "GET /hello/\0 HTTP/1.1",
        "GET /hello/\rx HTTP/1.1",
        "GET /hello/",
        "GET /hello/ HTTP/1.2",
        "GET /hello/ HTTP/2.0",
        "GET /hello/ http/1.1",
        "GET /hello/ HTTP/1.1x",
        "G(T /hello/ HTTP/1.1",
    ] {
        cases.push(case(&format!("{line:?}"), format!("{line}\r\nhost: shop\r\n\r\n{HIDDEN}"), &["400"], Closes));
    }
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host() {
    let hello = "200 Hello, world!";
    let absolute = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let mut cases = vec![
        case("absolute form", absolute("http://shop/hello/", "shop"), &[hello], GoesOn),
        case("absolute form in capitals", absolute("http://SHOP/hello/", "shop"), &[hello], GoesOn),
        case("absolute form without path", absolute("http://shop", "shop"), &["404 no-such-route"], GoesOn),
        case("a host that rules deny", absolute("/fixed", "secret.example"), &["403 forbidden"], GoesOn),
        case(
            "the same in absolute form",
            absolute("http://secret.example/fixed", "secret.example"),
            &["403 forbidden"],
            GoesOn,
        ),
        case("the same with a dot", absolute("/fixed", "secret.example."), &["403 forbidden"], GoesOn),
        case("the same with a port", absolute("/fixed", "SECRET.example:80"), &["403 forbidden"], GoesOn),
        case("health without host", "GET /livez HTTP/1.0\r\n\r\n", &["200 OK"], Closes),
        case("CONNECT", "CONNECT shop:443 HTTP/1.1\r\nhost: shop:443\r\n\r\n", &["404 no-such-route"], GoesOn),
        case("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: shop\r\n\r\n", &["404 no-such-route"], GoesOn),
    ];
    for path in ["/hello/", "/fixed", "/misbehave/denied", "/nowhere"] {
        for (name, lines) in [
            ("two hosts", "host: shop\r\nhost: secret.example"),
            ("two hosts alike", "host: shop\r\nhost: shop"),
            ("no host", "x: y"),
            ("empty host", "host:"),
            ("host with user", "host: shop@secret.example"),
            ("host with path", "host: shop/x"),
            ("host with port that is none", "host: shop:x"),
            ("host with space", "host: shop secret.example"),
            ("list of hosts", "host: shop, secret.example"),
        ] {
            let sent = format!("GET {path} HTTP/1.1\r\n{lines}\r\n\r\n");
            cases.push(case(&format!("{name} for {path}"), sent, &["400 bad-request"], Closes));
        }
        for (target, host) in [
            ("http://shop", "secret.example"),
            ("http://secret.example", "shop"),
            ("http://u@shop", "shop"),
            ("http://shop:81", "shop"),
        ] {
            let name = format!("{target}{path} at {host}");
            cases.push(case(&name, absolute(&format!("{target}{path}"), host), &["400 bad-request"], Closes));
        }
    }
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_http_and_in_order() {
    let hello = "200 Hello, world!";
    let ask = get("host: shop");
    let cases = vec![
        case(
            "Upgrade to WebSocket",
            get(
                "host: shop\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            ),
            &[hello],
            GoesOn,
        ),
        case(
            "Upgrade to h2c",
            get(
                "host: shop\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__",
            ),
            &[hello],
            GoesOn,
        ),
        case("pipelined", format!("{ask}{HIDDEN}{ask}"), &[hello, "200 fixed", hello], GoesOn),
        case(
            "slow first",
            format!("GET /misbehave/slow?ms=200 HTTP/1.1\r\nhost: shop\r\n\r\n{HIDDEN}"),
            &["200 slow", "200 fixed"],
            GoesOn,
        ),
        case("nothing after an error", format!("{ask}NONSENSE\r\n\r\n{HIDDEN}"), &[hello, "400"], Closes),
        case("nothing after a close", format!("{}{HIDDEN}", get("host: shop\r\nconnection: close")), &[hello], Closes),
        case(
            "nothing after one close of two",
            format!("{}{HIDDEN}", get("host: shop\r\nconnection: close\r\nconnection: keep-alive")),
            &[hello],
            Closes,
        ),
        case("close among others", format!("{}{HIDDEN}", get("host: shop\r\nconnection: x, Close")), &[hello], Closes),
        case("HEAD of a component", "HEAD /hello/ HTTP/1.1\r\nhost: shop\r\n\r\n", &["200"], GoesOn),
        case("HEAD of a fixed answer", "HEAD /fixed HTTP/1.1\r\nhost: shop\r\n\r\n", &["200"], GoesOn),
        case("HEAD of a refusal", "HEAD /misbehave/denied HTTP/1.1\r\nhost: shop\r\n\r\n", &["403"], GoesOn),
        case(
            "HEAD with a body",
            format!("HEAD /fixed HTTP/1.1\r\nhost: shop\r\ncontent-length: 35\r\n\r\n{HIDDEN}"),
            &["200"],
            GoesOn,
        ),
        case("204", "GET /none HTTP/1.1\r\nhost: shop\r\n\r\n", &["204"], GoesOn),
        case("304", "GET /same HTTP/1.1\r\nhost: shop\r\n\r\n", &["304"], GoesOn),
        case(
            "GET with a body",
            format!("GET /misbehave/count HTTP/1.1\r\nhost: shop\r\ncontent-length: 35\r\n\r\n{HIDDEN}"),
            &["200 35"],
            GoesOn,
        ),
    ];
    try_all(cases).await;
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
