//! Components reach each other by name, inside of the process, and only as the manifest allows; dependencies are composed.

use std::time::Duration;

use serde_json::Value;
use tests::app::App;
use tests::host::Host;

const GENERATIONS: [&str; 2] = ["interfaces", "interfaces-p2"];

async fn host(allowed: &str) -> Host {
    let mut app = App::new().guest_at("hello", "{ private = true }", "").guest("hello-p2", "");
    for guest in GENERATIONS {
        app = app.guest(guest, &format!("allowed_outbound_hosts = [{allowed}]"));
    }
    app.start().await
}

async fn call(host: &Host, guest: &str, url: &str) -> Value {
    let request = host.request(&format!("/{guest}/outbound")).query(&[("url", url)]);
    request.send().await.expect("an answer").json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_asks_another_by_name() {
    let host = host("\"http://hello.spin.internal\", \"http://hello-p2.spin.internal\"").await;
    for guest in GENERATIONS {
        for neighbour in ["hello", "hello-p2"] {
            let answer = call(&host, guest, &format!("http://{neighbour}.spin.internal/")).await;
            assert_eq!(answer["body"], "Hello, world!\n", "{guest} asks {neighbour}: {answer}");
            assert_eq!(answer["status"], 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_component_has_no_public_route() {
    let host = host("").await;
    assert_eq!(host.get("/hello/").await.status(), 404);
    assert_eq!(host.text("/hello-p2/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_is_not_allowed_is_denied() {
    let host = host("\"http://hello-p2.spin.internal\"").await;
    for guest in GENERATIONS {
        let answer = call(&host, guest, "http://hello.spin.internal/").await;
        let error = answer["error"].as_str().expect("a refusal");
        assert!(error.contains("HttpRequestDenied"), "{guest}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_allows_one_scheme_and_port_of_a_neighbour() {
    let host = host("\"http://hello.spin.internal\", \"https://hello-p2.spin.internal:8443\"").await;
    for guest in GENERATIONS {
        let answer = call(&host, guest, "http://hello.spin.internal:80/").await;
        assert_eq!(answer["body"], "Hello, world!\n", "{guest}: {answer}");
        for url in ["http://hello.spin.internal:8080/", "http://hello-p2.spin.internal/"] {
            let answer = call(&host, guest, url).await;
            let error = answer["error"].as_str().unwrap_or_else(|| panic!("{guest} asks {url}: {answer}"));
            assert!(error.contains("HttpRequestDenied"), "{guest} asks {url}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_neighbour_has_no_case_and_never_leaves_the_process() {
    let host = host("\"*://*:*\"").await;
    for guest in GENERATIONS {
        for url in ["http://Hello.spin.internal/", "http://hello.SPIN.Internal/", "http://hello.spin.internal./"] {
            let answer = call(&host, guest, url).await;
            assert_eq!(answer["body"], "Hello, world!\n", "{guest} asks {url}: {answer}");
        }
        for url in ["http://nobody.spin.internal/", "http://a.hello.spin.internal/", "http://spin.internal/"] {
            let answer = call(&host, guest, url).await;
            let error = answer["error"].as_str().unwrap_or_else(|| panic!("{guest} asks {url}: {answer}"));
            assert!(error.contains("DestinationNotFound"), "{guest} asks {url}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_that_fails_answers_its_caller_as_it_answers_a_client() {
    let allowed = "allowed_outbound_hosts = [\"http://misbehave.spin.internal\"]";
    let settings = "instances_max = 1\ninstance_concurrency_max = 1\nqueue_length_max = 0\nidle_timeout_ms = 0\n\
                    deadline_ms = 2000";
    let mut app = App::new().misbehaving_guest(settings);
    for guest in GENERATIONS {
        app = app.guest(guest, allowed);
    }
    let host = app.start().await;
    let ask = async |guest: &str, path: &str| {
        let answer = call(&host, guest, &format!("http://misbehave.spin.internal/{path}")).await;
        let body = answer["body"].as_str().unwrap_or_else(|| panic!("{guest} asks for {path}: {answer}"));
        let problem: Value = serde_json::from_str(body).expect("a problem document");
        assert_eq!(problem["status"], answer["status"], "{answer}");
        assert!(problem["request_id"].is_string(), "{answer}");
        let kind = problem["type"].as_str().expect("a type").rsplit(':').next().unwrap_or_default().to_owned();
        (answer["status"].as_u64().expect("a status"), kind)
    };
    // Whoever comes before the instance is quite gone finds the component at work.
    let until_gone = async || {
        let live = async || host.metrics().await.sum("bodega_instances_live", &[("component", "misbehave")]);
        while live().await > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    for guest in GENERATIONS {
        until_gone().await;
        assert_eq!(ask(guest, "trap").await, (500, "component-failed".to_owned()), "{guest}");
        until_gone().await;
        assert_eq!(ask(guest, "never").await, (504, "deadline-exceeded".to_owned()), "{guest}");
        until_gone().await;
        let overloaded = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            ask(guest, "slow?ms=1").await
        };
        let (occupying, overloaded) = tokio::join!(host.get("/misbehave/slow?ms=800"), overloaded);
        assert_eq!(occupying.status(), 200, "{guest}");
        assert_eq!(overloaded, (503, "overloaded".to_owned()), "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_neighbours_may_be_allowed_at_once() {
    let host = host("\"http://*.spin.internal\"").await;
    let answer = call(&host, "interfaces", "http://hello.spin.internal/").await;
    assert_eq!(answer["body"], "Hello, world!\n", "{answer}");
    let answer = call(&host, "interfaces", "http://nobody.spin.internal/").await;
    assert!(answer["error"].is_string(), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_self_comes_back_through_the_routes() {
    let host = host("\"http://self\"").await;
    for guest in GENERATIONS {
        for url in ["http://self.alt/hello-p2/", "http://Self.Alt/hello-p2/", "/hello-p2/"] {
            let answer = call(&host, guest, url).await;
            assert_eq!(answer["body"], "Hello, world!\n", "{guest} asks {url}: {answer}");
            assert_eq!(answer["status"], 200);
        }
        let answer = call(&host, guest, "/hello/").await;
        assert_eq!(answer["status"], 404, "a private component has no route here either: {answer}");
        assert!(answer["body"].as_str().is_some_and(|body| body.contains("no-such-route")), "{answer}");
        let answer = call(&host, guest, "/.well-known/spin/health").await;
        assert_eq!(answer["body"], "OK", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_self_without_permission_is_denied() {
    let host = host("\"http://hello.spin.internal\"").await;
    for guest in GENERATIONS {
        for url in ["http://self.alt/hello-p2/", "/hello-p2/"] {
            let answer = call(&host, guest, url).await;
            let error = answer["error"].as_str().expect("a refusal");
            assert!(error.contains("HttpRequestDenied"), "{guest} asks {url}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_self_is_no_host() {
    let host = host("\"http://self\"").await;
    for guest in GENERATIONS {
        let answer = call(&host, guest, "http://self/hello-p2/").await;
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{guest}: {answer}"));
        assert!(error.contains("HttpRequestDenied"), "{guest}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_self_carries_what_one_from_outside_does() {
    let host = host("\"http://self\"").await;
    let from_outside = host.json("/interfaces-p2/a/request?b=c").await;
    let answer = call(&host, "interfaces", "/interfaces-p2/a/request?b=c").await;
    let from_inside: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(from_inside["uri"], from_outside["uri"]);
    for header in ["host", "spin-full-url", "spin-path-info", "spin-raw-component-route"] {
        assert_eq!(from_inside["headers"][header], from_outside["headers"][header], "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chained_request_carries_the_headers_of_its_target() {
    let app = App::new()
        .guest("interfaces-p2", "")
        .guest("interfaces", "allowed_outbound_hosts = [\"http://interfaces-p2.spin.internal\"]");
    let host = app.start().await;
    let answer = call(&host, "interfaces", "http://interfaces-p2.spin.internal/a/request").await;
    let described = answer["body"].as_str().expect("a body");
    let described: Value = serde_json::from_str(described).expect("JSON");
    assert_eq!(described["uri"], "/a/request");
    assert_eq!(described["headers"]["spin-path-info"][0], "/a/request");
    assert_eq!(described["headers"]["spin-raw-component-route"][0], "/...");
    assert_eq!(described["headers"]["spin-client-addr"][0], "0.0.0.0:0", "as in Spin");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_is_composed_in() {
    let greeter = tests::programs::component("greeter");
    let app = App::new().guest(
        "greeting",
        &format!(
            "[component.greeting.dependencies]\n\
             \"bodega:test-greeter/greet@1.0.0\" = {{ path = {greeter:?} }}"
        ),
    );
    let host = app.start().await;
    let greeting = host.text("/greeting/Ada").await;
    assert!(greeting.starts_with("Good day, Ada. This is call "), "{greeting}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_may_be_another_component_of_the_app() {
    let greeter = tests::programs::component("greeter");
    let app = App::new()
        .guest(
            "greeting",
            "[component.greeting.dependencies]\n\
             \"bodega:test-greeter/greet@1.0.0\" = { component = \"greeter\" }",
        )
        .append(&format!("[component.greeter]\nsource = {greeter:?}\n"));
    let host = app.start().await;
    let greeting = host.text("/greeting/Grace").await;
    assert!(greeting.starts_with("Good day, Grace. This is call "), "{greeting}");
}
