//! An operator follows one request through all services: what the host sends to a collector over OTLP.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use tests::app::App;
use tests::host::PATIENCE;
use tests::shop::Shop;
use tests::shopper::{Shopper, Site};
use tokio::net::TcpListener;
use tokio::time::{Duration, Instant, sleep};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN_ID: &str = "00f067aa0ba902b7";

/// A collector: what was posted to it.
#[derive(Clone, Default)]
struct Collector {
    posts: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
    refusals: Arc<Mutex<u32>>,
}

impl Collector {
    /// Starts one that first answers 503 so often; returns its URL.
    async fn start(refusals: u32) -> (Self, String) {
        let collector = Self { refusals: Arc::new(Mutex::new(refusals)), ..Self::default() };
        let receiver = collector.clone();
        let take = move |headers: HeaderMap, body: Bytes| {
            let receiver = receiver.clone();
            async move { receiver.take(headers, &body) }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = axum::Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (collector, url)
    }

    fn take(&self, headers: HeaderMap, body: &[u8]) -> StatusCode {
        let mut refusals = self.refusals.lock().expect("nobody panics with it");
        if *refusals > 0 {
            *refusals -= 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
        self.posts.lock().expect("nobody panics with it").push((headers, request));
        StatusCode::OK
    }

    fn posts(&self) -> Vec<(HeaderMap, ExportTraceServiceRequest)> {
        self.posts.lock().expect("nobody panics with it").clone()
    }

    fn spans(&self) -> Vec<Span> {
        let scopes = self.posts().into_iter().flat_map(|(_, request)| request.resource_spans);
        scopes.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
    }

    /// Waits for the spans of a trace, until one of them is what is looked for.
    async fn trace_with(&self, trace_id: &str, is_it: impl Fn(&Span) -> bool) -> Vec<Span> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut spans = self.spans();
            spans.retain(|span| hex(&span.trace_id) == trace_id);
            if spans.iter().any(&is_it) {
                return spans;
            }
            assert!(Instant::now() < deadline, "the span does not come: {spans:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of an attribute as text; empty where there is none.
fn attribute(attributes: &[KeyValue], name: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == name).and_then(|found| found.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// Spans are sent to this collector, at once.
fn traced(app: App, url: &str) -> App {
    app.environment("OTEL_EXPORTER_OTLP_ENDPOINT", url).environment("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_is_one_trace_through_all_services_that_have_a_part_in_it() {
    let (collector, url) = Collector::start(0).await;
    let shop = Shop::start_with(|app| {
        traced(app, &url)
            .environment("OTEL_SERVICE_NAME", "shop")
            .environment("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
            .environment("OTEL_EXPORTER_OTLP_HEADERS", "x-collector-key=s3cret%20key")
    });
    let shop = shop.await.with_products(2).await;
    let site = Site::of(&shop.host);
    let shopper = Shopper::new(&site).await;
    let cart = shopper.add("P-1", 2).await;
    let wish = shopper.wish(&cart, "tok_approve").await;
    let checkout = shop.host.post("/api/checkout?from=n0where").header("idempotency-key", "first").json(&wish);
    let checkout = checkout.header("traceparent", format!("00-{TRACE_ID}-{SPAN_ID}-01"));
    assert_eq!(checkout.send().await.expect("an answer").status(), 201);

    // The span of a call ends after those of the calls that it makes.
    let is_edge = |span: &Span| hex(&span.parent_span_id) == SPAN_ID;
    let spans = collector.trace_with(TRACE_ID, is_edge).await;
    let by_id: BTreeMap<String, &Span> = spans.iter().map(|span| (hex(&span.span_id), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "each span has an id of its own");
    let component = |span: &Span| attribute(&span.attributes, "bodega.component");
    let edge = spans.iter().find(|span| is_edge(span)).expect("the first span");
    assert_eq!((edge.name.as_str(), component(edge).as_str()), ("POST /api/checkout", "orders"));
    assert_eq!(edge.kind, i32::from(SpanKind::Server));
    for (name, value) in
        [("http.request.method", "POST"), ("http.route", "/api/checkout"), ("http.response.status_code", "201")]
    {
        assert_eq!(attribute(&edge.attributes, name), value);
    }
    assert_eq!(attribute(&edge.attributes, "bodega.revision").len(), 12);

    // Who asked whom.
    let calls: BTreeSet<(String, String)> = spans
        .iter()
        .filter(|span| !is_edge(span))
        .map(|span| {
            let parent = by_id.get(&hex(&span.parent_span_id)).expect("its parent is in the trace");
            assert!(parent.start_time_unix_nano <= span.start_time_unix_nano + 1_000_000, "{span:?}");
            (component(parent), component(span))
        })
        .collect();
    for callee in ["cart", "catalog", "payments", "shipping"] {
        assert!(calls.contains(&("orders".to_owned(), callee.to_owned())), "{callee}: {calls:?}");
    }
    assert!(
        spans.iter().all(|span| span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0)
    );

    let posts = collector.posts();
    let (headers, post) = posts.first().expect("a post");
    assert_eq!(
        (&headers["content-type"], &headers["x-collector-key"]),
        (
            &"application/x-protobuf".parse::<axum::http::HeaderValue>().expect("a header"),
            &"s3cret key".parse().expect("a header"),
        )
    );
    let resource = post.resource_spans[0].resource.as_ref().expect("a resource");
    assert_eq!(attribute(&resource.attributes, "service.name"), "shop");
    assert_eq!(attribute(&resource.attributes, "deployment.environment.name"), "test");

    // No secret, and nothing of what was sent, is in any of it.
    let all = format!("{posts:?}").replace("s3cret key", "");
    for secret in ["n0where", "tok_approve", "ann@example.com", wish["cart"]["token"].as_str().expect("a token")] {
        let spans = format!("{:?}", collector.spans());
        assert!(!spans.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_somebody_outside_is_a_span_of_who_asks() {
    let (collector, url) = Collector::start(0).await;
    let (_, outside) = Collector::start(0).await;
    let allowed = format!("allowed_outbound_hosts = [\"{outside}\"]");
    let host = traced(App::new().guest("interfaces", &allowed), &url).start().await;
    let asked = host
        .request("/interfaces/outbound")
        .query(&[("url", format!("{outside}/there-is-none?key=s3cret"))])
        .header("traceparent", format!("00-{TRACE_ID}-{SPAN_ID}-01"));
    assert_eq!(asked.send().await.expect("an answer").status(), 200);
    let spans = collector.trace_with(TRACE_ID, |span| hex(&span.parent_span_id) == SPAN_ID).await;
    let [client, server] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((client.kind, &client.parent_span_id), (SpanKind::Client.into(), &server.span_id));
    let port = outside.rsplit(':').next().expect("a port");
    for (name, value) in [
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("bodega.component", "interfaces"),
        ("http.response.status_code", "404"),
    ] {
        assert_eq!(attribute(&client.attributes, name), value);
    }
    assert!(!format!("{spans:?}").contains("s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_decides_what_is_recorded_and_the_sampler_about_the_rest() {
    let (collector, url) = Collector::start(0).await;
    let app = traced(App::new().guest("interfaces", ""), &url);
    let host = app.environment("OTEL_TRACES_SAMPLER", "parentbased_always_off").start().await;
    let ask = async |flags: &str, trace: &str| {
        let request =
            host.request("/interfaces/request").header("traceparent", format!("00-{trace}-{SPAN_ID}-{flags}"));
        let answer: serde_json::Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["headers"]["traceparent"][0].as_str().expect("a trace").to_owned()
    };
    let unwanted = TRACE_ID.replace("4736", "0000");
    assert!(ask("00", &unwanted).await.ends_with("-00"));
    assert_eq!(host.get("/interfaces/request").await.status(), 200);
    let seen = ask("01", TRACE_ID).await;
    let spans = collector.trace_with(TRACE_ID, |_| true).await;
    assert_eq!(seen, format!("00-{TRACE_ID}-{}-01", hex(&spans[0].span_id)), "the component sees its own span");
    assert_eq!(collector.spans().len(), 1, "nothing else is recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_collector_does_not_take_at_once_is_sent_again_and_a_stop_waits_for_it() {
    let (collector, url) = Collector::start(2).await;
    let app = App::new().guest("hello", "").environment("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    // Longer than this test may take: the stop has to send them.
    let mut host = app.environment("OTEL_BSP_SCHEDULE_DELAY", "600000").start().await;
    for _ in 0..5 {
        host.text("/hello/").await;
    }
    assert!(collector.spans().is_empty());
    assert!(host.stop().await.success());
    assert_eq!(collector.spans().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_or_with_one_that_is_not_there_the_shop_answers() {
    let app = || App::new().guest("interfaces", "");
    for (app, is_traced) in [
        (app(), false),
        (
            app()
                .environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
                .environment("OTEL_SDK_DISABLED", "true"),
            false,
        ),
        (
            app()
                .environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
                .environment("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            false,
        ),
        (traced(app(), "http://127.0.0.1:9").environment("OTEL_BSP_MAX_QUEUE_SIZE", "1"), true),
    ] {
        let host = app.start().await;
        for _ in 0..20 {
            let answer = host.json("/interfaces/request").await;
            let parent = answer["headers"]["traceparent"][0].as_str().expect("a trace").to_owned();
            assert_eq!(parent.ends_with("-01"), is_traced, "{parent}");
        }
        assert_eq!(host.metrics().await.has("bodega_spans_dropped_total"), is_traced);
        if is_traced {
            host.log_line(&["WARN", "spans", "not taken"]).await;
            let metrics = host.metrics().await;
            let lost = metrics.sum("bodega_spans_dropped_total", &[]) + metrics.sum("bodega_spans_failed_total", &[]);
            assert!(lost >= 1.0, "{lost}");
        }
    }
}
