//! A real Prometheus (Debian's `prometheus`) that scrapes a host, and its `promtool`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use std::{env, fs};

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::host::{Host, PATIENCE};
use crate::programs;

/// The file of our rules, as Prometheus itself wants them.
pub const RULES: &str = "rules.yaml";
const POLL: Duration = Duration::from_millis(200);

/// A running Prometheus; dropping it ends the process.
pub struct Prometheus {
    _child: Child,
    folder: TempDir,
    url: String,
    client: Client,
}

/// Where the component `monitoring` of our Kubernetes manifests is.
pub fn manifests() -> PathBuf {
    programs::repository().join("k8s/components/monitoring")
}

/// Whether the programs are installed. In CI they have to be.
pub fn is_installed() -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    let is_found = |name: &str| env::split_paths(&paths).any(|folder| folder.join(name).is_file());
    let is_installed = is_found("prometheus") && is_found("promtool");
    assert!(is_installed || env::var_os("CI").is_none(), "`prometheus` and `promtool` are not installed");
    if !is_installed {
        eprintln!("skipped: the Debian package `prometheus` is not installed");
    }
    is_installed
}

/// Writes the rules of the PrometheusRule as a file that Prometheus and promtool read: what is below `spec`.
pub fn write_rules(folder: &Path) {
    let manifest = fs::read_to_string(manifests().join("prometheus-rule.yaml")).expect("the rules are there");
    let (_, spec) = manifest.split_once("\nspec:\n").expect("rules have a spec");
    let lines = spec.lines().map(|line| line.strip_prefix("  ").unwrap_or(line));
    fs::write(folder.join(RULES), lines.collect::<Vec<_>>().join("\n")).expect("the folder is writable");
}

/// Runs `promtool` in a folder.
pub async fn promtool(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("promtool").args(arguments).current_dir(folder).output().await.expect("promtool runs")
}

impl Prometheus {
    /// Starts one that scrapes `host` every second, as the pod `shop-0`, and evaluates our rules as often.
    pub async fn start(host: &Host) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_rules(folder.path());
        let target = host.admin_url("").replace("http://", "");
        let settings = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{RULES}]\n\
             scrape_configs:\n\
             - job_name: bodega\n\
             \x20 static_configs:\n\
             \x20 - targets: [{target:?}]\n\
             \x20   labels: {{namespace: bodega, pod: shop-0, service: shop}}\n"
        );
        fs::write(folder.path().join("prometheus.yml"), settings).expect("the folder is writable");
        // It takes no port of the system's choice. Until it has this one, somebody else may take it; then it ends.
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let child = Command::new("prometheus")
            .arg("--config.file=prometheus.yml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus runs");
        let client = Client::builder().timeout(PATIENCE).no_proxy().build().expect("a plain client");
        let prometheus = Self { _child: child, folder, url: format!("http://{address}"), client };
        let deadline = Instant::now() + PATIENCE;
        while !prometheus.is_ready().await {
            assert!(Instant::now() < deadline, "prometheus does not start");
            sleep(POLL).await;
        }
        prometheus
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/-/ready", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks its API; the `data` of the answer, or why there is none.
    pub async fn api(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let answer = self.client.get(format!("{}/api/v1/{path}", self.url)).query(query).send().await;
        let mut answer: Value = answer.expect("prometheus answers").json().await.expect("JSON");
        match answer["status"] == "success" {
            true => Ok(answer["data"].take()),
            false => Err(answer["error"].to_string()),
        }
    }

    /// What an expression gives now: each series with its labels and its value, which may be no number.
    pub async fn query(&self, expression: &str) -> Result<Vec<(Value, f64)>, String> {
        let mut data = self.api("query", &[("query", expression)]).await?;
        let sample = |series: &mut Value| {
            let value = series["value"][1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
            (series["metric"].take(), value)
        };
        Ok(data["result"].as_array_mut().into_iter().flatten().map(sample).collect())
    }

    /// Waits until an expression gives anything.
    pub async fn until(&self, expression: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.query(expression).await.expect("an expression").is_empty() {
            assert!(Instant::now() < deadline, "nothing is known of {expression}");
            sleep(POLL).await;
        }
    }

    /// The labels that the series of a metric have, all together.
    pub async fn labels_of(&self, metric: &str) -> BTreeSet<String> {
        let series = self.api("series", &[("match[]", metric)]).await.expect("a metric");
        let labels = series.as_array().into_iter().flatten().filter_map(Value::as_object);
        labels.flat_map(|labels| labels.keys().cloned()).collect()
    }
}
