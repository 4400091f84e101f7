//! HTTP/1 heads: what is malformed, whose host is not one, or asks for another protocol; and requests that follow each other.

use super::exchange::Then::{Closes, GoesOn};
use super::exchange::{HIDDEN, case, try_all};

fn get(lines: &str) -> String {
    format!("GET /hello/ HTTP/1.1\r\n{lines}\r\n\r\n")
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
