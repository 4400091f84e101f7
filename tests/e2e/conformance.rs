//! What Spin documents about routes, headers and reserved paths holds here too.

use serde_json::Value;
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::raw::{RawConnection, status};

/// One guest behind several routes; it answers what arrived.
async fn host() -> Host {
    let routes = ["/cart/:user_id/...", "/cart/fixed/request", "/:top/request", "/deep/...", "/deep/er/..."];
    let more = routes.map(|route| format!("[[trigger.http]]\nroute = \"{route}\"\ncomponent = \"interfaces\"\n"));
    let fixed = "[[trigger.http]]\nroute = \"/moved\"\n\
                 static_response = { status_code = 301, headers = { location = \"/there\" }, body = \"moved\" }\n";
    App::new().guest("interfaces", "").append(&more.concat()).append(fixed).start().await
}

async fn headers(host: &Host, path: &str) -> Value {
    host.json(path).await["headers"].take()
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_tell_the_route() {
    let host = host().await;
    let headers = headers(&host, "/cart/alice%20b/edit/request?step=2").await;
    let full_url = host.url("/cart/alice%20b/edit/request?step=2");
    for (name, value) in [
        ("spin-full-url", full_url.as_str()),
        ("spin-path-info", "/edit/request"),
        ("spin-path-match-user-id", "alice%20b"),
        ("spin-matched-route", "/cart/:user_id/..."),
        ("spin-raw-component-route", "/cart/:user_id/..."),
        ("spin-component-route", "/cart/:user_id"),
        ("spin-base-path", "/"),
    ] {
        assert_eq!(headers[name], serde_json::json!([value]), "{name}");
    }
    let client = headers["spin-client-addr"][0].as_str().expect("the client's address");
    assert!(client.starts_with("127.0.0.1:"), "{client}");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_cannot_be_forged() {
    let host = host().await;
    let request = host.request("/interfaces/request").header("spin-path-info", "/forged");
    let request = request.header("spin-path-match-user-id", "forged");
    let described: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(described["headers"]["spin-path-info"], serde_json::json!(["/request"]));
    assert_eq!(described["headers"]["spin-path-match-user-id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_names_one_host_and_never_a_component() {
    let host = host().await;
    let ask = async |target: &str, lines: &str| {
        let mut connection = RawConnection::open(&host).await;
        connection.send(format!("GET {target} HTTP/1.1\r\n{lines}connection: close\r\n\r\n")).await;
        let answer = connection.read_to_end(PATIENCE).await;
        (status(&answer), answer)
    };
    let (code, answer) = ask("http://shop.example/interfaces/request", "host: shop.example\r\n").await;
    assert!(code == 200 && answer.contains("http://shop.example/interfaces/request"), "{answer}");
    for (target, lines) in [
        ("http://shop.example/interfaces/request", "host: other.example\r\n"),
        ("/interfaces/request", "host: shop.example\r\nhost: other.example\r\n"),
        ("/interfaces/request", "host: interfaces.spin.internal\r\n"),
        ("/interfaces/request", "host: Interfaces.Spin.Internal:80\r\n"),
        ("http://interfaces.spin.internal/interfaces/request", "host: interfaces.spin.internal\r\n"),
        ("/interfaces/request", ""),
    ] {
        let (code, answer) = ask(target, lines).await;
        assert_eq!(code, 400, "{target} {lines}: {answer}");
        assert!(answer.contains("urn:bodega:problem:bad-request"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_route_answers() {
    let host = host().await;
    for (path, route) in [
        ("/cart/fixed/request", "/cart/fixed/request"),
        ("/cart/other/request", "/cart/:user_id/..."),
        ("/any/request", "/:top/request"),
        ("/deep/a/request", "/deep/..."),
        ("/deep/er/request", "/deep/er/..."),
        ("/interfaces/request", "/interfaces/..."),
    ] {
        assert_eq!(headers(&host, path).await["spin-raw-component-route"][0], route, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_without_a_route_is_not_found() {
    let host = host().await;
    assert_eq!(host.get("/nowhere").await.status(), 404);
    assert_eq!(host.get("/").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_response_needs_no_component() {
    let host = host().await;
    let client = tests::client::builder().redirect(reqwest::redirect::Policy::none()).build();
    let answer = client.expect("a client").get(host.url("/moved")).send().await.expect("an answer");
    assert_eq!(answer.status(), 301);
    assert_eq!(answer.headers()["location"], "/there");
    assert_eq!(answer.text().await.expect("a body"), "moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reserved_paths_answer_whatever_the_routes() {
    let app = App::new().guest_at("hello", "\"/...\"", "");
    let host = app.start().await;
    assert_eq!(host.text("/anything").await, "Hello, world!\n");
    assert_eq!(host.text("/.well-known/spin/health").await, "OK");
    let info = host.json("/.well-known/spin/info").await;
    assert_eq!(info["name"], "under-test");
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_ne!(host.text(path).await, "Hello, world!\n", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_generations_of_wasi_http_are_served() {
    let host = App::new().guest("hello", "").guest("hello-p2", "").start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert_eq!(host.text("/hello-p2/").await, "Hello, world!\n");
}
