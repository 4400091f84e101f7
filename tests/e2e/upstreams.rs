//! A shop moves over piece by piece: rules have services outside of the host answer in place of components.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose;
use serde_json::Value;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::legacy::{HEALTH_PATH, Legacy, Mood};
use tokio::time::{Instant, sleep};

use crate::authority::Authority;

/// How often a change is looked for.
const POLL: Duration = Duration::from_millis(50);

async fn host(gateway: &str) -> Host {
    App::new().guest("interfaces", "").guest("hello", "").file("gateway.toml", gateway).start().await
}

fn servers(legacies: &[&Legacy]) -> String {
    let urls = legacies.iter().map(|legacy| format!("\"{}\"", legacy.url())).collect::<Vec<_>>().join(", ");
    format!("[upstreams.legacy]\nservers = [{urls}]\n")
}

const TO_LEGACY: &str = "[[rules]]\npath = \"/old/...\"\nto = { upstream = \"legacy\" }\n";

async fn described(host: &Host, path: &str) -> Value {
    let answer = host.get(path).await;
    assert_eq!(answer.status(), 200, "{path}");
    answer.json().await.expect("JSON")
}

async fn service(host: &Host, path: &str) -> String {
    described(host, path).await["service"].as_str().expect("a name").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_outside_answer_in_turn_and_see_the_request_as_it_was() {
    let (one, two) = (Legacy::start("one").await, Legacy::start("two").await);
    let rule = "[[rules]]\npath = \"/old/:kind/...\"\nrewrite = \"/v2/:kind/...\"\nto = { upstream = \"legacy\" }\n";
    let host = host(&format!("{}{rule}", servers(&[&one, &two]))).await;
    let answer = host
        .post("/old/orders/7?full=1&x=%20")
        .header("x-kept", "yes")
        .header("connection", "x-gone, x-forwarded-for, host, x-request-id")
        .header("x-gone", "1")
        .header("spin-path-info", "/forged")
        .body("a body")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().get("keep-alive").is_none(), "what is for one connection is not passed on");
    assert!(answer.headers().contains_key("x-request-id"));
    let seen: Value = answer.json().await.expect("JSON");
    assert_eq!(
        (&seen["method"], &seen["uri"], &seen["body"]),
        (&"POST".into(), &"/v2/orders/7?full=1&x=%20".into(), &"a body".into())
    );
    let headers = &seen["headers"];
    assert_eq!(headers["host"], host.address());
    assert_eq!((&headers["x-forwarded-for"], &headers["via"]), (&"127.0.0.1".into(), &"1.1 bodega".into()));
    assert_eq!(headers["x-kept"], "yes");
    assert!(headers["x-gone"].is_null() && headers["spin-path-info"].is_null(), "{headers}");
    assert!(headers["traceparent"].is_string() && headers["x-request-id"].is_string(), "{headers}");

    let mut answered = BTreeMap::new();
    for _ in 0..9 {
        *answered.entry(service(&host, "/old/a").await).or_insert(0) += 1;
    }
    assert!(answered.values().all(|count| (4..=5).contains(count)), "{answered:?}");
    assert!(one.connections() + two.connections() <= 4, "connections are used again");
    assert_eq!(host.text("/hello/").await, "Hello, world!\n", "what the rule is not for goes to its component");
}

#[tokio::test(flavor = "multi_thread")]
async fn some_shoppers_are_answered_by_the_new_shop_and_stay_there() {
    let old = Legacy::start("old").await;
    let host = host(&format!(
        "trusted_proxies = [\"127.0.0.1\"]\n{}[[rules]]\npath = \"/interfaces/...\"\n\
         to = [{{ upstream = \"legacy\", weight = 70 }}, {{ component = \"interfaces\", weight = 30 }}]\n",
        servers(&[&old])
    ))
    .await;
    let is_new = async |client: usize| {
        let address = format!("203.0.{}.{}", client / 250, client % 250 + 1);
        let answer = host.request("/interfaces/request").header("x-forwarded-for", address).send().await;
        let seen: Value = answer.expect("an answer").json().await.expect("JSON");
        // The component describes its requests too, but has no name.
        let is_new = seen["service"].is_null();
        if is_new {
            assert_eq!(seen["headers"]["spin-component-route"], serde_json::json!([""]), "{seen}");
        }
        is_new
    };
    let mut new = 0;
    for client in 0..400 {
        let side = is_new(client).await;
        new += usize::from(side);
        if client % 10 == 0 {
            assert_eq!(is_new(client).await, side, "a shopper stays");
        }
    }
    // 30 % of 400, and four standard deviations.
    assert!((84..=156).contains(&new), "{new}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_left_alone_and_comes_back() {
    let (one, two) = (Legacy::start("one").await, Legacy::start("two").await);
    let settings = format!(
        "health_check = {{ path = \"{HEALTH_PATH}\", every = \"100ms\", timeout = \"1s\", healthy_after = 1, unhealthy_after = 1 }}\n"
    );
    let host = host(&format!("{}{settings}{TO_LEGACY}", servers(&[&one, &two]))).await;
    one.set_mood(Mood::Fails(500));
    host.log_line(&["does not pass its checks", &one.url()]).await;
    let before = one.requests();
    for _ in 0..10 {
        assert_eq!(service(&host, "/old/a").await, "two");
    }
    assert_eq!(one.requests(), before);
    one.set_mood(Mood::Well);
    host.log_line(&["well again", &one.url()]).await;
    let mut answered = BTreeSet::new();
    for _ in 0..4 {
        answered.insert(service(&host, "/old/a").await);
    }
    assert_eq!(answered.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_requests_fail_is_left_alone_without_any_check() {
    let one = Legacy::start("one").await;
    let gone = Legacy::start("gone").await;
    gone.set_mood(Mood::BreaksOff);
    let settings = "eject = { failures = 2, for = \"1m\" }\n";
    let host = host(&format!("{}{settings}{TO_LEGACY}", servers(&[&one, &gone]))).await;
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(host.get("/old/a").await.status().as_u16());
    }
    assert_eq!(statuses.iter().filter(|status| **status == 502).count(), 2, "{statuses:?}");
    host.log_line(&["left alone for 1m", &gone.url()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_notices_a_server_that_cannot_be_connected_to() {
    let one = Legacy::start("one").await;
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound")
    };
    let host =
        host(&format!("[upstreams.legacy]\nservers = [\"http://{gone}\", \"{}\"]\n{TO_LEGACY}", one.url())).await;
    for _ in 0..10 {
        let answer = host.post("/old/a").body("once").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "it has not seen the request");
    }
    assert_eq!(one.bodies(), vec!["once"; 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_file_fails_no_request_of_an_upstream() {
    let legacy = Legacy::start("named").await;
    let gateway = |host: &str| {
        format!("[upstreams.legacy]\ndns = \"http://localhost:{}\"\nhost = \"{host}\"\n{TO_LEGACY}", legacy.port())
    };
    let host = host(&gateway("zero.example")).await;
    host.log_line(&["the servers are now"]).await;
    for change in 0..20 {
        std::fs::write(host.folder().join("gateway.toml"), gateway(&format!("h{change}.example"))).expect("writable");
        let token = std::fs::read_to_string(host.folder().join("state/secrets/admin-token")).expect("a token");
        let reload = host.client().post(host.admin_url("/v1/gateway/reload")).bearer_auth(token.trim());
        assert_eq!(reload.send().await.expect("an answer").status(), 200);
        let seen = described(&host, "/old/a").await;
        assert_eq!(seen["headers"]["host"], format!("h{change}.example"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_brings_a_client_back_to_its_server() {
    let legacies = [Legacy::start("one").await, Legacy::start("two").await, Legacy::start("three").await];
    let all: Vec<&Legacy> = legacies.iter().collect();
    let host = host(&format!("{}sticky_cookie = \"legacy\"\n{TO_LEGACY}", servers(&all))).await;
    let first = host.get("/old/a").await;
    let cookie = first.headers()["set-cookie"].to_str().expect("ASCII").split(';').next().expect("a pair").to_owned();
    let name: Value = first.json().await.expect("JSON");
    for _ in 0..6 {
        let answer = host.request("/old/a").header("cookie", &cookie).send().await.expect("an answer");
        assert!(!answer.headers().contains_key("set-cookie"), "it has one");
        let seen: Value = answer.json().await.expect("JSON");
        assert_eq!(seen["service"], name["service"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_found_by_name_and_asked_over_http2() {
    let legacy = Legacy::start("named").await;
    let gateway = format!(
        "[upstreams.legacy]\ndns = \"http://localhost:{}\"\nhttp2 = true\nhost = \"shop.internal\"\n{TO_LEGACY}",
        legacy.port()
    );
    let host = host(&gateway).await;
    host.log_line(&["the servers are now", "127.0.0.1"]).await;
    let deadline = Instant::now() + PATIENCE;
    // `localhost` may be `::1` too, where nobody listens.
    let seen = loop {
        let answer = host.get("/old/a").await;
        if answer.status() == 200 {
            break answer.json::<Value>().await.expect("JSON");
        }
        assert!(Instant::now() < deadline, "{}", answer.status());
        sleep(POLL).await;
    };
    assert_eq!((&seen["version"], &seen["uri"]), (&"HTTP/2.0".into(), &"http://shop.internal/old/a".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_made_sure_of_by_its_certificate() {
    let secure = App::new().guest("interfaces", "");
    let authority = Authority::new(secure.folder(), "authority");
    authority.vouch(secure.folder(), "server", ExtendedKeyUsagePurpose::ServerAuth);
    let file = |name: &str| secure.folder().join(name).display().to_string();
    let (certificate, key, roots) = (file("server.pem"), file("server.key"), file("authority.pem"));
    let secure = secure.argument("--tls-cert").argument(certificate).argument("--tls-key").argument(key).start().await;
    let upstream = secure.address();
    let gateway = format!("[upstreams.legacy]\nservers = [\"https://{upstream}\"]\n")
        + "[[rules]]\npath = \"/interfaces/...\"\nto = { upstream = \"legacy\" }\n";
    let app = || App::new().guest("hello", "").file("gateway.toml", &gateway);
    let trusting =
        format!("[[client_tls]]\ncomponent_ids = [\"(host)\"]\nhosts = [\"127.0.0.1\"]\nca_roots_file = \"{roots}\"\n");
    let host = app().runtime_config(&trusting).start().await;
    for _ in 0..3 {
        let seen = described(&host, "/interfaces/request").await;
        let url = seen["headers"]["spin-full-url"][0].as_str().expect("a URL");
        assert!(url.starts_with("https://"), "{seen}");
    }
    let doubting = app().start().await;
    assert_eq!(doubting.get("/interfaces/request").await.status(), 502, "nobody vouches for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_is_told_as_such() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let slow = Legacy::start("slow").await;
    slow.set_mood(Mood::Slow(Duration::from_secs(30)));
    let host = host(&format!(
        "{}[upstreams.gone]\nservers = [\"http://127.0.0.1:{gone}\"]\n{TO_LEGACY}first_byte_timeout = \"200ms\"\n\
         [[rules]]\npath = \"/gone\"\nto = {{ upstream = \"gone\" }}\n",
        servers(&[&slow])
    ))
    .await;
    let refused = host.get("/gone").await;
    assert_eq!(refused.status(), 502);
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:bodega:problem:bad-gateway");
    assert!(!problem.to_string().contains(&gone.to_string()), "it is not told where it was looked for");
    let began = Instant::now();
    assert_eq!(host.get("/old/a").await.status(), 504);
    assert!(began.elapsed() < Duration::from_secs(5));
}
