//! An operator sees what happened: counters, structured logs, the guests' own lines, one trace through all components.

use futures::future::join_all;
use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID: &str = "00f067aa0ba902b7";

async fn host() -> Host {
    App::new()
        .guest(
            "interfaces-p2",
            "key_value_stores = [\"default\"]\nallowed_outbound_hosts = [\"http://interfaces.spin.internal\"]",
        )
        .guest("interfaces", "allowed_outbound_hosts = [\"http://interfaces-p2.spin.internal\"]")
        .misbehaving_guest("")
        .argument("--log-format=json")
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_component_method_and_status() {
    let host = host().await;
    for _ in 0..3 {
        host.text("/interfaces/random").await;
    }
    assert_eq!(host.post("/misbehave/echo").send().await.expect("an answer").status(), 200);
    assert_eq!(host.get("/misbehave/unknown").await.status(), 404);
    let metrics = host.metrics().await;
    let requests = |labels: &[(&str, &str)]| metrics.sum("bodega_http_requests_total", labels);
    assert_eq!(requests(&[("component", "interfaces"), ("method", "GET"), ("status_class", "2xx")]), 3.0);
    assert_eq!(requests(&[("component", "misbehave"), ("method", "POST"), ("status_class", "2xx")]), 1.0);
    assert_eq!(requests(&[("component", "misbehave"), ("status_class", "4xx")]), 1.0);
    let revisions = metrics.values("bodega_http_requests_total", "revision");
    assert_eq!(revisions.len(), 2, "one for each component: {revisions:?}");
    let is_digest = |revision: &str| revision.len() == 12 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(revisions.into_iter().all(is_digest));
    let durations = "bodega_http_request_duration_seconds_count";
    assert_eq!(metrics.sum(durations, &[("component", "interfaces")]), 3.0);
    let created = [("component", "interfaces")];
    assert!(metrics.sum("bodega_instances_created_total", &created) >= 1.0);
    assert!(metrics.has("bodega_queue_length"));
    assert!(metrics.sum("process_resident_memory_bytes", &[]) > 1e6);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_calls_are_counted() {
    let host = host().await;
    host.text("/interfaces-p2/key-value?label=default").await;
    let metrics = host.metrics().await;
    let calls = |operation| {
        let labels = [("component", "interfaces-p2"), ("operation", operation)];
        metrics.sum("bodega_store_calls_total", &labels)
    };
    assert_eq!(calls("set"), 3.0);
    assert_eq!(calls("delete"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn store_calls_are_timed_by_their_result() {
    let host = App::new().guest("interfaces-p2", "sqlite_databases = [\"default\"]").start().await;
    host.text("/interfaces-p2/sqlite?label=default").await;
    let metrics = host.metrics().await;
    let calls = |name, result| {
        let labels = [("component", "interfaces-p2"), ("store_kind", "sqlite"), ("operation", "execute")];
        metrics.sum(name, &[&labels[..], &[("result", result)]].concat())
    };
    // The guest makes three mistakes: a word, a missing parameter, a database that is not its own.
    assert_eq!(calls("bodega_store_calls_total", "error"), 3.0);
    let ok = calls("bodega_store_calls_total", "ok");
    assert!(ok >= 3.0, "{ok} calls went well");
    for (result, count) in [("ok", ok), ("error", 3.0)] {
        assert_eq!(calls("bodega_store_call_duration_seconds_count", result), count, "{result}");
        let sum = calls("bodega_store_call_duration_seconds_sum", result);
        assert!(sum > 0.0 && sum < 10.0, "{result}: {sum} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_component_answers_is_counted_as_the_hosts() {
    let fixed = "[[trigger.http]]\nroute = \"/fixed\"\nstatic_response = { body = \"always\" }";
    let host = App::new().guest("hello", "").append(fixed).start().await;
    assert_eq!(host.get("/nowhere").await.status(), 404);
    assert_eq!(host.get("/elsewhere").await.status(), 404);
    assert_eq!(host.text("/fixed").await, "always");
    let too_long = host.get(&format!("/hello/{}", "a".repeat(20_000))).await;
    assert_eq!(too_long.status(), 414);
    let metrics = host.metrics().await;
    let requests = |class| {
        metrics
            .sum("bodega_http_requests_total", &[("component", "(host)"), ("method", "GET"), ("status_class", class)])
    };
    assert_eq!((requests("2xx"), requests("4xx")), (1.0, 3.0));
    assert_eq!(metrics.sum("bodega_http_requests_total", &[("component", "hello")]), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_has_a_line_for_each_answered_request() {
    let app = App::new()
        .guest("interfaces-p2", "")
        .guest("interfaces", "allowed_outbound_hosts = [\"http://interfaces-p2.spin.internal\"]");
    let host = app.argument("--log-format=json").argument("--log=info,access=info").start().await;
    let request = host
        .request("/interfaces/outbound")
        .query(&[("url", "http://interfaces-p2.spin.internal/environment")])
        .header("traceparent", format!("00-{TRACE_ID}-{SPAN_ID}-01"))
        .header("x-request-id", "shopper-1");
    let bytes = request.send().await.expect("an answer").bytes().await.expect("a body").len();
    assert_eq!(
        host.request("/nowhere").header("x-request-id", "lost-1").send().await.expect("an answer").status(),
        404
    );

    let line =
        async |words: &[&str]| -> Value { serde_json::from_str(&host.log_line(words).await).expect("a JSON event") };
    let asked = line(&["\"access\"", "/interfaces/..."]).await;
    assert_eq!(asked["target"], "access");
    for (field, value) in [("component", "interfaces"), ("method", "GET"), ("request_id", "shopper-1")] {
        assert_eq!(asked[field], value, "{asked}");
    }
    assert_eq!((&asked["status"], &asked["bytes"]), (&json!(200), &json!(bytes)), "{asked}");
    assert_eq!((&asked["path"], &asked["rule"]), (&json!("/interfaces/outbound"), &json!(null)), "{asked}");
    let micros = |field: &str| asked[field].as_u64().expect("a number");
    assert!(
        micros("admitted_us") <= micros("answered_us") && micros("answered_us") <= micros("duration_us"),
        "{asked}"
    );
    assert!(micros("answered_us") > 0, "{asked}");
    assert_eq!(asked["revision"].as_str().map(str::len), Some(12), "{asked}");
    assert!(asked["traceparent"].as_str().is_some_and(|parent| parent.contains(TRACE_ID)), "{asked}");
    let chained = line(&["\"access\"", "\"interfaces-p2\""]).await;
    assert_eq!((&chained["route"], &chained["request_id"]), (&json!("/..."), &json!("shopper-1")), "{chained}");
    let lost = line(&["\"access\"", "lost-1"]).await;
    assert_eq!((&lost["component"], &lost["route"], &lost["status"]), (&json!("(host)"), &json!(""), &json!(404)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_requests_has_lines_and_secrets_have_none() {
    let gateway = "[access_log]\nsample = 0.2\nhide = [\"/reset/:token\"]\n\
                   [[rules]]\npath = \"/reset/:token\"\nto = { component = \"misbehave\" }\n";
    let app = App::new().misbehaving_guest("").guest("hello", "").file("gateway.toml", gateway);
    let host = app.argument("--log-format=json").argument("--log=info,access=info").start().await;
    for _ in 0..500 {
        host.text("/hello/").await;
    }
    // No behaviour of this name is known: 500.
    assert_eq!(host.get("/reset/s3cret?also=s3cret").await.status(), 404);
    assert_eq!(host.get("/misbehave/trap").await.status(), 500);
    host.log_line(&["\"access\"", "/misbehave/trap", "500"]).await;
    let lines: Vec<String> = host.log().into_iter().filter(|line| line.contains("\"access\"")).collect();
    let hello = lines.iter().filter(|line| line.contains("/hello/")).count();
    // A fifth of 500, and five standard deviations.
    assert!((55..=145).contains(&hello), "{hello}");
    assert!(!lines.iter().any(|line| line.contains("s3cret")), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_leave_no_line_unless_somebody_asks_for_it() {
    let host = App::new().guest("hello", "").argument("--log-format=json").argument("--log=info").start().await;
    host.text("/hello/").await;
    assert!(!host.log().iter().any(|line| line.contains("\"access\"")), "{:?}", host.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_prints_is_logged_line_by_line_with_its_name() {
    let host = host().await;
    host.text("/misbehave/print?text=good-morning").await;
    for stream in ["stdout", "stderr"] {
        let line = host.log_line(&[&format!("good-morning on {stream}")]).await;
        let event: Value = serde_json::from_str(&line).expect("a JSON event");
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{event}");
        let text = event.to_string();
        assert!(text.contains("\"misbehave\"") && text.contains(&format!("\"{stream}\"")), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_prints_has_the_id_of_the_request_that_it_works_on() {
    let host = host().await;
    for id in ["shopper-1", "shopper-2"] {
        let request = host.request(&format!("/misbehave/print?text=for-{id}")).header("x-request-id", id);
        let request = request.header("traceparent", format!("00-{TRACE_ID}-{SPAN_ID}-01"));
        assert_eq!(request.send().await.expect("an answer").status(), 200);
        for stream in ["stdout", "stderr"] {
            let line = host.log_line(&[&format!("for-{id} on {stream}")]).await;
            assert!(line.contains(&format!("\"request_id\":\"{id}\"")), "{line}");
            assert!(line.contains(&format!("\"trace_id\":\"{TRACE_ID}\"")), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refused_requests_is_few_lines_that_count_them() {
    let settings = "instances_max = 1\ninstance_concurrency_max = 1\nqueue_length_max = 0";
    let host = App::new().misbehaving_guest(settings).argument("--log-format=json").start().await;
    let answers = futures::future::join_all((0..50).map(|_| host.get("/misbehave/slow?ms=500"))).await;
    let refused = answers.iter().filter(|answer| answer.status() == 503).count() as u64;
    assert!(refused >= 10, "{refused} were refused");
    host.log_line(&["turned away", "misbehave", "WARN"]).await;
    let lines: Vec<Value> = host
        .log()
        .iter()
        .filter(|line| line.contains("turned away"))
        .map(|line| serde_json::from_str(line).expect("a JSON event"))
        .collect();
    assert!(lines.len() <= 3, "{lines:?}");
    assert!(lines.iter().filter_map(|line| line["requests"].as_u64()).sum::<u64>() <= refused);
    assert!(!host.log().iter().any(|line| line.contains("ERROR")), "{:?}", host.log());
}

/// The ids of sixteen traces, but for their last two digits.
const TRACE_ID_HEAD: &str = "4bf92f3577b34da6a3ce929d0e0e47";

/// Has `caller` ask the other guest, and checks that the request of this number arrived there as a part of its trace.
async fn trace_goes_on(host: &Host, caller: &str, callee: &str, number: u8) {
    let (trace, id) = (format!("{TRACE_ID_HEAD}{number:02x}"), format!("shopper-{number}"));
    let request = host
        .request(&format!("/{caller}/outbound"))
        .query(&[("url", format!("http://{callee}.spin.internal/request"))])
        .header("traceparent", format!("00-{trace}-{SPAN_ID}-01"))
        .header("x-request-id", &id);
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.headers()["x-request-id"], *id);
    let answer: Value = answer.json().await.expect("JSON");
    let arrived: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    let traceparent = arrived["headers"]["traceparent"][0].as_str().expect("a trace context");
    assert!(traceparent.starts_with(&format!("00-{trace}-")), "{caller}: {traceparent}");
    assert!(!traceparent.contains(SPAN_ID), "each hop is a span of its own: {traceparent}");
    assert_eq!(arrived["headers"]["x-request-id"][0], *id, "{caller}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_through_service_chaining() {
    let host = host().await;
    for (caller, callee) in [("interfaces", "interfaces-p2"), ("interfaces-p2", "interfaces")] {
        // At once, so that neighbours on one instance could take each other's.
        join_all((0..16).map(|number| trace_goes_on(&host, caller, callee, number))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_id_gets_one() {
    let host = host().await;
    let first = host.get("/interfaces/random").await.headers()["x-request-id"].clone();
    let second = host.get("/interfaces/random").await.headers()["x-request-id"].clone();
    assert!(!first.is_empty());
    assert_ne!(first, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_in_the_log_under_the_id_that_the_client_was_given() {
    let host = host().await;
    let problem: Value = host.get("/misbehave/trap").await.json().await.expect("a problem");
    let id = problem["request_id"].as_str().expect("an id");
    let line = host.log_line(&[id, "misbehave", "unreachable"]).await;
    serde_json::from_str::<Value>(&line).expect("a JSON event");
}
