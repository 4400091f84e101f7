//! A part of the shop is slow, failing or asked too much: the rest goes on, and nobody waits for what will not come.

use std::time::Duration;

use serde_json::Value;
use tests::app::App;
use tests::host::Host;
use tests::legacy::{Legacy, Mood};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

async fn host(gateway: &str) -> Host {
    App::new().misbehaving_guest("").guest("hello", "").file("gateway.toml", gateway).start().await
}

fn upstream(legacy: &Legacy, settings: &str, rule: &str) -> String {
    format!(
        "[upstreams.legacy]\nservers = [\"{}\"]\neject = {{ failures = 1000000 }}\n{settings}\n\
         [[rules]]\npath = \"/old/...\"\nto = {{ upstream = \"legacy\" }}\n{rule}\n",
        legacy.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_come_twice_is_sent_once_more_and_nothing_else_is() {
    let legacy = Legacy::start("legacy").await;
    let host = host(&upstream(&legacy, "", "retry = { retries = 1 }")).await;
    let requests = async |request: reqwest::RequestBuilder| {
        let before = legacy.requests();
        let status = request.send().await.expect("an answer").status().as_u16();
        (status, legacy.requests() - before)
    };
    for mood in [Mood::Fails(503), Mood::BreaksOff] {
        legacy.set_mood(mood);
        let failed = if mood == Mood::BreaksOff { 502 } else { 503 };
        assert_eq!(requests(host.request("/old/a")).await, (failed, 2));
        assert_eq!(requests(host.post("/old/a").body("x")).await, (failed, 1));
        let keyed = host.post("/old/a").header("idempotency-key", "k").body("all of it");
        assert_eq!(requests(keyed).await, (failed, 2));
        assert!(legacy.bodies().ends_with(&["all of it".to_owned(), "all of it".to_owned()]), "{:?}", legacy.bodies());
        // The budget is a few a second where there are few requests.
        sleep(Duration::from_secs(1)).await;
    }
    legacy.set_mood(Mood::Fails(500));
    assert_eq!(requests(host.request("/old/a")).await, (500, 1), "it has answered, which may be the answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_is_asked_where_one_fails() {
    let (ill, well) = (Legacy::start("ill").await, Legacy::start("well").await);
    ill.set_mood(Mood::Fails(503));
    let gateway = format!(
        "[upstreams.legacy]\nservers = [\"{}\", \"{}\"]\neject = {{ failures = 1000000 }}\n\
         [[rules]]\npath = \"/old/...\"\nto = {{ upstream = \"legacy\" }}\nretry = {{ retries = 1 }}\n",
        ill.url(),
        well.url()
    );
    let host = host(&gateway).await;
    // As many as the budget has retries for at the least.
    for _ in 0..3 {
        assert_eq!(host.get("/old/a").await.status(), 200);
    }
    assert!(ill.requests() >= 1 && well.requests() == 3, "{} and {}", ill.requests(), well.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_does_wrong_is_not_blamed_on_the_service() {
    let legacy = Legacy::start("legacy").await;
    let gateway = upstream(
        &legacy,
        "breaker = { requests_min = 3, open = \"1m\" }",
        "body_bytes_max = 1000\nfirst_byte_timeout = \"300ms\"",
    );
    let host = host(&gateway.replace("failures = 1000000", "failures = 1, for = \"1m\"")).await;
    for _ in 0..5 {
        let pieces = (0..20).map(|_| Ok::<_, std::io::Error>("x".repeat(100)));
        let too_long = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
        let answer = host.post("/old/a").body(too_long).send().await.expect("an answer");
        assert_eq!(answer.status(), 413);
    }
    let slow = futures::stream::unfold(0, async |piece| {
        sleep(Duration::from_millis(200)).await;
        (piece < 4).then(|| (Ok::<_, std::io::Error>("x"), piece + 1))
    });
    let answer = host.post("/old/a").body(reqwest::Body::wrap_stream(slow)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "it takes longer than the service may");
    for _ in 0..3 {
        // A client that goes away in the middle of its body.
        let mut connection = tests::raw::RawConnection::open(&host).await;
        connection.send("POST /old/a HTTP/1.1\r\nhost: shop\r\ncontent-length: 900\r\n\r\nhalf").await;
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(host.get("/old/a").await.status(), 200, "neither the server nor the breaker was blamed");
    assert_eq!(host.metrics().await.sum("bodega_gateway_breaker_changes_total", &[]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_do_not_bury_what_is_overloaded() {
    let legacy = Legacy::start("legacy").await;
    legacy.set_mood(Mood::Fails(503));
    let host = host(&upstream(&legacy, "", "retry = { retries = 5 }")).await;
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(host.get("/old/a").await.status(), 503);
    }
    let (retries, seconds) = (legacy.requests() - 100, began.elapsed().as_secs_f64());
    let most = 100.0 * 0.2 + 3.0 * (seconds + 1.0);
    assert!((20.0..=most).contains(&(retries as f64)), "{retries} in {seconds} s");
    let counted = host.metrics().await.sum("bodega_gateway_retries_total", &[]);
    assert_eq!(counted as usize, retries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_fails_is_not_asked_for_a_while_and_something_else_is_shown() {
    let legacy = Legacy::start("legacy").await;
    let breaker = "breaker = { requests_min = 5, open = \"500ms\", probes = 1 }";
    let fallback = "fallback = { body = \"[]\", headers = { cache-control = \"no-store\" } }";
    let host = host(&upstream(&legacy, breaker, fallback)).await;
    legacy.set_mood(Mood::Fails(500));
    for _ in 0..20 {
        let answer = host.get("/old/a").await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (200, &"no-store".parse().expect("a value"))
        );
        assert_eq!(answer.text().await.expect("a text"), "[]");
    }
    let fallbacks = host.metrics().await.sum("bodega_gateway_fallbacks_total", &[]);
    assert_eq!(fallbacks, 20.0, "what is hidden from shoppers is not hidden from who runs the shop");
    let asked = legacy.requests();
    assert!((5..10).contains(&asked), "{asked}");
    host.log_line(&["too many requests fail", "legacy"]).await;
    // What changes something is not as if it had been done.
    let refused = host.post("/old/a").send().await.expect("an answer");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:bodega:problem:unavailable");
    legacy.set_mood(Mood::Well);
    while legacy.requests() < asked + 3 {
        assert_eq!(host.get("/old/a").await.status(), 200);
        sleep(Duration::from_millis(20)).await;
    }
    host.log_line(&["asked again", "legacy"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_of_a_component_spares_it_too() {
    let host = host(
        "[components.misbehave]\nbreaker = { requests_min = 3, open = \"1m\" }\n\
         [[rules]]\npath = \"/misbehave/slow\"\nfirst_byte_timeout = \"100ms\"\n",
    )
    .await;
    for _ in 0..3 {
        assert_eq!(host.get("/misbehave/slow?ms=5000").await.status(), 504);
    }
    assert_eq!(host.get("/misbehave/echo").await.status(), 503);
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert_eq!(host.metrics().await.sum("bodega_gateway_refused_total", &[("reason", "breaker_open")]), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_never_answers_in_time_is_spared_too() {
    let legacy = Legacy::start("legacy").await;
    legacy.set_mood(Mood::Slow(Duration::from_secs(60)));
    let host = host(&upstream(&legacy, "breaker = { requests_min = 3, open = \"1m\" }", "timeout = \"100ms\"")).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(host.get("/old/a").await.status().as_u16());
    }
    assert_eq!(statuses, [504, 504, 504, 503, 503]);
    let metrics = host.metrics().await;
    assert_eq!(metrics.sum("bodega_gateway_breaker_changes_total", &[("target", "legacy"), ("change", "opened")]), 1.0);
    assert_eq!(metrics.sum("bodega_upstream_requests_total", &[("upstream", "legacy"), ("status_class", "5xx")]), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_too_long_is_cut() {
    let host = host("[[rules]]\npath = \"/misbehave/...\"\ntimeout = \"300ms\"\n").await;
    let began = Instant::now();
    assert_eq!(host.get("/misbehave/slow?ms=60000").await.status(), 504);
    let body = host.get("/misbehave/stall-body").await;
    assert_eq!(body.status(), 200);
    assert!(body.bytes().await.is_err(), "its end is not passed off as the whole");
    let mut endless = host.get("/misbehave/endless-body").await;
    while endless.chunk().await.is_ok_and(|piece| piece.is_some()) {
        assert!(began.elapsed() < Duration::from_secs(5), "what always goes on has an end too");
    }
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_of_a_rule_are_under_way_than_it_says() {
    let host = host("[[rules]]\npath = \"/misbehave/...\"\nconcurrency = 3\n").await;
    let mut asked = JoinSet::new();
    for _ in 0..6 {
        let request = host.request("/misbehave/slow?ms=1500");
        asked.spawn(async move { request.send().await.expect("an answer").status().as_u16() });
    }
    let mut statuses = asked.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 503, 503, 503]);
    assert_eq!(host.get("/misbehave/slow?ms=1").await.status(), 200, "places are given back");
    assert_eq!(host.metrics().await.sum("bodega_gateway_refused_total", &[("reason", "concurrency")]), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_matters_less_is_turned_away_first() {
    let host = host(
        "[shedding]\nconcurrency = 10\n\
         [[rules]]\npath = \"/misbehave/slow\"\nheaders = { x-class = \"checkout\" }\npriority = \"high\"\n\
         [[rules]]\npath = \"/misbehave/slow\"\nheaders = { x-class = \"hints\" }\npriority = \"low\"\n",
    )
    .await;
    let mut asked = JoinSet::new();
    let answered = async |class: &str, asked: &mut JoinSet<(String, u16)>| {
        // One after the other, so that it is known who came first.
        for _ in 0..10 {
            let request = host.request("/misbehave/slow?ms=3000").header("x-class", class);
            let class = class.to_owned();
            asked.spawn(async move { (class, request.send().await.expect("an answer").status().as_u16()) });
        }
        sleep(Duration::from_millis(500)).await;
    };
    for class in ["hints", "browsing", "checkout"] {
        answered(class, &mut asked).await;
    }
    let answers = asked.join_all().await;
    let served = |class: &str| answers.iter().filter(|(of, status)| of == class && *status == 200).count();
    assert_eq!((served("hints"), served("browsing"), served("checkout")), (5, 3, 2), "{answers:?}");
    assert_eq!(host.metrics().await.sum("bodega_gateway_refused_total", &[("reason", "shed")]), 20.0);
}
