//! What the gateway makes of answers: they are compressed where that costs no secret, and their JSON loses what clients are not to see.

use std::io::Read;
use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tests::legacy::{Legacy, Script};
use tests::shop::{Shop, json_of};
use tokio::time::{Instant, timeout};

const TO_LEGACY: &str = "[[rules]]\npath = \"/old/...\"\nto = { upstream = \"legacy\" }\n";
const COMPRESSION: &str = "[all]\ncompression = true\n";

/// A host whose `/old/...` is answered by `legacy`, as a rule with these lines has it.
async fn host(legacy: &Legacy, all: &str, rule: &str) -> Host {
    let upstream = format!("[upstreams.legacy]\nservers = [\"{}\"]\n", legacy.url());
    let app = App::new().guest("interfaces", "").guest("hello", "");
    app.file("gateway.toml", format!("{upstream}{all}{TO_LEGACY}{rule}")).start().await
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// The body as the client reads it after its coding is undone.
async fn content(answer: Response) -> Vec<u8> {
    let encoding = header(&answer, "content-encoding").to_owned();
    let sent = answer.bytes().await.expect("the body is complete");
    let mut read = Vec::new();
    let mut reader: Box<dyn Read + '_> = match encoding.as_str() {
        "zstd" => Box::new(zstd::stream::read::Decoder::new(&sent[..]).expect("memory")),
        "br" => Box::new(brotli::Decompressor::new(&sent[..], 4096)),
        "gzip" => Box::new(flate2::read::GzDecoder::new(&sent[..])),
        "" => Box::new(&sent[..]),
        other => panic!("nobody asked for {other}"),
    };
    reader.read_to_end(&mut read).expect("it is whole");
    drop(reader);
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn a_catalogue_is_sent_in_fewer_bytes_and_asked_about_with_its_tag() {
    let rules = "[all]\ncompression = { bytes_min = 100 }\n";
    let shop = Shop::start_with_internal_routes_of("catalog", |app| app.file("gateway.toml", rules)).await;
    let shop = shop.with_products(50).await;
    let ask = async |path: &str, encoding: &str| {
        let answer = shop.host.request(path).header("accept-encoding", encoding).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(header(&answer, "vary").contains("accept-encoding"), "{answer:?}");
        answer
    };
    let list = "/api/products?limit=50";
    let plain = ask(list, "identity").await;
    assert_eq!(header(&plain, "content-encoding"), "");
    let plain = content(plain).await;
    for encoding in ["gzip", "br", "zstd"] {
        let answer = ask(list, encoding).await;
        assert_eq!(header(&answer, "content-encoding"), encoding);
        let announced: Option<usize> = header(&answer, "content-length").parse().ok();
        assert!(content(answer).await == plain, "{encoding}");
        let sent = ask(list, encoding).await.bytes().await.expect("a body");
        assert_eq!(announced, Some(sent.len()), "{encoding}: it leaves in one piece");
        println!("{encoding}: {} of {} bytes", sent.len(), plain.len());
        assert!(sent.len() * 3 < plain.len(), "{encoding}: {} of {}", sent.len(), plain.len());
    }
    let answer = ask(list, "gzip, br;q=0.5").await;
    assert_eq!(header(&answer, "content-encoding"), "gzip", "as the client likes it");

    let head = shop.host.client().head(shop.host.url(list)).header("accept-encoding", "zstd").send().await;
    let head = head.expect("an answer");
    assert_eq!((header(&head, "content-length"), header(&head, "content-encoding")), ("", ""));

    let listed: Value = serde_json::from_slice(&plain).expect("JSON");
    let product = format!("/api/products/{}", listed["items"][0]["id"].as_str().expect("an id"));
    let first = ask(&product, "br").await;
    let tag = header(&first, "etag").to_owned();
    assert!(tag.starts_with("W/\"") && header(&first, "content-encoding") == "br", "{first:?}");
    let again = shop.host.request(&product).header("accept-encoding", "br").header("if-none-match", &tag).send().await;
    let again = again.expect("an answer");
    assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, &*tag), "it is still the same");

    let token = shop.issuer.access_token("admin");
    let staff = shop.host.request(list).header("accept-encoding", "gzip").bearer_auth(token).send().await;
    assert_eq!(header(&staff.expect("an answer"), "content-encoding"), "", "an answer to somebody is not compressed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_of_a_compressed_answer_still_saves_the_next_one() {
    let legacy = Legacy::start("shop").await;
    let host = host(&legacy, COMPRESSION, "").await;
    let page = "all the same ".repeat(500);
    legacy.set_script(Script::of("text/html", page.clone()).header("etag", "\"v7\"").header("accept-ranges", "bytes"));
    let ask = async |host: &Host| host.request("/old/page").header("accept-encoding", "br").send().await;
    let answer = ask(&host).await.expect("an answer");
    assert_eq!(
        (header(&answer, "etag"), header(&answer, "content-encoding"), header(&answer, "accept-ranges")),
        ("W/\"v7\"", "br", "")
    );
    assert_eq!(content(answer).await, page.as_bytes());
    legacy.set_script(
        Script { status: 304, pieces: vec![Default::default()], ..Script::of("text/html", "") }
            .header("etag", "\"v7\""),
    );
    let answer = ask(&host).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), header(&answer, "etag")), (304, "W/\"v7\""), "of what the client has");
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_come_slowly_are_not_held_back() {
    let legacy = Legacy::start("slow").await;
    let host = host(&legacy, COMPRESSION, "").await;
    let pieces: Vec<String> = (0..4).map(|n| format!("piece {n}\n")).collect();
    let bytes = pieces.iter().map(|piece| piece.clone().into()).collect();
    let script = Script { pieces: bytes, pause: Duration::from_secs(2), ..Script::of("text/plain", "") };
    legacy.set_script(script);
    let began = Instant::now();
    let mut answer = host.request("/old/log").header("accept-encoding", "gzip").send().await.expect("an answer");
    assert_eq!(header(&answer, "content-encoding"), "gzip");
    let mut reader = flate2::write::GzDecoder::new(Vec::new());
    for (place, piece) in pieces.iter().enumerate() {
        // Before the next one is even there.
        let limit = Duration::from_secs(2 * place as u64 + 2);
        while !String::from_utf8_lossy(reader.get_ref()).contains(piece.as_str()) {
            let chunk = timeout(limit.saturating_sub(began.elapsed()), answer.chunk()).await;
            let chunk = chunk.unwrap_or_else(|_| panic!("{piece:?} is not there after {limit:?}"));
            std::io::Write::write_all(&mut reader, &chunk.expect("a body").expect("more")).expect("gzip");
            std::io::Write::flush(&mut reader).expect("gzip");
        }
    }
    while let Some(chunk) = answer.chunk().await.expect("a body") {
        std::io::Write::write_all(&mut reader, &chunk).expect("gzip");
    }
    assert_eq!(reader.finish().expect("it is whole"), pieces.concat().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_compressed_with_what_others_may_write() {
    let legacy = Legacy::start("shop").await;
    let host = host(&legacy, COMPRESSION, "").await;
    let page = "<input name=csrf value=4711>".repeat(100);
    let ask = async |script: Script, headers: &[(&str, &str)]| {
        legacy.set_script(script);
        let request = host.request("/old/page").header("accept-encoding", "gzip, br, zstd");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = request.send().await.expect("an answer");
        let encoding = header(&answer, "content-encoding").to_owned();
        assert_eq!(content(answer).await, page.as_bytes());
        encoding
    };
    let script = || Script::of("text/html", page.clone());
    assert_eq!(ask(script(), &[]).await, "zstd");
    assert_eq!(ask(script(), &[("authorization", "Bearer x")]).await, "");
    assert_eq!(ask(script(), &[("x-api-key", "x")]).await, "");
    assert_eq!(ask(script(), &[("cookie", "session=1")]).await, "");
    assert_eq!(ask(script().header("cache-control", "public"), &[("cookie", "seen=1")]).await, "zstd");
    assert_eq!(ask(script().header("set-cookie", "session=1"), &[]).await, "");
    assert_eq!(ask(script().header("cache-control", "private, max-age=60"), &[]).await, "");
    assert_eq!(ask(script().header("cache-control", "no-transform"), &[]).await, "");
    assert_eq!(ask(Script::of("image/png", page.clone()), &[]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_a_component_has_lost_what_the_rule_takes_out() {
    let legacy = Legacy::start("shop").await;
    let rule = "[[rules]]\npath = \"/interfaces/...\"\ncompression = true\n\
        response_json = { remove = [\"/headers/x-secret\"], rename = { \"/method\" = \"verb\" } }\n";
    let host = host(&legacy, "", rule).await;
    let padding = "x".repeat(2000);
    let ask = |method: reqwest::Method| {
        let request = host.client().request(method, host.url("/interfaces/request")).header("accept-encoding", "gzip");
        request.header("x-secret", "4711").header("x-kept", &padding).header("if-match", "W/\"3\"").send()
    };
    let answer = ask(reqwest::Method::GET).await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), header(&answer, "content-encoding")),
        (200, "gzip"),
        "edited, then compressed"
    );
    let text = String::from_utf8(content(answer).await).expect("text");
    assert!(!text.contains("4711"), "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((&document["verb"], &document["method"]), (&json!("GET"), &Value::Null));
    assert_eq!(document["headers"]["x-kept"], json!([padding]));
    assert_eq!(document["headers"]["if-match"], json!(["\"3\""]), "the tag as the component gave it");
    assert_eq!(document["headers"]["accept-encoding"], Value::Null, "it is not to compress itself");
    let head = ask(reqwest::Method::HEAD).await.expect("an answer");
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_an_upstream_is_edited_or_not_passed_on() {
    let legacy = Legacy::start("erp").await;
    let rule = "response_json = { remove = [\"/internal\", \"/items/*/cost\"], rename = { \"/items/*/qty\" = \"quantity\" }, bytes_max = 4096 }\n";
    let host = host(&legacy, "", rule).await;
    let document =
        r#"{"id":18446744073709551615,"internal":{"margin":0.4},"items":[{"cost":7.10,"price":9.90,"qty":2}]}"#;
    let asked = host.request("/old/x").header("range", "bytes=0-10").header("accept-encoding", "br").send().await;
    let seen = json_of(asked.expect("an answer"), 200).await;
    assert_eq!(seen["headers"]["range"], Value::Null, "{seen}");
    assert_eq!(seen["headers"]["accept-encoding"], Value::Null, "{seen}");
    let ask = async |script: Script| {
        legacy.set_script(script);
        host.get("/old/orders/7").await
    };
    for media_type in ["application/json", "application/vnd.erp+json; v=2"] {
        let script =
            Script::of(media_type, document).header("etag", "\"7\"").header("content-digest", "sha-256=:AA==:");
        let answer = ask(script).await;
        assert_eq!((header(&answer, "etag"), header(&answer, "content-digest")), ("W/\"7\"", ""));
        let text = answer.text().await.expect("a body");
        assert_eq!(text, r#"{"id":18446744073709551615,"items":[{"price":9.90,"quantity":2}]}"#);
    }
    let failure =
        Script { status: 500, ..Script::of("application/problem+json", r#"{"internal":"stack trace","title":"Oh"}"#) };
    let answer = ask(failure).await;
    assert_eq!(json_of(answer, 500).await, json!({ "title": "Oh" }), "also what tells of a failure");
    assert_eq!(ask(Script::of("text/html", document)).await.text().await.expect("a body"), document, "what is no JSON");

    let large = format!("{{\"internal\":\"{}\"}}", "x".repeat(5000));
    for (script, reason) in [
        (Script::of("application/json", large), "it is larger than 4096 bytes"),
        (Script::of("application/json", "<internal/>"), "it is no JSON document"),
        (Script::of("application/json", document).header("content-encoding", "gzip"), "it has a `content-encoding`"),
        (Script { status: 206, ..Script::of("application/json", document) }, "it is a part of a document"),
    ] {
        let problem = json_of(ask(script).await, 502).await;
        assert_eq!(problem["type"], "urn:bodega:problem:unfit-answer", "{problem}");
        let request_id = problem["request_id"].as_str().expect("an id");
        host.log_line(&[request_id, reason]).await;
    }
}
