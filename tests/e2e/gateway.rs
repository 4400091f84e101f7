//! The edge: what `gateway.toml` says is done with requests before a component sees them, and changes while the host runs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::HeaderMap;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::raw::{RawConnection, status};
use tests::shop::Shop;
use tests::tokens::TokenIssuer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const RELOADS: usize = 1_000;
/// How often a change is looked for.
const POLL: Duration = Duration::from_millis(50);

/// A host whose guest `interfaces` describes the requests that it gets at `/interfaces/request`.
async fn host(gateway: &str) -> Host {
    App::new().guest("interfaces", "").guest("hello", "").file("gateway.toml", gateway).start().await
}

/// The headers of the request that the component has got.
async fn seen(host: &Host, headers: &[(&str, &str)]) -> Value {
    let request = headers
        .iter()
        .fold(host.request("/interfaces/request"), |request, (name, value)| request.header(*name, *value));
    let described: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    described["headers"].clone()
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
}

async fn until<T: PartialEq + std::fmt::Debug>(expected: T, look: impl AsyncFn() -> T) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = look().await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?}, not {expected:?}");
        sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_passes_off_as_somebody_with_or_without_a_configuration() {
    let forged = [("x-user-id", "admin"), ("x-user-roles", "admin")];
    let bare = App::new().guest("interfaces", "").start().await;
    for host in [&bare, &host("").await] {
        let seen = seen(host, &forged).await;
        assert!(seen["x-user-id"].is_null() && seen["x-user-roles"].is_null(), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_who_the_trusted_proxies_say() {
    let told = [("x-forwarded-for", "6.6.6.6, 203.0.113.7"), ("x-forwarded-proto", "https")];
    let trusting = host("trusted_proxies = [\"127.0.0.1\"]").await;
    let headers = seen(&trusting, &told).await;
    assert_eq!(headers["spin-client-addr"], json!(["203.0.113.7:0"]));
    assert_eq!(headers["x-forwarded-for"], json!(["203.0.113.7"]));
    assert!(headers["spin-full-url"][0].as_str().expect("a URL").starts_with("https://"), "{headers}");

    let headers = seen(&host("").await, &told).await;
    assert!(headers["spin-client-addr"][0].as_str().expect("an address").starts_with("127.0.0.1:"), "{headers}");
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["http"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_lets_a_burst_through_and_says_when_to_come_back() {
    let host = host(
        "trusted_proxies = [\"127.0.0.1\"]\n[rate_limits.slow]\nrate = \"2/m\"\n\
         [[rules]]\npath = \"/hello/...\"\nrate_limits = [\"slow\"]\n",
    )
    .await;
    let ask =
        async |client: &str| host.request("/hello/").header("x-forwarded-for", client).send().await.expect("an answer");
    for left in ["1", "0"] {
        let answer = ask("203.0.113.7").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(answer.headers(), "ratelimit-policy"), "\"slow\";q=2;w=60");
        assert!(header(answer.headers(), "ratelimit").starts_with(&format!("\"slow\";r={left};t=")), "{answer:?}");
    }
    let refused = ask("203.0.113.7").await;
    assert_eq!(refused.status(), 429);
    let wait_s: u64 = header(refused.headers(), "retry-after").parse().expect("seconds");
    assert!((25..=30).contains(&wait_s), "{wait_s}");
    assert_eq!(header(refused.headers(), "content-type"), "application/problem+json");
    let problem: Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:bodega:problem:rate-limited");
    assert_eq!(ask("203.0.113.8").await.status(), 200, "others are not limited by it");
    assert_eq!(host.get("/interfaces/request").await.status(), 200, "nor is what the rule is not for");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_known_by_a_token_and_may_what_the_rule_says() {
    let issuer = TokenIssuer::new();
    let gateway = format!(
        "[tokens]\nissuer = \"bodega\"\naudience = \"bodega\"\njwks = '''{}'''\nclaims = {{ typ = \"access\" }}\n\
         [[rules]]\npath = \"/hello/...\"\nauthentication = \"required\"\nroles = [\"staff\", \"admin\"]\n\
         [[rules]]\npath = \"/interfaces/...\"\nauthentication = \"optional\"\n",
        issuer.jwks()
    );
    let host = host(&gateway).await;
    let status = async |path: &str, token: Option<&str>| {
        let request = host.request(path);
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.expect("an answer").status().as_u16()
    };
    let (customer, staff) = (issuer.access_token("customer"), issuer.access_token("staff"));
    assert_eq!(status("/hello/", Some(&staff)).await, 200);
    assert_eq!(status("/hello/", Some(&staff)).await, 200, "from memory too");
    assert_eq!(status("/hello/", Some(&customer)).await, 403);
    assert_eq!(status("/hello/", None).await, 401);
    for path in ["/hello/", "/interfaces/request"] {
        for (what, forged) in issuer.forgeries(&TokenIssuer::claims("staff")) {
            assert_eq!(status(path, Some(&forged)).await, 401, "{path} with {what}");
        }
    }
    assert_eq!(status("/interfaces/request", None).await, 200, "there need not be a token");
    let refused = host.get("/hello/").await;
    assert!(header(refused.headers(), "www-authenticate").starts_with("Bearer"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_known_by_its_key_which_no_component_sees() {
    let issuer = TokenIssuer::new();
    let digest = |key: &str| hex::encode(Sha256::digest(key));
    let gateway = format!(
        "[tokens]\nissuer = \"bodega\"\naudience = \"bodega\"\njwks = '''{}'''\nclaims = {{ typ = \"access\" }}\n\
         [clients.erp]\nkey_sha256 = [\"{}\", \"{}\"]\nroles = [\"staff\"]\n[clients.till]\nkey_sha256 = \"{}\"\n\
         [rate_limits.one]\nby = \"user\"\nrate = \"4/m\"\n\
         [[rules]]\npath = \"/interfaces/...\"\nauthentication = \"required\"\nroles = [\"staff\"]\nrate_limits = [\"one\"]\n",
        issuer.jwks(),
        digest("erp key"),
        digest("erp key of before"),
        digest("till key"),
    );
    let host = host(&gateway).await;
    let ask = async |key: Option<&str>, token: Option<&str>| {
        let request = host.request("/interfaces/request");
        let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.expect("an answer")
    };
    for key in ["erp key", "erp key of before"] {
        let answer = ask(Some(key), None).await;
        assert_eq!(answer.status(), 200);
        let described: Value = answer.json().await.expect("JSON");
        assert!(!described.to_string().contains("erp key"), "{described}");
    }
    assert_eq!(ask(Some("till key"), None).await.status(), 403, "it has no such role");
    assert_eq!(ask(Some("no key"), None).await.status(), 401);
    assert_eq!(ask(None, None).await.status(), 401);
    let staff = issuer.access_token("staff");
    assert_eq!(ask(None, Some(&staff)).await.status(), 200);
    assert_eq!(ask(Some("till key"), Some(&staff)).await.status(), 200, "the token says who asks");
    assert_eq!(ask(Some("erp key"), Some("forged")).await.status(), 401);
    let left = ask(Some("erp key"), None).await;
    assert!(header(left.headers(), "ratelimit").starts_with("\"one\";r=1;"), "each has a limit of its own: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_may_what_is_said_also_when_they_are_refused() {
    let host = host(
        "[rate_limits.one]\nrate = \"1/m\"\n[[rules]]\npath = \"/hello/...\"\nrate_limits = [\"one\"]\n\
         cors = { origins = [\"https://shop.example\"], methods = [\"GET\"], credentials = true }\n",
    )
    .await;
    let preflight = host.client().request(reqwest::Method::OPTIONS, host.url("/hello/"));
    let preflight = preflight.header("origin", "https://shop.example").header("access-control-request-method", "GET");
    for _ in 0..2 {
        let answer = preflight.try_clone().expect("no body").send().await.expect("an answer");
        assert_eq!(answer.status(), 204, "a question is no request");
        assert_eq!(header(answer.headers(), "access-control-allow-methods"), "GET");
        assert_eq!(header(answer.headers(), "access-control-allow-origin"), "https://shop.example");
    }
    for status in [200, 429] {
        let answer = host.request("/hello/").header("origin", "https://shop.example").send().await.expect("an answer");
        assert_eq!(answer.status(), status);
        assert_eq!(header(answer.headers(), "access-control-allow-origin"), "https://shop.example");
        assert_eq!(header(answer.headers(), "access-control-allow-credentials"), "true");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_changed_on_both_ways() {
    let host = host(
        "[all]\nsecurity_headers = true\n\
         request_headers = { remove = [\"x-debug\"], set = { x-edge = \"1\" }, rename = { x-old = \"x-new\" } }\n\
         response_headers = { add = { x-served-by = \"edge\" } }\n",
    )
    .await;
    let headers = seen(&host, &[("x-debug", "1"), ("x-old", "a"), ("x-edge", "forged")]).await;
    assert!(headers["x-debug"].is_null() && headers["x-old"].is_null(), "{headers}");
    assert_eq!((&headers["x-edge"], &headers["x-new"]), (&json!(["1"]), &json!(["a"])));
    for path in ["/hello/", "/nowhere"] {
        let answer = host.get(path).await;
        assert_eq!(header(answer.headers(), "x-served-by"), "edge", "{path}");
        assert_eq!(header(answer.headers(), "x-content-type-options"), "nosniff", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_read_again_and_a_bad_one_changes_nothing() {
    let served_by = |name: &str| format!("[all]\nresponse_headers = {{ set = {{ x-served-by = \"{name}\" }} }}\n");
    let host = host(&served_by("one")).await;
    let file = host.folder().join("gateway.toml");
    let served = async || header(host.get("/hello/").await.headers(), "x-served-by").to_owned();
    assert_eq!(served().await, "one");
    fs::write(&file, served_by("two")).expect("the folder is writable");
    until("two".to_owned(), served).await;

    fs::write(&file, "[all]\nnonsense = 1\n").expect("the folder is writable");
    host.signal(Signal::HUP);
    let said = async || host.log().iter().any(|line| line.contains("gateway.toml:2:1") && line.contains("nonsense"));
    until(true, said).await;
    assert_eq!(served().await, "two");

    fs::write(&file, served_by("six")).expect("the folder is writable");
    host.signal(Signal::HUP);
    until("six".to_owned(), served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_told_before_anything_starts() {
    let refusal = App::new().guest("hello", "").file("gateway.toml", "[[rules]]\npath = 1\n").refused().await;
    refusal.assert_says(&["gateway.toml:2:8", "path", "string"]);
    let app = App::new().guest("hello", "").file("gateway.toml", "[[rules]]\npath = \"/nowhere\"\n");
    let manifest = app.folder().join("spin.toml");
    let checked = app.command(&["check", "-f", manifest.to_str().expect("UTF-8")]).await.expect("the binary runs");
    assert_eq!(checked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(said.contains("gateway.toml:1:1") && said.contains("no request reaches"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reloads_and_is_told_of_mistakes() {
    let host = host("[[rules]]\npath = \"/hello/...\"\n").await;
    let reload = async || {
        let answer = host.control("POST", "/v1/gateway/reload?why=new%20limits", "").await;
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    assert_eq!(reload().await, (200, json!({ "rules": 1 })));
    fs::write(host.folder().join("gateway.toml"), "[[rules]]\npath = 1\n").expect("the folder is writable");
    let (status, problem) = reload().await;
    assert_eq!(status, 422);
    assert!(problem["detail"].as_str().expect("a reason").contains("gateway.toml:2:8"), "{problem}");
    let actions: Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
    let outcomes: Vec<&str> =
        actions.as_array().expect("a list").iter().filter_map(|a| a["outcome"].as_str()).collect();
    assert!(outcomes.len() == 2 && outcomes[0].contains("expected a string") && outcomes[1] == "ok", "{actions}");
    let bare = App::new().guest("hello", "").start().await;
    assert_eq!(bare.control("POST", "/v1/gateway/reload", "").await.status(), 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_counted() {
    let host = host(
        "[rate_limits.one]\nrate = \"1/m\"\n[all]\nrate_limits = [\"one\"]\n\
         [tokens]\nissuer = \"a\"\naudience = \"a\"\njwks_url = \"http://nobody.spin.internal/\"\n\
         [[rules]]\npath = \"/interfaces/...\"\nrate_limits = []\nauthentication = \"required\"\n",
    )
    .await;
    for status in [200, 429, 429] {
        assert_eq!(host.get("/hello/").await.status(), status);
    }
    assert_eq!(host.get("/interfaces/request").await.status(), 401);
    let token = TokenIssuer::new().access_token("staff");
    let answer = host.request("/interfaces/request").bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), 503, "there is nobody who has the keys");
    let metrics = host.metrics().await;
    for (reason, count) in [("rate_limited", 2.0), ("unauthenticated", 1.0), ("keys_unavailable", 1.0)] {
        assert_eq!(metrics.sum("bodega_gateway_refused_total", &[("reason", reason)]), count, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_explained_without_a_host() {
    let rules = "[rate_limits.slow]\nrate = \"2/m\"\n[all]\nsecurity_headers = true\n\
                 [[rules]]\npath = \"/hello/:name\"\nmethods = [\"POST\"]\nrate_limits = [\"slow\"]\n\
                 compression = true\nresponse_json = { remove = [\"/a/*/b\"], rename = { \"/c\" = \"d\" } }\n\
                 [[rules]]\npath = \"/old/...\"\nrewrite = \"/hello/...\"\n\
                 [upstreams.legacy]\nservers = [\"http://127.0.0.1:9\"]\n\
                 [[rules]]\npath = \"/legacy\"\nto = { upstream = \"legacy\" }\n";
    let app = App::new().guest("hello", "").file("gateway.toml", rules);
    let manifest = app.folder().join("spin.toml");
    let explain = async |method: &str, uri: &str| {
        let output =
            app.command(&["route", method, uri, "-H", "x-kind: a", "-f", manifest.to_str().expect("UTF-8")]).await;
        let output = output.expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let post = explain("POST", "/hello/ann?x=1").await;
    for said in [
        "route /hello/... -> component hello",
        "rule 1 (line 5)",
        "rate limit slow: 2 in 60 s",
        "security headers",
        "json: /a/*/b is removed",
        "json: /c is named \"d\"",
        "compression: zstd, br, gzip from 1024 bytes; none of which it accepts",
    ] {
        assert!(post.contains(said), "{said}: {post}");
    }
    assert!(explain("GET", "/hello/ann").await.contains("no rule: none of 3 fits"));
    assert!(explain("GET", "/old/ann").await.contains("route /hello/... -> component hello"));
    let legacy = explain("GET", "/legacy").await;
    assert!(
        legacy.contains("the gateway's rule says who answers") && legacy.contains("to: upstream legacy"),
        "{legacy}"
    );
    assert!(explain("GET", "/nowhere").await.contains("no route: the answer is 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_the_shop_has_the_keys() {
    let rules = "[tokens]\nissuer = \"{{ token_issuer }}\"\naudience = \"{{ token_audience }}\"\njwks_url = \"{{ jwks_url }}\"\n\
                 [all]\nauthentication = \"optional\"\n[[rules]]\npath = \"/api/orders/...\"\nauthentication = \"required\"\n";
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), rules).expect("it is writable");
    let argument = format!("--gateway={}", file.path().display());
    let host = Shop::host_with_its_own_keys(|app| app.argument(argument)).await;
    let account = json!({ "email": "ann@shop.example", "password": "correct horse battery staple" });
    let made = host.post("/api/auth/register").json(&account).send().await.expect("an answer");
    assert!(made.status().is_success(), "{made:?}");
    let session = host.post("/api/auth/login").json(&account).send().await.expect("an answer");
    let session: Value = session.json().await.expect("JSON");
    let token = session["access_token"].as_str().expect("a token");
    let orders = host.request("/api/orders").bearer_auth(token).send().await.expect("an answer");
    assert_eq!(orders.status(), 200, "{orders:?}");
    assert_eq!(host.get("/api/orders").await.status(), 401);
    assert_eq!(host.get("/api/products").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_under_load_fail_nobody_and_mix_nothing() {
    let rules = |version: usize| {
        format!(
            "[rate_limits.many]\nrate = \"1000000/s\"\n[all]\nrate_limits = [\"many\"]\n\
             request_headers = {{ set = {{ x-version = \"{version}\" }} }}\n\
             response_headers = {{ set = {{ x-version = \"{version}\" }} }}\n"
        )
    };
    let host = Arc::new(host(&rules(0)).await);
    let stop = Arc::new(AtomicBool::new(false));
    let mut shoppers = JoinSet::new();
    for _ in 0..4 {
        let (stop, request) = (stop.clone(), host.request("/interfaces/request"));
        shoppers.spawn(async move {
            let mut versions = BTreeSet::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = request.try_clone().expect("no body").send().await.expect("an answer");
                assert_eq!(answer.status(), 200);
                let out: String = header(answer.headers(), "x-version").to_owned();
                let described: Value = answer.json().await.expect("JSON");
                assert_eq!(described["headers"]["x-version"], json!([out]), "one configuration for the way in and out");
                versions.insert(out);
            }
            versions.len()
        });
    }
    for version in 1..=RELOADS {
        fs::write(host.folder().join("gateway.toml"), rules(version)).expect("the folder is writable");
        assert_eq!(host.control("POST", "/v1/gateway/reload", "").await.status(), 200);
    }
    stop.store(true, Ordering::Relaxed);
    let seen: Vec<usize> = shoppers.join_all().await;
    println!("{RELOADS} reloads, of which shoppers met {seen:?}");
    assert!(seen.iter().all(|versions| *versions > RELOADS / 100), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn some_requests_are_not_answered_by_their_component() {
    let app = App::new().guest("hello", "").misbehaving_guest("").file(
        "gateway.toml",
        "[[rules]]\npath = \"/hello/secret/...\"\ndeny = true\n\
         [[rules]]\npath = \"/hello/old/...\"\nredirect = { to = \"https://shop.example{uri}\" }\n\
         [[rules]]\npath = \"/misbehave/...\"\nbody_bytes_max = 8\n",
    );
    let host = app.start().await;
    assert_eq!(host.get("/hello/secret/plan").await.status(), 403);
    let client = tests::client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let answer = client.get(host.url("/hello/old/page?x=1")).send().await.expect("an answer");
    assert_eq!(answer.status(), 308);
    assert_eq!(header(answer.headers(), "location"), "https://shop.example/hello/old/page?x=1");
    assert_eq!(host.get("/hello/").await.status(), 200);

    let send = async |body: &'static str| host.post("/misbehave/echo").body(body).send().await.expect("an answer");
    assert_eq!(send("12345678").await.text().await.expect("a body"), "12345678");
    assert_eq!(send("123456789").await.status(), 413, "its length tells");
    let mut connection = RawConnection::open(&host).await;
    connection.send("POST /misbehave/count HTTP/1.1\r\nhost: shop\r\ntransfer-encoding: chunked\r\n\r\n").await;
    connection.send("9\r\n123456789\r\n0\r\n\r\n").await;
    assert_eq!(status(&connection.read_until("\r\n\r\n").await), 413, "or its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_to_write_a_path_gets_past_a_rule() {
    let host = host("[[rules]]\npath = \"/hello/secret/...\"\ndeny = true\n").await;
    for path in ["/hello/secret/x", "/hello/%73ecret/x", "/hello/secret"] {
        assert_eq!(answered(&host, path).await, 403, "{path}");
    }
    for path in
        ["/hello//secret/x", "/hello/./secret", "/hello/a/../secret", "/hello/secret%2Fx", "/hello/a/%2e%2e/secret"]
    {
        assert_eq!(answered(&host, path).await, 400, "{path}");
    }
    assert_eq!(answered(&host, "/hello/caf%C3%A9").await, 200);
}

/// The status of an answer to a path that is sent as it is written here.
async fn answered(host: &Host, path: &str) -> u16 {
    let mut connection = RawConnection::open(host).await;
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n")).await;
    status(&connection.read_until("\r\n\r\n").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_does_not_use_up_what_all_share() {
    let host = host(
        "trusted_proxies = [\"127.0.0.1\"]\n[rate_limits.all]\nby = \"everybody\"\nrate = \"3/m\"\n\
         [rate_limits.staff]\nrate = \"1/m\"\ntiers = { staff = \"100/s\" }\n[all]\nrate_limits = [\"all\", \"staff\"]\n",
    )
    .await;
    let ask = async |client: &str| {
        let asked = host.request("/hello/").header("x-forwarded-for", client).send().await;
        asked.expect("an answer").status().as_u16()
    };
    for status in [200, 429, 429, 429] {
        assert_eq!(ask("203.0.113.7").await, status);
    }
    assert_eq!(ask("203.0.113.8").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_does_not_choose_its_rule() {
    let host = host("[[rules]]\nmethods = [\"OPTIONS\"]\ndeny = true\n[[rules]]\nmethods = [\"GET\"]\n").await;
    let preflight = host.client().request(reqwest::Method::OPTIONS, host.url("/hello/"));
    let preflight = preflight.header("origin", "https://shop.example").header("access-control-request-method", "GET");
    assert_eq!(preflight.send().await.expect("an answer").status(), 403);
}
