//! What guests may call, and what they are refused; the same questions to guests of both generations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tests::redis::RedisServer;
use tests::stores::StoresServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

/// The guest of wasi 0.3 and the one of wasi 0.2.
const GENERATIONS: [&str; 2] = ["interfaces", "interfaces-p2"];

async fn host(settings: &str) -> Host {
    app(settings).start().await
}

fn app(settings: &str) -> App {
    let mut app = App::new()
        .file("assets/words.txt", "words in a file")
        .file("outside", "not for guests")
        .append("[variables]\ncurrency = { default = \"EUR\" }\ncolour = { required = true, secret = true }\n")
        .environment("SPIN_VARIABLE_COLOUR", "blue");
    for guest in GENERATIONS {
        app = app.guest(
            guest,
            &format!(
                "key_value_stores = [\"default\"]\nsqlite_databases = [\"default\"]\n\
                 files = [{{ source = \"assets\", destination = \"/\" }}]\n\
                 environment = {{ SHOP = \"north\" }}\n{settings}\n\
                 [component.{guest}.variables]\nprice_in = \"{{{{ currency }}}}!\"\npaint = \"{{{{ colour }}}}\"\n"
            ),
        );
    }
    app
}

async fn ask(host: &Host, guest: &str, interface: &str, query: &[(&str, &str)]) -> Value {
    let answer = host.request(&format!("/{guest}/{interface}")).query(query).send().await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200, "{guest} {interface}");
    answer.json().await.expect("JSON")
}

#[track_caller]
fn assert_refused(answer: &Value, variant: &str) {
    let error = answer["error"].as_str().unwrap_or_else(|| panic!("not refused: {answer}"));
    assert!(error.contains(variant), "{error} is not {variant}");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_stores() {
    check_key_value_stores(&host("").await).await;
}

async fn check_key_value_stores(host: &Host) {
    for guest in GENERATIONS {
        let answer = ask(host, guest, "key-value", &[("label", "default")]).await;
        let expected = json!({
            "missing": null, "keys": ["bytes", "word"], "word": "second",
            "bytes": [0, 255], "existed": true, "exists": false,
        });
        assert_eq!(answer, expected, "{guest}");
        let answer = ask(host, guest, "key-value", &[("label", "other")]).await;
        assert_refused(&answer, "AccessDenied");
        // The next guest uses the same store, which holds one word now.
        assert_eq!(ask(host, guest, "key-value", &[("label", "default")]).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_databases() {
    check_sqlite_databases(&host("").await).await;
}

async fn check_sqlite_databases(host: &Host) {
    for guest in GENERATIONS {
        let answer = ask(host, guest, "sqlite", &[("label", "default")]).await;
        assert_eq!(answer["columns"], json!(["i", "r", "t", "b", "n"]), "{guest}: {answer}");
        let values = json!([{ "integer": -7 }, { "real": 1.5 }, { "text": "text" }, { "blob": [0, 255] }, null]);
        assert_eq!(answer["values"], values, "{guest}");
        for refused in ["bad_syntax", "bad_parameters", "attach"] {
            let error = answer[refused].as_str().unwrap_or_else(|| panic!("{refused}: {answer}"));
            assert!(error.starts_with("Error::Io("), "{guest} {refused}: {error}");
        }
        let answer = ask(host, guest, "sqlite", &[("label", "other")]).await;
        assert_refused(&answer, "AccessDenied");
    }
    let answer = ask(host, "interfaces", "sqlite", &[("label", "default")]).await;
    assert_eq!(answer["changes"], 1);
    assert_eq!(answer["last_insert_rowid"], 1);
    assert_eq!(answer["same_synchronously"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_databases_of_the_generation_between() {
    check_sqlite_databases_of_the_generation_between(&host("").await).await;
}

async fn check_sqlite_databases_of_the_generation_between(host: &Host) {
    let answer = ask(host, "interfaces-p2", "sqlite-3", &[("label", "default")]).await;
    assert_eq!(answer["columns"], json!(["n"]), "{answer}");
    assert_eq!(answer["values"], json!([2, 4]));
    assert_eq!(answer["changes"], 2);
    assert_eq!(answer["last_insert_rowid"], 2);
    assert!(answer["bad_syntax"].as_str().is_some_and(|error| error.starts_with("Error::Io(")));
    let answer = ask(host, "interfaces-p2", "sqlite-3", &[("label", "other")]).await;
    assert_refused(&answer, "AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_ask_how_a_stream_ended_before_it_reads_it() {
    check_how_a_stream_ended_before_it_reads_it(&host("").await).await;
}

async fn check_how_a_stream_ended_before_it_reads_it(host: &Host) {
    let answer = ask(host, "interfaces", "key-value-end-first", &[("label", "default")]).await;
    assert_eq!(answer, json!({ "keys": ["one", "two"] }));
    let answer = ask(host, "interfaces", "sqlite-end-first", &[("label", "default")]).await;
    assert_eq!(answer, json!({ "columns": 1, "rows": 2 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_end_with_their_connection() {
    check_transactions_end_with_their_connection(&host("").await).await;
}

async fn check_transactions_end_with_their_connection(host: &Host) {
    for guest in GENERATIONS {
        let answer = ask(host, guest, "transaction", &[("label", "default")]).await;
        assert_eq!(answer, json!({ "inside": 1, "rolled_back": 0, "after_drop": 0 }), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_several_hosts_share_are_no_different() {
    let Some(redis) = RedisServer::start().await else { return };
    let stores = StoresServer::start(&["default"]).await;
    // Each finds an empty key-value store, as it does in a file.
    let host = async |database: u32| {
        let tables = format!(
            "[sqlite_database.default]\n{}\n[key_value_store.default]\ntype = \"redis\"\nurl = \"{}\"\n",
            stores.table("default"),
            redis.url(database)
        );
        app("").runtime_config(&tables).start().await
    };
    check_key_value_stores(&host(0).await).await;
    check_sqlite_databases(&host(1).await).await;
    check_sqlite_databases_of_the_generation_between(&host(2).await).await;
    check_how_a_stream_ended_before_it_reads_it(&host(3).await).await;
    check_transactions_end_with_their_connection(&host(4).await).await;
    check_wasi_key_value_with_batches_and_atomics(&host(5).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn variables() {
    let host = host("").await;
    for guest in GENERATIONS {
        let get = async |name| ask(&host, guest, "variables", &[("name", name)]).await;
        assert_eq!(get("price_in").await, json!({ "value": "EUR!" }), "{guest}");
        assert_eq!(get("paint").await, json!({ "value": "blue" }), "{guest}");
        // Variables of the application are not the component's.
        assert_refused(&get("currency").await, "Undefined");
        assert_refused(&get("No Name").await, "InvalidName");
    }
    let config = ask(&host, "interfaces", "wasi-config", &[("name", "price_in")]).await;
    assert_eq!(config, json!({ "value": "EUR!", "all": { "price_in": "EUR!", "paint": "blue" } }));
    let config = ask(&host, "interfaces", "wasi-config", &[("name", "absent")]).await;
    assert_eq!(config["value"], Value::Null);
    assert!(!host.log().concat().contains("blue"), "a secret is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn wasi_key_value_with_batches_and_atomics() {
    check_wasi_key_value_with_batches_and_atomics(&host("").await).await;
}

async fn check_wasi_key_value_with_batches_and_atomics(host: &Host) {
    let answer = ask(host, "interfaces", "wasi-keyvalue", &[("label", "default")]).await;
    let expected = json!({
        "many": [["a", "1"], ["missing", null]], "keys": ["c"], "sums": [5, 42, 40],
        "current": "old", "swapped": true, "current_of_the_loser": "new",
        "shown_again": "newer", "swapped_as_shown": true, "word": "newest",
    });
    assert_eq!(answer, expected);
    let answer = ask(host, "interfaces", "wasi-keyvalue", &[("label", "other")]).await;
    assert_refused(&answer, "AccessDenied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_open_so_many_stores_and_hears_when_they_are_too_many() {
    let host = host("").await;
    for guest in GENERATIONS {
        let answer = ask(&host, guest, "key-value-limit", &[("label", "default")]).await;
        assert_eq!(answer["opened"], 1_024, "{guest}: {answer}");
        assert!(answer["refused"].as_str().is_some_and(|error| error.contains("StoreTableFull")), "{guest}: {answer}");
    }
    let answer = ask(&host, "interfaces", "wasi-keyvalue-limit", &[("label", "default")]).await;
    assert_eq!((&answer["opened"], &answer["swaps"]), (&json!(1_024), &json!(1_024)), "{answer}");
    assert_eq!(answer["large_swaps"], 3, "{answer}");
    for refused in ["refused", "swap_refused", "large_swap_refused"] {
        assert!(answer[refused].as_str().is_some_and(|error| error.contains("Other(")), "{refused}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_number_is_not_incremented() {
    let host = host("").await;
    let answer = ask(&host, "interfaces", "wasi-keyvalue-text", &[("label", "default")]).await;
    assert_eq!(answer["text"], "twelve", "{answer}");
    assert!(answer["refused"].as_str().is_some_and(|error| error.contains("not a number")), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_the_manifests() {
    let host = host("").await;
    for guest in GENERATIONS {
        let answer = ask(&host, guest, "environment", &[]).await;
        assert_eq!(answer["environment"], json!({ "SHOP": "north" }), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_run_and_random_bytes_differ() {
    let host = host("").await;
    for guest in GENERATIONS {
        let clocks = ask(&host, guest, "clocks", &[]).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let told = clocks["unix_seconds"].as_u64().expect("a number");
        assert!(now.abs_diff(told) < 60, "{guest} is told {told} at {now}");
        let waited = clocks["waited_ns"].as_u64().expect("a number");
        assert!((20_000_000..10_000_000_000).contains(&waited), "{guest} waited {waited} ns");

        let first = ask(&host, guest, "random", &[]).await;
        assert_eq!(first["bytes"].as_array().map(Vec::len), Some(16), "{guest}");
        assert_ne!(first, ask(&host, guest, "random", &[]).await, "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_the_manifests_and_read_only() {
    let host = host("").await;
    for guest in GENERATIONS {
        let answer = ask(&host, guest, "files", &[("path", "words.txt")]).await;
        assert_eq!(answer["mount"], "/", "{guest}");
        assert_eq!(answer["content"], "words in a file", "{guest}");
        for refused in ["write", "create", "delete", "outside"] {
            assert!(answer[refused].is_string(), "{guest} may {refused}: {answer}");
        }
        let absent = ask(&host, guest, "files", &[("path", "absent.txt")]).await;
        assert!(absent["content"]["error"].is_string(), "{guest}: {absent}");
    }
    let original = std::fs::read_to_string(host.folder().join("assets/words.txt"));
    assert_eq!(original.expect("still there"), "words in a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_denied() {
    let host = host("").await;
    let (_, port) = host.address().rsplit_once(':').expect("IP:PORT");
    for guest in GENERATIONS {
        let answer = ask(&host, guest, "sockets", &[("port", port)]).await;
        assert!(answer["error"].is_string(), "{guest} has connected: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_only_to_the_hosts_that_are_allowed() {
    let (allowed, denied) = (provider("granted").await, provider("not for you").await);
    let host = host(&format!("allowed_outbound_hosts = [\"http://{allowed}\"]")).await;
    for guest in GENERATIONS {
        let answer = ask(&host, guest, "outbound", &[("url", &format!("http://{allowed}/"))]).await;
        assert_eq!(answer, json!({ "status": 200, "body": "granted" }), "{guest}");
        let answer = ask(&host, guest, "outbound", &[("url", &format!("http://{denied}/"))]).await;
        assert_refused(&answer, "HttpRequestDenied");
    }
}

/// A server outside of the app, which answers every request with `text`; returns its address.
async fn provider(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener has an address").to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = connection.read(&mut head).await;
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}");
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// As an application made for Spin 2 streams: with a write, and a wait until it is taken, for each piece.
#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_the_former_generation_streams_its_body() {
    const PIECE_BYTES: usize = 64 << 10;
    const PIECES: usize = 200;
    const PAUSE: Duration = Duration::from_millis(500);
    let settings = "[component.interfaces-p2.tool.bodega]\ndeadline_ms = 1200\ninstance_concurrency_max = 16";
    let host = App::new().guest("interfaces-p2", settings).argument("--workers=1").start().await;

    let whole = host.get(&format!("/interfaces-p2/stream?pieces={PIECES}")).await.bytes().await.expect("a body");
    assert_eq!(whole.len(), PIECES * PIECE_BYTES);

    // Longer than the deadline in all, and each piece comes when it is written. Neighbours do not wait for the end.
    let path = format!("/interfaces-p2/stream?pieces=4&ms={}", PAUSE.as_millis());
    let started = Instant::now();
    let mut answer = host.get(&path).await;
    let mut read = answer.chunk().await.expect("the body begins").expect("with a piece").len();
    assert!(started.elapsed() < PAUSE, "the first piece came after {:?}", started.elapsed());
    assert_eq!(host.get("/interfaces-p2/request").await.status(), 200);
    assert!(started.elapsed() < 2 * PAUSE, "a neighbour waited {:?}", started.elapsed());
    while let Some(chunk) = answer.chunk().await.expect("the body goes on") {
        read += chunk.len();
    }
    assert_eq!(read, 4 * PIECE_BYTES);
    assert!(started.elapsed() >= 3 * PAUSE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_the_former_generation_passes_bodies_back_and_on() {
    let settings = "allowed_outbound_hosts = [\"http://interfaces-p2.spin.internal\"]";
    let host = App::new().guest("interfaces-p2", settings).start().await;
    let body: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();

    let sent_back = host.post("/interfaces-p2/relay").body(body.clone()).send().await.expect("an answer");
    assert_eq!(sent_back.status(), 200);
    assert!(sent_back.bytes().await.expect("a body") == body, "the body is another one");

    let length = body.len();
    let onward = "http://interfaces-p2.spin.internal/count";
    let sent_on = host.post("/interfaces-p2/relay").query(&[("url", onward)]).body(body).send().await;
    let answer: Value = sent_on.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer, json!({ "status": 200, "answer": { "bytes": length } }));
}
