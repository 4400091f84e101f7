//! What an operator sees in Prometheus and Grafana: a real Prometheus scrapes the shop while it sells, our rules are evaluated, and
//! every query of every dashboard has an answer.

mod promql;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tests::programs;
use tests::prometheus::{Prometheus, RULES, is_installed, manifests, promtool, write_rules};
use tests::shop::Shop;
use tests::shopper::{Shopper, Site};
use tokio::time::{Instant, sleep};

/// Orders that are paid; each buys one unit.
const SALES: u32 = 4;
/// For how long queries may have no answer yet: those about changes of a counter need some scrapes.
const SEEN_WITHIN: Duration = Duration::from_secs(60);
/// What Grafana puts in place of its own variables, for a Prometheus that has been there for a minute.
const BUILT_IN: [(&str, &str); 3] = [("$__rate_interval", "15s"), ("$__range", "5m"), ("$__interval", "5s")];
/// Labels that a scrape adds.
const OF_SCRAPE: [&str; 5] = ["namespace", "pod", "service", "instance", "job"];
/// Metrics that have no series while all goes well, and their labels, which tests of the host look at.
const SILENT: [(&str, &[&str]); 10] = [
    ("bodega_instances_trapped_total", &["component", "revision", "reason"]),
    ("bodega_requests_rejected_total", &["component", "revision", "reason"]),
    ("bodega_response_bodies_cut_total", &["component", "revision", "reason"]),
    ("bodega_gateway_refused_total", &["reason"]),
    ("bodega_gateway_breaker_changes_total", &["target", "change"]),
    ("bodega_rollout_weight_percent", &["component"]),
    ("bodega_webhooks_total", &["component", "result"]),
    ("bodega_upstream_requests_total", &["upstream", "method", "status_class"]),
    ("bodega_upstream_request_duration_seconds_bucket", &["upstream", "method", "status_class", "le"]),
    ("bodega_store_size_max_bytes", &["store_kind", "store"]),
];

/// A query of a panel, as it is written, and where it stands.
struct Query {
    place: String,
    expression: String,
}

/// A dashboard's file.
struct Dashboard {
    name: String,
    json: Value,
}

fn dashboards() -> Vec<Dashboard> {
    let files = fs::read_dir(manifests().join("dashboards")).expect("dashboards");
    let dashboard = |file: std::io::Result<fs::DirEntry>| {
        let path = file.expect("a file").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let json = serde_json::from_slice(&fs::read(&path).expect("a file")).expect("a dashboard is JSON");
        Dashboard { name, json }
    };
    files.map(dashboard).collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

impl Dashboard {
    /// The values of its variables; those that are asked for have to have some.
    async fn variables(&self, prometheus: &Prometheus) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> =
            BUILT_IN.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for variable in list(&self.json["templating"]["list"]) {
            let (name, kind) = (text(&variable["name"]), text(&variable["type"]));
            let value = match kind {
                "datasource" => continue,
                "custom" => text(&variable["current"]["value"]).to_owned(),
                "query" => {
                    let asked = text(&variable["query"]["query"]);
                    let asked = asked.strip_prefix("label_values(").and_then(|asked| asked.strip_suffix(')'));
                    let (series, label) =
                        asked.and_then(|asked| asked.rsplit_once(", ")).expect("label_values(series, label)");
                    let series = substituted(series, &values);
                    let found = prometheus.api(&format!("label/{label}/values"), &[("match[]", &series)]).await;
                    let found = found.expect("label values");
                    assert!(list(&found).next().is_some(), "{}: ${name} has no values", self.name);
                    match variable["includeAll"] == true {
                        true => text(&variable["allValue"]).to_owned(),
                        false => {
                            let value = variable["current"]["value"].clone();
                            assert!(list(&found).any(|found| *found == value), "{}: {value} in {found}", self.name);
                            text(&value).to_owned()
                        }
                    }
                }
                other => panic!("{}: a variable of type {other}", self.name),
            };
            values.push((format!("${name}"), value));
        }
        values
    }

    /// The queries of all panels.
    fn queries(&self, variables: &[(String, String)]) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in list(&self.json["panels"]) {
            let place = format!("{}: {}", self.name, text(&panel["title"]));
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            assert!(list(&panel["targets"]).next().is_some(), "{place} asks for nothing");
            for target in list(&panel["targets"]) {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{place}");
                let expression = substituted(text(&target["expr"]), variables);
                let is_filled = !expression.replace("\"$1\"", "").contains('$');
                assert!(is_filled, "{place}: a variable is not known: {expression}");
                queries.push(Query { place: place.clone(), expression });
            }
        }
        queries
    }
}

fn substituted(text: &str, variables: &[(String, String)]) -> String {
    variables.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Browses, buys, is declined, and asks for what is not there; the catalog is replaced and put back meanwhile.
async fn trade(shop: &Shop) {
    let site = Site::of(&shop.host);
    for number in 1..=SALES {
        for path in ["/api/products", "/api/products?q=product", "/api/categories"] {
            assert_eq!(shop.host.get(path).await.status(), 200);
        }
        assert_eq!(shop.host.get("/api/products/there-is-none").await.status(), 404);
        assert_eq!(shop.host.get("/nowhere").await.status(), 404);
        let shopper = Shopper::new(&site).await;
        shopper.buy("P-1", 1, &format!("order-{number}"), "tok_approve").await.is(201);
    }
    let declined = Shopper::new(&site).await.buy("P-2", 1, "declined", "tok_decline").await;
    assert!(declined.status.is_client_error(), "{declined:?}");

    // The same component, with a section that says nothing.
    let marked =
        [fs::read(programs::component("catalog")).expect("the component"), b"\0\x05\x04mark".to_vec()].concat();
    shop.host.deploy("catalog", &marked).await;
    assert_eq!(shop.host.get("/api/products").await.status(), 200);
    let back = shop.host.operate(&["rollback", "catalog", "--why", "it was a test"]).await;
    assert!(back.status.success(), "{}", String::from_utf8_lossy(&back.stderr));
}

/// Why the query has no answer yet, if it has none.
async fn missing(prometheus: &Prometheus, query: &Query) -> Option<String> {
    let Query { place, expression } = query;
    match prometheus.query(expression).await {
        Ok(found) if found.iter().any(|(_, value)| value.is_finite()) => None,
        Ok(found) => Some(format!("{place}: {expression} gives {found:?}")),
        Err(error) => Some(format!("{place}: {expression} is refused: {error}")),
    }
}

/// All rules, once each has been evaluated.
async fn rules(prometheus: &Prometheus) -> Vec<Value> {
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        let groups = prometheus.api("rules", &[]).await.expect("rules");
        let rules: Vec<Value> = list(&groups["groups"]).flat_map(|group| list(&group["rules"])).cloned().collect();
        if !rules.is_empty() && rules.iter().all(|rule| rule["health"] != "unknown") {
            return rules;
        }
        assert!(Instant::now() < deadline, "the rules are not evaluated: {rules:?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Every name in the rules, dashboards and manifests is one that the host has, and so is every label.
async fn assert_names_exist(prometheus: &Prometheus, metrics_text: &str, expressions: &[String]) {
    let of_host = samples_of(metrics_text);
    let rules = rules(prometheus).await;
    let recorded: BTreeSet<&str> =
        rules.iter().filter(|rule| rule["type"] == "recording").map(|rule| text(&rule["name"])).collect();
    let silent: BTreeMap<&str, &[&str]> = SILENT.into_iter().collect();
    let of_rules = rules.iter().map(|rule| text(&rule["query"]).to_owned());
    for expression in expressions.iter().cloned().chain(of_rules) {
        let promql::Names { metrics, labels } = promql::names(&expression);
        let mut known: BTreeSet<String> = OF_SCRAPE.iter().map(|label| (*label).to_owned()).collect();
        for metric in &metrics {
            let is_known = of_host.contains(metric) || recorded.contains(metric.as_str()) || metric == "ALERTS";
            assert!(is_known, "no host has {metric}: {expression}");
            known.extend(prometheus.labels_of(metric).await);
            known.extend(
                silent.get(metric.as_str()).into_iter().flat_map(|labels| labels.iter().map(|l| (*l).to_owned())),
            );
        }
        let unknown: Vec<_> = labels.iter().filter(|label| !known.contains(*label)).collect();
        assert!(unknown.is_empty(), "{metrics:?} have no {unknown:?}: {expression}");
    }
    let adapter = fs::read_to_string(manifests().join("prometheus-adapter.yaml")).expect("the adapter's rules");
    let made = adapter.lines().find_map(|line| line.trim().strip_prefix("as: ")).expect("the name of its metric");
    for (file, words) in metric_words(&programs::repository().join("k8s")) {
        let unknown: Vec<_> = words.into_iter().filter(|word| !of_host.contains(word) && word != made).collect();
        assert!(unknown.is_empty(), "{file}: no host has {unknown:?}");
    }
}

/// The names of the samples of all families, those without any too.
fn samples_of(metrics_text: &str) -> BTreeSet<String> {
    let mut samples = BTreeSet::new();
    for line in metrics_text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').expect("a name and a kind");
        let ends: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        samples.extend(ends.iter().map(|end| format!("{name}{end}")));
    }
    samples
}

/// The words in the manifests that begin as our metrics do, by file.
fn metric_words(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(metric_words(&path));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            let words = words.filter(|word| word.starts_with("bodega_") && word.len() > "bodega_".len());
            files.insert(path.display().to_string(), words.map(str::to_owned).collect());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_dashboard_has_an_answer_and_alerts_are_about_what_happened() {
    if !is_installed() {
        return;
    }
    let shop = Shop::start().await.with_products(3).await;
    let prometheus = Prometheus::start(&shop.host).await;
    // Counters are seen to grow from where they were first seen.
    prometheus.until("bodega_component_counts_total{name=\"order_paid_total\"} == 0").await;
    prometheus.until("bodega_rollout_transitions_total{component=\"catalog\",change=\"rolled-back\"} == 0").await;
    trade(&shop).await;

    let dashboards = dashboards();
    assert_eq!(dashboards.len(), 4);
    let mut open = Vec::new();
    for dashboard in &dashboards {
        let variables = dashboard.variables(&prometheus).await;
        open.extend(dashboard.queries(&variables));
    }
    assert!(open.len() > 60, "{} queries", open.len());
    let expressions: Vec<String> = open.iter().map(|query| query.expression.clone()).collect();
    let deadline = Instant::now() + SEEN_WITHIN;
    loop {
        let mut reasons = Vec::new();
        for query in std::mem::take(&mut open) {
            if let Some(reason) = missing(&prometheus, &query).await {
                reasons.push(reason);
                open.push(query);
            }
        }
        if open.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{} queries have no answer:\n{}", reasons.len(), reasons.join("\n"));
        sleep(Duration::from_millis(500)).await;
    }

    // What is shown is what was sold.
    let total = async |name: &str| {
        let expression = format!("sum(bodega_component_counts_total{{component=\"orders\",name=\"{name}\"}})");
        prometheus.query(&expression).await.expect("an expression").first().map_or(0.0, |(_, value)| *value)
    };
    assert_eq!(total("order_paid_total").await, f64::from(SALES));
    assert_eq!(total("order_failed_total").await, 1.0);
    assert!(total("revenue_captured_minor_usd_total").await >= f64::from(SALES * 1_050), "without the delivery");

    let text_of_host = shop.host.client().get(shop.host.admin_url("/metrics")).send().await.expect("metrics");
    let text_of_host = text_of_host.text().await.expect("metrics");
    assert_names_exist(&prometheus, &text_of_host, &expressions).await;
    for rule in rules(&prometheus).await {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    // How full the disk of this machine is, is not ours to say.
    let firing = "ALERTS{alertstate=\"firing\",alertname!~\"BodegaDisk.+\"}";
    prometheus.until(firing).await;
    let firing = prometheus.query(firing).await.expect("alerts");
    let firing: BTreeSet<&str> = firing.iter().map(|(labels, _)| text(&labels["alertname"])).collect();
    assert_eq!(firing, ["BodegaRolledBack"].into());

    // As prometheus-adapter asks for an HPA.
    let adapter = fs::read_to_string(manifests().join("prometheus-adapter.yaml")).expect("the adapter's rules");
    let asked = adapter.lines().find_map(|line| line.trim().strip_prefix("metricsQuery: '")).expect("its query");
    let asked = asked
        .trim_end_matches('\'')
        .replace("<<.GroupBy>>", "pod")
        .replace("<<.Series>>", "bodega_http_requests_total");
    let asked = asked.replace("<<.LabelMatchers>>", "namespace=\"bodega\",pod=~\"shop-0\"");
    let requests = prometheus.query(&asked).await.expect("an expression");
    assert!(matches!(&requests[..], [(labels, value)] if labels["pod"] == "shop-0" && *value > 0.0), "{requests:?}");
}

#[tokio::test]
async fn every_alert_fires_when_it_has_to_and_is_silent_in_a_near_miss() {
    if !is_installed() {
        return;
    }
    const TESTS: &str = "prometheus-rule.test.yaml";
    let folder = tempfile::tempdir().expect("a folder");
    write_rules(folder.path());
    let cases = fs::read_to_string(manifests().join(TESTS)).expect("the tests of the rules");
    fs::write(folder.path().join(TESTS), &cases).expect("a file");
    for arguments in [["check", "rules", RULES], ["test", "rules", TESTS]] {
        let output = promtool(folder.path(), &arguments).await;
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    }

    let rules = fs::read_to_string(folder.path().join(RULES)).expect("the rules");
    let runbook = fs::read_to_string(programs::repository().join("docs/observability.md")).expect("the runbook");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 15, "{alerts:?}");
    for alert in alerts {
        let case = format!("expr: ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        let expected = |text: &str| {
            let mut lines = text.lines();
            std::iter::from_fn(|| {
                lines.find(|line| line.contains(&case))?;
                lines.find_map(|line| line.trim().strip_prefix("exp_samples: ")).map(str::to_owned)
            })
            .collect::<Vec<_>>()
        };
        let expected = expected(&cases);
        assert!(expected.iter().any(|samples| samples == "[]"), "{alert} has no near miss");
        assert!(expected.iter().any(|samples| samples != "[]"), "{alert} fires in no case");
        let anchor = alert.to_ascii_lowercase();
        assert!(rules.contains(&format!("runbook: docs/observability.md#{anchor}")), "{alert} names no runbook");
        assert!(runbook.contains(&format!("### {alert}\n")), "the runbook has nothing of {alert}");
    }
}
