//! The cache of the gateway: what is stored, for whom and for how long, and how it is seen at once that something has changed.

mod changes;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures::future::join_all;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tests::app::App;
use tests::control::{variant, variant_app};
use tests::host::{Host, PATIENCE};
use tests::raw::{RawConnection, status};
use tokio::time::{Instant, sleep};

/// Clients that ask for the same at once.
const CLIENTS: usize = 50;
const CACHED: &str = "[[rules]]\npath = \"/variant/...\"\ncache = true\n";
const FRESH: &str = "cache-control: max-age=60";
const TTL: &str = "[[rules]]\npath = \"/variant/...\"\ncache = { ttl = \"60s\" }\n";

/// A host with the guest `variant`, which answers at `/variant/say` what a request has it say.
async fn host(gateway: &str) -> Host {
    variant_app("strategy = \"rolling\"").file("gateway.toml", gateway).start().await
}

/// Has the guest say something, if it is asked at all.
async fn say(host: &Host, path: &str, headers: &[&str]) -> Response {
    said(host, Method::GET, path, "", headers, &[]).await
}

async fn said(host: &Host, method: Method, path: &str, how: &str, say: &[&str], headers: &[(&str, &str)]) -> Response {
    let request = host.client().request(method, host.url(&format!("/variant/{path}"))).header("x-say", how);
    let request = say.iter().fold(request, |request, header| request.header("x-say-header", *header));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.expect("an answer")
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

/// What the cache says that it did.
fn told(answer: &Response) -> &str {
    header(answer.headers(), "cache-status")
}

fn is_hit(answer: &Response) -> bool {
    told(answer).starts_with("Bodega; hit")
}

async fn text(answer: Response) -> String {
    answer.text().await.expect("a body")
}

/// Requests that the component was asked.
async fn asked(host: &Host) -> usize {
    let metrics = host.metrics().await;
    metrics.sum("bodega_http_requests_total", &[("component", "variant")]) as usize
}

async fn outcomes(host: &Host, outcome: &str) -> usize {
    host.metrics().await.sum("bodega_gateway_cache_total", &[("outcome", outcome)]) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_again_as_long_as_it_is_fresh() {
    let host = host(
        "[all]\nsecurity_headers = true\ncors = { origins = [\"https://shop.example\"] }\n\
         [[rules]]\npath = \"/variant/...\"\ncache = true\n[rate_limits.all]\nrate = \"1000/s\"\n",
    )
    .await;
    let fresh = [FRESH, "etag: \"a\"", "surrogate-key: a b", "x-own: 1"];
    let first = say(&host, "say", &fresh).await;
    assert_eq!(told(&first), "Bodega; fwd=miss; fwd-status=200; stored");
    let first_id = header(first.headers(), "x-request-id").to_owned();
    let body = text(first).await;
    let origin = [("origin", "https://shop.example")];
    let again = said(&host, Method::GET, "say", "", &[], &origin).await;
    assert!(is_hit(&again), "{again:?}");
    let headers = again.headers();
    assert_eq!((header(headers, "x-own"), header(headers, "age").len()), ("1", 1));
    assert_eq!(header(headers, "access-control-allow-origin"), "https://shop.example", "for who asks, and not stored");
    assert_eq!(header(headers, "x-content-type-options"), "nosniff");
    assert_ne!(header(headers, "x-request-id"), first_id);
    assert!(!headers.contains_key("surrogate-key"), "{headers:?}");
    assert_eq!(text(again).await, body);
    let other = say(&host, "say", &[]).await;
    assert!(is_hit(&other) && !other.headers().contains_key("access-control-allow-origin"), "{other:?}");

    let known = said(&host, Method::GET, "say", "", &[], &[("if-none-match", "\"a\"")]).await;
    assert_eq!((known.status().as_u16(), is_hit(&known)), (304, true));
    assert_eq!(header(known.headers(), "etag"), "\"a\"");
    let head = said(&host, Method::HEAD, "say", "", &[], &[]).await;
    assert_eq!((head.status().as_u16(), is_hit(&head)), (200, true));
    assert_eq!(header(head.headers(), "content-length"), body.len().to_string());
    assert_eq!(asked(&host).await, 1);
    assert_eq!(outcomes(&host, "hit").await, 4);
    assert!(host.metrics().await.sum("bodega_gateway_cache_bytes", &[]) > 0.0);

    let first_of_known = said(&host, Method::GET, "say?b", "", &fresh, &[("if-none-match", "\"a\"")]).await;
    assert_eq!(first_of_known.status(), 304, "also of what was not stored");
    assert!(is_hit(&say(&host, "say?b", &[]).await), "and it is now");
    let only = said(&host, Method::GET, "say?c", "", &[FRESH], &[("cache-control", "only-if-cached")]).await;
    assert_eq!(only.status(), 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_answers_are_for_nobody_else() {
    let host = host(
        "[[rules]]\nquery = { users = true }\ncache = { authenticated = true }\n\
         [[rules]]\nquery = { renamed = true }\ncache = { ttl = \"60s\" }\n\
         request_headers = { rename = { authorization = \"x-auth\" } }\n\
         [[rules]]\npath = \"/variant/...\"\ncache = { ttl = \"60s\" }\n",
    )
    .await;
    let token = [("authorization", "Bearer a")];
    for (path, say, headers) in [
        ("say?a", &["cache-control: no-store"][..], &[][..]),
        ("say?b", &["cache-control: private, max-age=60"], &[]),
        ("say?c", &[FRESH, "set-cookie: a=b"], &[]),
        ("say?d", &[FRESH, "vary: *"], &[]),
        ("say?e", &["cache-control: public, max-age=60"], &token),
        ("say?f", &[FRESH], &[("range", "bytes=0-1")]),
        ("say?g", &[FRESH], &[("cache-control", "no-store")]),
        ("say?users=1", &[FRESH], &token),
        ("say?renamed=1", &[FRESH], &token),
    ] {
        let first = text(said(&host, Method::GET, path, "", say, headers).await).await;
        let second = said(&host, Method::GET, path, "", say, headers).await;
        assert!(!is_hit(&second), "{path}: {second:?}");
        assert_ne!(text(second).await, first, "{path}");
        let others = said(&host, Method::GET, path, "", say, &[]).await;
        assert!(!is_hit(&others), "{path}: {others:?}");
    }
    let public = ["cache-control: public, max-age=60"];
    let first = text(said(&host, Method::GET, "say?users=2", "", &public, &token).await).await;
    let second = said(&host, Method::GET, "say?users=2", "", &public, &[("authorization", "Bearer b")]).await;
    assert_eq!((is_hit(&second), text(second).await), (true, first), "the answer says that all may have it");
    assert!(
        !is_hit(&said(&host, Method::GET, "say?e", "", &[FRESH], &token).await),
        "who asks is not answered from it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_for_those_who_ask_alike() {
    let host = host(TTL).await;
    let vary = ["vary: accept-language"];
    let in_language = async |language| {
        let answer = said(&host, Method::GET, "say", "", &vary, &[("accept-language", language)]).await;
        (is_hit(&answer), text(answer).await)
    };
    let (german, english) = (in_language("de").await, in_language("en").await);
    assert!(!german.0 && !english.0 && german.1 != english.1);
    assert_eq!(in_language("de").await, (true, german.1));
    assert_eq!(in_language("en").await, (true, english.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_cookies_is_for_others_only_if_it_says_so() {
    let host = host(TTL).await;
    let by = async |path: &str, cookie: &str, say: &[&str]| {
        let answer = said(&host, Method::GET, path, "", say, &[("cookie", cookie)]).await;
        (is_hit(&answer), text(answer).await)
    };
    let (session, own) = ("session=1", "bodega-shopper=1");
    let (is_known, first) = by("say?unsaid", session, &[]).await;
    assert!(!is_known);
    let (is_known, others) = by("say?unsaid", own, &[]).await;
    assert!(!is_known && others != first, "it was for the session alone, perhaps");
    assert_eq!(by("say?unsaid", own, &[]).await, (true, others.clone()));
    let (is_known, again) = by("say?unsaid", session, &[]).await;
    assert!(!is_known && again != others, "which is not answered by what is for others");
    assert_eq!(by("say?unsaid", own, &[]).await, (true, others));
    let (_, first) = by("say?said", session, &[FRESH]).await;
    assert_eq!(by("say?said", "session=2", &[]).await, (true, first), "this says that it is for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_change_requests_share_no_answers_with_those_that_do_not() {
    let host = host(&format!(
        "[[rules]]\npath = \"/variant/...\"\nheaders = {{ x-edit = true }}\ncache = {{ ttl = \"60s\" }}\n\
         request_headers = {{ set = {{ x-say-header = \"x-own: edited\" }} }}\n\
         [[rules]]\npath = \"/variant/...\"\nheaders = {{ x-rewrite = true }}\ncache = {{ ttl = \"60s\" }}\n\
         rewrite = \"/variant/given\"\n{TTL}"
    ))
    .await;
    let by_rule = async |header: &str| {
        let answer = said(&host, Method::GET, "say", "", &[], &[(header, "1")]).await;
        (is_hit(&answer), text(answer).await)
    };
    let mut known = BTreeSet::new();
    for header in ["x-edit", "x-rewrite", "x-none"] {
        let (is_known, said) = by_rule(header).await;
        assert!(!is_known && known.insert(said.clone()), "{header}");
        assert_eq!(by_rule(header).await, (true, said));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_one_asks_the_component() {
    let host = host(CACHED).await;
    let host = &host;
    let all = async |path: &str, how: &str, say: &[&str]| {
        let asked = (0..CLIENTS).map(|_| async {
            // Each has a connection of its own, so that all threads are among those that wait.
            let client = tests::client::builder().build().expect("a client");
            let request = client.get(host.url(&format!("/variant/{path}"))).header("x-say", how);
            let request = say.iter().fold(request, |request, header| request.header("x-say-header", *header));
            text(request.send().await.expect("an answer")).await
        });
        join_all(asked).await.into_iter().collect::<BTreeSet<String>>().len()
    };
    assert_eq!(all("say?whole", "delay_ms=300", &[FRESH]).await, 1);
    assert_eq!(asked(host).await, 1);
    assert_eq!(all("say?streamed", "delay_ms=100 drip_ms=300", &[FRESH]).await, 1);
    assert_eq!(asked(host).await, 2);
    let started = Instant::now();
    assert_eq!(all("say?private", "delay_ms=200", &["cache-control: private"]).await, CLIENTS);
    assert!(started.elapsed() < Duration::from_millis(200) * 10, "they do not wait for each other one by one");
    let started = Instant::now();
    assert_eq!(all("say?private", "delay_ms=200", &["cache-control: private"]).await, CLIENTS);
    assert!(started.elapsed() < Duration::from_millis(200) * 8, "nor at all, the next time");
    let before = asked(host).await;
    let failing = said(host, Method::GET, "say?fails", "status=503 delay_ms=300", &[], &[]);
    let others = async {
        sleep(Duration::from_millis(100)).await;
        all("say?fails", "delay_ms=100", &[FRESH]).await
    };
    let (failed, others) = futures::join!(failing, others);
    assert_eq!((failed.status().as_u16(), others, asked(host).await - before), (503, 1, 2), "one of them asks again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_leaves_the_answer_to_others() {
    let host = host(CACHED).await;
    let request = format!(
        "GET /variant/say HTTP/1.1\r\nhost: {}\r\nx-say: delay_ms=1000\r\nx-say-header: {FRESH}\r\n\r\n",
        host.address()
    );
    let mut first = RawConnection::open(&host).await;
    assert!(first.send(request).await);
    sleep(Duration::from_millis(300)).await;
    let waiting = async { said(&host, Method::GET, "say", "", &[FRESH], &[]).await };
    let leaving = async {
        sleep(Duration::from_millis(100)).await;
        first.reset();
    };
    let started = Instant::now();
    let (answer, ()) = futures::join!(waiting, leaving);
    assert_eq!(answer.status(), 200);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(is_hit(&say(&host, "say", &[]).await), "and it is stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_answer_is_asked_about_given_meanwhile_and_stands_in() {
    let host = host(CACHED).await;
    let past = Duration::from_millis(1_100);
    let validated = ["cache-control: max-age=1", "etag: \"a\""];
    let first = text(say(&host, "say?v", &validated).await).await;
    sleep(past).await;
    let again = say(&host, "say?v", &validated).await;
    assert_eq!(told(&again).split("; ttl").next(), Some("Bodega; fwd=stale; fwd-status=304; stored"));
    assert_eq!((again.status().as_u16(), text(again).await), (200, first.clone()));
    assert!(is_hit(&say(&host, "say?v", &[]).await), "it is fresh again");
    assert_eq!(outcomes(&host, "revalidated").await, 1);

    let meanwhile = ["cache-control: max-age=1, stale-while-revalidate=60"];
    let first = text(say(&host, "say?m", &meanwhile).await).await;
    sleep(past).await;
    let stale = said(&host, Method::GET, "say?m", "delay_ms=500", &meanwhile, &[]).await;
    assert!(is_hit(&stale) && told(&stale).contains("ttl=-"), "{stale:?}");
    assert_eq!(text(stale).await, first, "nobody waits");
    let deadline = Instant::now() + PATIENCE;
    while text(say(&host, "say?m", &meanwhile).await).await == first {
        assert!(Instant::now() < deadline, "it is made new meanwhile");
        sleep(Duration::from_millis(50)).await;
    }

    let stands_in = ["cache-control: max-age=1, stale-if-error=60"];
    let first = text(say(&host, "say?e", &stands_in).await).await;
    sleep(past).await;
    let failed = said(&host, Method::GET, "say?e", "status=503", &[], &[]).await;
    assert_eq!((failed.status().as_u16(), text(failed).await), (200, first));
    let strict = ["cache-control: max-age=1, stale-if-error=60, must-revalidate"];
    text(say(&host, "say?s", &strict).await).await;
    sleep(past).await;
    assert_eq!(said(&host, Method::GET, "say?s", "status=503", &[], &[]).await.status(), 503);
    assert!(outcomes(&host, "stale").await >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_meanwhile_does_not_stand_in() {
    let host = host(CACHED).await;
    let stands_in = ["cache-control: max-age=1, stale-if-error=60", "surrogate-key: a"];
    text(say(&host, "say", &stands_in).await).await;
    sleep(Duration::from_millis(1_100)).await;
    let failing = said(&host, Method::GET, "say", "status=503 delay_ms=600", &[], &[]);
    let change = async {
        sleep(Duration::from_millis(300)).await;
        said(&host, Method::POST, "say?change", "", &["x-bodega-purge: a"], &[]).await
    };
    let (failed, _) = futures::join!(failing, change);
    assert_eq!(failed.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_fails_is_stood_in_for() {
    let rule = "[[rules]]\npath = \"/variant/...\"\ncache = { ttl = \"1s\", stale_if_error = \"1h\" }\n";
    let host = host(rule).await;
    // Deployments drop what is stored, so the trap is in what the request has it do.
    let first = text(say(&host, "say", &[]).await).await;
    sleep(Duration::from_millis(1_100)).await;
    let trapped = said(&host, Method::GET, "say", "trap=1", &[], &[]).await;
    assert_eq!((trapped.status().as_u16(), text(trapped).await), (200, first));
    assert_eq!(said(&host, Method::GET, "say?other", "trap=1", &[], &[]).await.status(), 500);
    let with_fallback = rule.replace("cache =", "fallback = { status = 200, body = \"closed\" }\ncache =");
    fs::write(host.folder().join("gateway.toml"), with_fallback).expect("the folder is writable");
    assert_eq!(host.control("POST", "/v1/gateway/reload", "").await.status(), 200);
    let trapped = said(&host, Method::GET, "say", "trap=1", &[], &[]).await;
    assert!(text(trapped).await.starts_with("one"), "what is stored comes before what is said in place of an answer");
    assert_eq!(text(said(&host, Method::GET, "say?other", "trap=1", &[], &[]).await).await, "closed");
    assert!(text(say(&host, "say?other", &[]).await).await.starts_with("one"), "which is not stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_leaves_a_body_unread_and_the_connection_in_order() {
    let host = host(CACHED).await;
    text(say(&host, "say", &[FRESH]).await).await;
    let mut connection = RawConnection::open(&host).await;
    let address = host.address();
    let get = |body: &str| {
        let length = body.len();
        format!("GET /variant/say HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    // What is left of a body must not be taken for a request.
    let smuggled = format!("GET /variant/smuggled HTTP/1.1\r\nhost: {address}\r\n\r\n");
    assert!(connection.send(get(&smuggled)).await);
    let first = connection.read_until("\n").await;
    assert_eq!(status(&first), 200, "{first}");
    connection.send(format!("GET /nowhere HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")).await;
    let rest = connection.read_to_end(PATIENCE).await;
    let answers = format!("{first}{rest}");
    assert!(answers.contains("cache-status: Bodega; hit"), "{answers}");
    // The connection goes on with the next request, or ends.
    let statuses: Vec<u16> =
        answers.split("HTTP/1.1 ").skip(1).map(|part| part[..3].parse().expect("a status")).collect();
    assert!(statuses == [200, 404] || statuses == [200], "{answers}");

    let bodied = said_with_body(&host, "say?bodied").await;
    assert!(!is_hit(&bodied));
    assert!(!is_hit(&say(&host, "say?bodied", &[FRESH]).await), "what was said to a body is for nobody else");
}

async fn said_with_body(host: &Host, path: &str) -> Response {
    let request = host.client().get(host.url(&format!("/variant/{path}"))).header("x-say-header", FRESH).body("a=b");
    request.send().await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_is_stored_and_another_rule_holds_for_it() {
    let host = host(TTL).await;
    let known = text(say(&host, "say", &["set-cookie-not: 1"]).await).await;
    let file = host.folder().join("gateway.toml");
    let reload = async |text: &str| {
        fs::write(&file, text).expect("the folder is writable");
        assert_eq!(host.control("POST", "/v1/gateway/reload", "").await.status(), 200);
    };
    reload(&format!("[all]\nsecurity_headers = true\n{TTL}")).await;
    let again = say(&host, "say", &[]).await;
    assert_eq!((is_hit(&again), text(again).await), (true, known.clone()));
    reload("[[rules]]\npath = \"/variant/...\"\n").await;
    let uncached = say(&host, "say", &[]).await;
    assert!(!uncached.headers().contains_key("cache-status"));
    assert_ne!(text(uncached).await, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_has_a_bound() {
    let host = host(&format!("[cache]\nbytes_max = \"256KiB\"\nentry_bytes_max = \"16KiB\"\n{TTL}")).await;
    let bytes = async || host.metrics().await.sum("bodega_gateway_cache_bytes", &[]);
    let large = async |path: &str, repeat: u32| {
        text(said(&host, Method::GET, path, &format!("repeat={repeat}"), &[], &[]).await).await;
    };
    for number in 0..100 {
        large(&format!("say?{number}"), 200).await;
        assert!(bytes().await <= f64::from(256 << 10));
    }
    assert!(bytes().await > f64::from(64 << 10), "some of them are stored: {}", bytes().await);
    large("say?large", 2_000).await;
    assert!(!is_hit(&said(&host, Method::GET, "say?large", "", &[], &[]).await), "it is too large");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cache_does_is_explained_logged_and_checked() {
    let app = variant_app("strategy = \"rolling\"").file(
        "gateway.toml",
        "[[rules]]\npath = \"/variant/...\"\ncache = { ttl = \"60s\", stale_while_revalidate = \"30s\", stale_if_error = \"10m\" }\n",
    );
    let manifest = app.folder().join("spin.toml");
    let explain = async |arguments: &[&str]| {
        let all = [&["route"], arguments, &["-f", manifest.to_str().expect("UTF-8")]].concat();
        String::from_utf8_lossy(&app.command(&all).await.expect("the binary runs").stdout).into_owned()
    };
    let get = explain(&["GET", "/variant/say"]).await;
    let expected = "cache: answers that say how long they are fresh, others for 1m; stale while it is asked again for 30s; \
                    stale where the service fails for 10m";
    assert!(get.contains(expected), "{get}");
    assert!(explain(&["GET", "/variant/say", "-H", "authorization: Bearer a"]).await.contains("says who asks"));
    assert!(explain(&["POST", "/variant/say"]).await.contains("cache: passed by"));
    let host = app.environment("BODEGA_LOG", "info,access=info").environment("BODEGA_LOG_FORMAT", "json").start().await;
    for _ in 0..2 {
        text(say(&host, "say", &[]).await).await;
    }
    host.log_line(&["\"cache\":\"miss\"", "\"component\":\"variant\""]).await;
    host.log_line(&["\"cache\":\"hit\"", "\"route\":\"/variant/...\""]).await;

    for (text, said) in [
        ("[cache]\nbytes_max = \"1MiB\"\nentry_bytes_max = \"512KiB\"\n", "gateway.toml:3:19"),
        ("[cache]\nbytes_max = \"much\"\n", "no size"),
        ("[all]\ncache = { tll = \"1s\" }\n", "did you mean `ttl`"),
        ("[all]\ncache = { ttl = \"forever\" }\n", "no duration"),
    ] {
        let refusal = App::new().guest("hello", "").file("gateway.toml", text).refused().await;
        refusal.assert_says(&[said]);
    }
}
