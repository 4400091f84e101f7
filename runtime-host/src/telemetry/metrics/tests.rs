//! What a scraper reads.

use std::collections::BTreeMap;

use super::*;

/// Samples by name and labels, after a check of what every OpenMetrics text has to keep.
fn samples(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut family = String::new();
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(meta) = line.strip_prefix("# ") {
            let (kind, rest) = meta.split_once(' ').unwrap();
            assert!(["HELP", "TYPE", "UNIT"].contains(&kind), "{line}");
            family = rest.split_whitespace().next().unwrap().to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert!(sample.starts_with(&family), "{line} stands outside of its family");
            assert_eq!(samples.insert(sample.to_owned(), value.parse().unwrap()), None, "{line} twice");
        }
    }
    samples
}

fn with_prefix<'s>(samples: &'s BTreeMap<String, f64>, prefix: &str) -> Vec<(&'s str, f64)> {
    samples.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn requests_are_counted_by_revision_method_and_class() {
    let metrics = Metrics::new();
    let stable = metrics.component("cart", "a1");
    let canary = metrics.component("cart", "b2");
    for status in [200, 204, 503] {
        stable.request(&Method::GET, StatusCode::from_u16(status).unwrap(), Duration::from_millis(3));
    }
    canary.request(&Method::from_bytes(b"PROPFIND").unwrap(), StatusCode::from_u16(999).unwrap(), Duration::ZERO);
    assert!(Arc::ptr_eq(&metrics.component("cart", "a1"), &stable));

    let samples = samples(&metrics.render());
    assert_eq!(
        with_prefix(&samples, "bodega_http_requests_total"),
        [
            (r#"bodega_http_requests_total{component="cart",revision="a1",method="GET",status_class="2xx"}"#, 2.0),
            (r#"bodega_http_requests_total{component="cart",revision="a1",method="GET",status_class="5xx"}"#, 1.0),
            (r#"bodega_http_requests_total{component="cart",revision="b2",method="OTHER",status_class="5xx"}"#, 1.0),
        ]
    );
    let labels = r#"component="cart",revision="a1",method="GET",status_class="2xx""#;
    let duration = |part: &str| samples[&format!("bodega_http_request_duration_seconds_{part}")];
    assert!((duration(&format!("sum{{{labels}}}")) - 0.006).abs() < 1e-9);
    assert_eq!(duration(&format!("bucket{{le=\"0.0025\",{labels}}}")), 0.0);
    assert_eq!(duration(&format!("bucket{{le=\"0.005\",{labels}}}")), 2.0);
    assert_eq!(duration(&format!("bucket{{le=\"+Inf\",{labels}}}")), 2.0);
}

#[test]
fn requests_without_a_component_are_counted_as_the_hosts() {
    let metrics = Metrics::new();
    metrics.host_request(&Method::GET, StatusCode::NOT_FOUND, Duration::ZERO);
    let samples = samples(&metrics.render());
    assert_eq!(
        with_prefix(&samples, "bodega_http_requests_total"),
        [(r#"bodega_http_requests_total{component="(host)",revision="",method="GET",status_class="4xx"}"#, 1.0)]
    );
    assert!(!samples.keys().any(|sample| sample.starts_with("bodega_instances")), "it has none");
}

#[test]
fn store_calls_are_counted_by_their_end() {
    let metrics = Metrics::new();
    let component = metrics.component("cart", "a1");
    component.store_timer(StoreOperation::SqliteExecute).finish(true);
    component.store_timer(StoreOperation::KeyValueSwap).finish(false);
    drop(component.store_timer(StoreOperation::KeyValueSwap));
    let samples = samples(&metrics.render());
    let calls: Vec<&str> =
        with_prefix(&samples, "bodega_store_calls_total").into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        calls,
        [
            r#"bodega_store_calls_total{component="cart",revision="a1",store_kind="key-value",operation="swap",result="cancelled"}"#,
            r#"bodega_store_calls_total{component="cart",revision="a1",store_kind="key-value",operation="swap",result="error"}"#,
            r#"bodega_store_calls_total{component="cart",revision="a1",store_kind="sqlite",operation="execute",result="ok"}"#,
        ]
    );
    assert_eq!(with_prefix(&samples, "bodega_store_call_duration_seconds_count").len(), 3);
}

#[test]
fn instances_queue_and_rejections() {
    let metrics = Metrics::new();
    let component = metrics.component("ca\"rt", "a1");
    component.instance_created();
    component.instance_created();
    component.instance_dropped();
    component.instance_trapped("unreachable");
    component.request_rejected("queue_full");
    component.request_rejected("queue_full");
    component.response_body_cut("stalled");
    component.watch_queue(|| 7);
    component.bounded(16, 1_024);
    metrics.gauge("bodega_connections_open", "Open connections", || 3);
    let samples = samples(&metrics.render());
    let own = r#"component="ca\"rt",revision="a1""#;
    for (sample, value) in [
        (format!("bodega_instances_created_total{{{own}}}"), 2.0),
        (format!("bodega_instances_live{{{own}}}"), 1.0),
        (format!("bodega_instances_trapped_total{{{own},reason=\"unreachable\"}}"), 1.0),
        (format!("bodega_requests_rejected_total{{{own},reason=\"queue_full\"}}"), 2.0),
        (format!("bodega_response_bodies_cut_total{{{own},reason=\"stalled\"}}"), 1.0),
        (format!("bodega_queue_length{{{own}}}"), 7.0),
        (format!("bodega_queue_length_max{{{own}}}"), 1_024.0),
        (format!("bodega_instances_max{{{own}}}"), 16.0),
        ("bodega_connections_open".to_owned(), 3.0),
    ] {
        assert_eq!(samples.get(&sample), Some(&value), "{sample}");
    }
}

#[test]
fn what_is_told_of_in_alerts_is_there_before_it_happens() {
    let metrics = Metrics::new();
    metrics.expect("cart", ["rolled-back"], ["rollback"], ["dropped"]);
    metrics.rollout_transition("cart", "rolled-back");
    metrics.expect("cart", ["rolled-back"], ["rollback"], ["dropped"]);
    let samples = samples(&metrics.render());
    for (sample, value) in [
        (r#"bodega_rollout_transitions_total{component="cart",change="rolled-back"}"#, 1.0),
        (r#"bodega_control_actions_total{component="cart",action="rollback",result="ok"}"#, 0.0),
        (r#"bodega_webhooks_total{component="cart",result="dropped"}"#, 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
}

#[test]
fn what_a_component_counts_and_at_what_something_stands_have_its_names() {
    let metrics = Metrics::new();
    let component = metrics.component("orders", "a1");
    let mut headers = HeaderMap::from_iter([(super::super::guest_counters::COUNT, "paid=2, open:7".parse().unwrap())]);
    component.take_counts(&mut headers);
    let samples = samples(&metrics.render());
    let own = r#"component="orders",revision="a1""#;
    assert_eq!(samples[&format!(r#"bodega_component_counts_total{{{own},name="paid"}}"#)], 2.0);
    assert_eq!(samples[&format!(r#"bodega_component_level{{{own},name="open"}}"#)], 7.0);
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_tells_about_itself() {
    let samples = samples(&Metrics::new().render());
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_open_fds"] >= 3.0 && samples["process_open_fds"] <= samples["process_max_fds"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - samples["process_start_time_seconds"]).abs() < 60.0);
}
