//! HTTP/2: requests that are malformed, frames out of place, windows and tables that are misused.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tests::host::Host;

use super::frames::{
    ACK, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITISED,
    PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, get, headers, setting, settings,
};
use super::{app, assert_serves};

/// How long anything may take to come.
const COMES_WITHIN: Duration = Duration::from_secs(2);
/// Cases that are tried at the same time.
const AT_ONCE: usize = 8;
/// The stream of an ordinary request after the case.
const LAST: u32 = 1_001;

/// What a client sends after the preface, and what it hears of stream 1 and of the connection.
struct Case {
    name: String,
    sent: Vec<u8>,
    stream: &'static str,
    connection: &'static str,
}

/// What is said of a connection that is still of use.
const GOES_ON: &str = "goes on";
const NOTHING: &str = "nothing";
const MALFORMED: &str = "reset PROTOCOL_ERROR";

fn case(name: &str, sent: impl AsRef<[u8]>, stream: &'static str, connection: &'static str) -> Case {
    Case { name: name.to_owned(), sent: [PREFACE, &settings(), sent.as_ref()].concat(), stream, connection }
}

async fn try_all(cases: Vec<Case>) {
    let host = &app().start().await;
    let mut wrong = Vec::new();
    let trying = stream::iter(&cases).map(async |case| (case, outcome(host, &case.sent).await));
    for (case, (stream, connection)) in trying.buffered(AT_ONCE).collect::<Vec<_>>().await {
        if (&*stream, &*connection) != (case.stream, case.connection) {
            wrong.push(format!("{}: {stream}, {connection}, not {}, {}", case.name, case.stream, case.connection));
        }
    }
    assert_serves(host, "all cases").await;
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// What is heard of stream 1, and of the connection when another request is sent.
async fn outcome(host: &Host, sent: &[u8]) -> (String, String) {
    let mut connection = Connection::open(host).await;
    connection.send(sent).await;
    connection.send(get(LAST, "/fixed")).await;
    let (mut of_stream, mut of_connection) = (None, None);
    while of_stream.is_none() || of_connection.is_none() {
        let frame = match connection.next(COMES_WITHIN).await {
            Ok(Some(frame)) => frame,
            Ok(None) => {
                of_connection.get_or_insert_with(|| "closed".to_owned());
                break;
            }
            Err(_) => break,
        };
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            connection.send(self::frame(SETTINGS, ACK, 0, [])).await;
        }
        match frame.stream {
            0 if frame.kind == GOAWAY => of_connection = frame.tells(),
            1 => of_stream = of_stream.or(frame.tells()),
            LAST => {
                let told = frame.tells().map(|told| if told == "200" { GOES_ON.to_owned() } else { told });
                of_connection = of_connection.or(told);
            }
            _ => {}
        }
    }
    (of_stream.unwrap_or(NOTHING.to_owned()), of_connection.unwrap_or(NOTHING.to_owned()))
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const PATH: (&str, &str) = (":path", "/fixed");
const AUTHORITY: (&str, &str) = (":authority", "shop");

fn post(length: &str, data: &str) -> Vec<u8> {
    let fields = [(":method", "POST"), SCHEME, (":path", "/misbehave/count"), AUTHORITY, ("content-length", length)];
    [headers(1, 0, &fields), frame(DATA, END_STREAM, 1, data)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_well_formed_or_refused() {
    let all = [METHOD, SCHEME, PATH, AUTHORITY];
    let with = |more: &[(&str, &str)]| headers(1, END_STREAM, &[&all[..], more].concat());
    let mut cases = vec![
        case("plain", with(&[]), "200", GOES_ON),
        case("te: trailers", with(&[("te", "trailers")]), "200", GOES_ON),
        case(
            "host in place of authority",
            headers(1, END_STREAM, &[METHOD, SCHEME, PATH, ("host", "shop")]),
            "200",
            GOES_ON,
        ),
        case("host as authority", with(&[("host", "shop")]), "200", GOES_ON),
        case("another host", with(&[("host", "secret.example")]), "400", GOES_ON),
        case("two hosts", with(&[("host", "shop"), ("host", "shop")]), "400", GOES_ON),
        case("no host", headers(1, END_STREAM, &[METHOD, SCHEME, PATH]), "400", GOES_ON),
        case(
            "user in authority",
            headers(1, END_STREAM, &[METHOD, SCHEME, PATH, (":authority", "u@shop")]),
            "400",
            GOES_ON,
        ),
        case(
            "a host that rules deny",
            headers(1, END_STREAM, &[METHOD, SCHEME, PATH, (":authority", "secret.example")]),
            "403",
            GOES_ON,
        ),
        case("length of data", post("5", "hello"), "200", GOES_ON),
        case("more data than length", post("5", "hello!"), MALFORMED, GOES_ON),
        case("less data than length", post("6", "hello"), MALFORMED, GOES_ON),
        case("length without data", with(&[("content-length", "5")]), MALFORMED, GOES_ON),
        case("two lengths", with(&[("content-length", "0"), ("content-length", "5")]), MALFORMED, GOES_ON),
    ];
    for length in ["-5", "+5", "5,5", "", "99999999999999999999"] {
        cases.push(case(&format!("length {length:?}"), post(length, "hello"), MALFORMED, GOES_ON));
    }
    for (name, fields) in [
        ("no method", vec![SCHEME, PATH, AUTHORITY]),
        ("no scheme", vec![METHOD, PATH, AUTHORITY]),
        ("no path", vec![METHOD, SCHEME, AUTHORITY]),
        ("empty path", vec![METHOD, SCHEME, (":path", ""), AUTHORITY]),
        ("path without slash", vec![METHOD, SCHEME, (":path", "fixed"), AUTHORITY]),
        ("path that is a URL", vec![METHOD, SCHEME, (":path", "http://secret.example/"), AUTHORITY]),
        ("two methods", vec![METHOD, METHOD, SCHEME, PATH, AUTHORITY]),
        ("two schemes", vec![METHOD, SCHEME, SCHEME, PATH, AUTHORITY]),
        ("two paths", vec![METHOD, SCHEME, PATH, PATH, AUTHORITY]),
        ("two authorities", vec![METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY]),
        ("pseudo-header after others", vec![METHOD, SCHEME, PATH, ("x", "y"), AUTHORITY]),
        ("pseudo-header of answers", vec![METHOD, SCHEME, PATH, AUTHORITY, (":status", "200")]),
        ("CONNECT with path", vec![(":method", "CONNECT"), SCHEME, PATH, AUTHORITY]),
        ("scheme with space", vec![METHOD, (":scheme", "ht tp"), PATH, AUTHORITY]),
        ("path with space", vec![METHOD, SCHEME, (":path", "/fi xed"), AUTHORITY]),
        ("path with end of line", vec![METHOD, SCHEME, (":path", "/fixed\r\nx: y"), AUTHORITY]),
        ("authority with space", vec![METHOD, SCHEME, PATH, (":authority", "shop secret.example")]),
    ] {
        cases.push(case(name, headers(1, END_STREAM, &fields), MALFORMED, GOES_ON));
    }
    for field in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
    ] {
        cases.push(case(&format!("{field:?}"), with(&[field]), MALFORMED, GOES_ON));
    }
    for field in [
        ("X-Capital", "y"),
        ("", "y"),
        (":x", "y"),
        ("x y", "z"),
        ("x:", "y"),
        ("x", "a\rb"),
        ("x", "a\nb"),
        ("x", "a\0b"),
    ] {
        cases.push(case(&format!("{field:?}"), with(&[field]), NOTHING, "goaway PROTOCOL_ERROR"));
    }
    let method = headers(1, END_STREAM, &[(":method", "GET /x"), SCHEME, PATH, AUTHORITY]);
    cases.push(case("method with space", method, NOTHING, "goaway PROTOCOL_ERROR"));
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_have_their_place_and_size() {
    let plain = get(1, "/fixed");
    let open = headers(1, 0, &[(":method", "POST"), SCHEME, (":path", "/misbehave/count"), AUTHORITY]);
    let and = |first: &[u8], second: Vec<u8>| [first, &second].concat();
    let ping = |length: usize, stream: u32| frame(PING, 0, stream, vec![0; length]);
    let window = |stream: u32, bytes: u32| frame(WINDOW_UPDATE, 0, stream, bytes.to_be_bytes());
    // The code is the library's choice, where the RFC has a finer one; that the connection ends is not.
    let protocol = "goaway PROTOCOL_ERROR";
    let mut cases = vec![
        case("frames of unknown kinds", and(&frame(200, 255, 0, "x"), plain.clone()), "200", GOES_ON),
        case("unknown settings", and(&setting(200, 1), plain.clone()), "200", GOES_ON),
        case("priority of an idle stream", and(&frame(PRIORITY, 0, 5, [0, 0, 0, 3, 0]), plain.clone()), "200", GOES_ON),
        case("no window for the answer", and(&setting(4, 0), plain.clone()), "200", GOES_ON),
    ];
    for (name, sent, stream, connection) in [
        ("data before headers", frame(DATA, 0, 1, "x"), NOTHING, protocol),
        ("data on no stream", frame(DATA, 0, 0, "x"), NOTHING, protocol),
        ("headers on no stream", get(0, "/fixed"), NOTHING, protocol),
        ("headers on a stream of ours", get(2, "/fixed"), NOTHING, protocol),
        ("headers on an older stream", and(&get(3, "/fixed"), plain.clone()), NOTHING, protocol),
        ("headers twice", and(&open, open.clone()), MALFORMED, GOES_ON),
        ("data after the end", and(&plain, frame(DATA, 0, 1, "x")), NOTHING, protocol),
        (
            "headers that depend on themselves",
            frame(
                HEADERS,
                END_HEADERS | END_STREAM | PRIORITISED,
                1,
                and(&[0, 0, 0, 1, 0], block(&[METHOD, SCHEME, PATH, AUTHORITY])),
            ),
            MALFORMED,
            GOES_ON,
        ),
        ("priority of itself", frame(PRIORITY, 0, 1, [0, 0, 0, 1, 0]), MALFORMED, GOES_ON),
        ("short priority", frame(PRIORITY, 0, 1, [0; 4]), NOTHING, protocol),
        ("reset of an idle stream", frame(RST_STREAM, 0, 1, [0; 4]), NOTHING, protocol),
        ("short reset", and(&open, frame(RST_STREAM, 0, 1, [0; 3])), NOTHING, protocol),
        ("settings on a stream", frame(SETTINGS, 0, 1, []), NOTHING, protocol),
        ("settings that are cut off", frame(SETTINGS, 0, 0, [0; 5]), NOTHING, protocol),
        ("acknowledgement with settings", frame(SETTINGS, ACK, 0, [0; 6]), NOTHING, protocol),
        ("push of 2", setting(2, 2), NOTHING, protocol),
        ("window too large", setting(4, 1 << 31), NOTHING, protocol),
        ("frames too small", setting(5, 1), NOTHING, protocol),
        ("short ping", ping(7, 0), NOTHING, protocol),
        ("ping on a stream", ping(8, 1), NOTHING, protocol),
        ("push from a client", frame(PUSH_PROMISE, END_HEADERS, 1, [0, 0, 0, 2]), NOTHING, protocol),
        ("continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, []), NOTHING, protocol),
        ("data within headers", and(&frame(HEADERS, 0, 1, []), frame(DATA, 0, 1, "x")), NOTHING, protocol),
        (
            "continuation of another stream",
            and(&frame(HEADERS, 0, 1, []), frame(CONTINUATION, END_HEADERS, 3, [])),
            NOTHING,
            protocol,
        ),
        ("more padding than there is", frame(DATA, PADDED, 1, [5, 0]), NOTHING, protocol),
        ("frame too large", and(&open, frame(DATA, 0, 1, vec![0; (16 << 10) + 1])), NOTHING, "goaway FRAME_SIZE_ERROR"),
        ("window of nothing", window(0, 0), NOTHING, protocol),
        ("window of nothing for a stream", and(&open, window(1, 0)), NOTHING, protocol),
        ("window overflow", window(0, (1 << 31) - 1), NOTHING, "goaway FLOW_CONTROL_ERROR"),
        ("window overflow of a stream", and(&open, window(1, (1 << 31) - 1)), "reset FLOW_CONTROL_ERROR", GOES_ON),
        ("window of an idle stream", window(5, 1), NOTHING, protocol),
        ("field of index 0", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x80]), NOTHING, protocol),
        ("field of no index", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0xff, 0x80, 0x01]), NOTHING, protocol),
        (
            "table too large",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, [0x3f, 0xff, 0xff, 0xff, 0x07]),
            NOTHING,
            protocol,
        ),
        ("integer without end", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0xff; 20]), NOTHING, protocol),
        ("string without end", frame(HEADERS, END_HEADERS | END_STREAM, 1, [0, 50, b'x']), NOTHING, protocol),
        // It says nothing more: no component sees it.
        ("trailers with a method", and(&open, headers(1, END_STREAM, &[METHOD])), "200", GOES_ON),
        ("trailers that end nothing", and(&open, headers(1, 0, &[("x", "y")])), MALFORMED, GOES_ON),
    ] {
        cases.push(case(name, sent, stream, connection));
    }
    let bare = |name: &str, sent: Vec<u8>, stream, connection| Case { name: name.to_owned(), sent, stream, connection };
    cases.push(bare("bad preface", b"PRI * HTTP/1.1\r\nhost: shop\r\n\r\n".to_vec(), NOTHING, "closed"));
    cases.push(bare("no settings first", [PREFACE, &plain].concat(), "200", GOES_ON));
    try_all(cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_refused() {
    let large = "x".repeat(15 << 10);
    let fields = |values: usize| {
        let value = |_| ("x", &*large);
        block(&[METHOD, SCHEME, PATH, AUTHORITY].into_iter().chain((0..values).map(value)).collect::<Vec<_>>())
    };
    let in_frames = |block: &[u8]| {
        let mut pieces: Vec<&[u8]> = block.chunks(16 << 10).collect();
        let last = pieces.split_off(pieces.len() - 1);
        let first = frame(HEADERS, END_STREAM, 1, pieces[0]);
        let between = pieces[1..].iter().flat_map(|piece| frame(CONTINUATION, 0, 1, piece));
        first.into_iter().chain(between).chain(frame(CONTINUATION, END_HEADERS, 1, last[0])).collect::<Vec<u8>>()
    };
    // One large field that is remembered, and then named again and again by its index of 62.
    let mut bomb = block(&[METHOD, SCHEME, PATH, AUTHORITY]);
    bomb.push(0x40);
    super::frames::length(&mut bomb, 1);
    bomb.push(b'x');
    super::frames::length(&mut bomb, 4_000);
    bomb.extend([b'y'; 4_000]);
    bomb.extend([0x80 | 62; 10_000]);
    let slow = |stream: u32| get(stream, "/misbehave/slow?ms=1000");
    let others: Vec<u8> = (1..=128).flat_map(|number| slow(number * 2 + 1)).collect();
    let open = headers(1, 0, &[(":method", "POST"), SCHEME, (":path", "/misbehave/never"), AUTHORITY]);
    let flood = frame(DATA, 0, 1, vec![0; 16 << 10]).repeat(200);
    try_all(vec![
        case("headers of 60 kB", in_frames(&fields(4)), "200", GOES_ON),
        case("headers of 75 kB", in_frames(&fields(5)), "431", GOES_ON),
        case("headers of 1 MB", in_frames(&fields(70)), NOTHING, "goaway ENHANCE_YOUR_CALM"),
        case(
            "headers of 40 MB by a table",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb),
            NOTHING,
            "goaway ENHANCE_YOUR_CALM",
        ),
        case("129 streams at once", [slow(1), others].concat(), "200", "reset REFUSED_STREAM"),
        case("more data than the window", [open, flood].concat(), NOTHING, "goaway FLOW_CONTROL_ERROR"),
    ])
    .await;
}
