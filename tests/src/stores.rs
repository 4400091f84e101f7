//! A process that serves databases to several hosts: `bodega stores`.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::time::timeout;

use crate::app::App;
use crate::host::PATIENCE;
use crate::programs;

/// What its clients show.
const TOKEN: &str = "the token of the tests";

/// The process; it ends with the test.
pub struct StoresServer {
    app: App,
    labels: Vec<String>,
    /// `IP:PORT` of the databases.
    address: String,
    /// `IP:PORT` of metrics and backups.
    pub admin_address: String,
    process: Child,
}

impl StoresServer {
    /// Serves databases of these labels, which are empty, from a state folder of its own.
    pub async fn start(labels: &[&str]) -> Self {
        // Beside it is no runtime configuration, so each database is a file in the state folder.
        let manifest = std::fs::read_to_string(programs::repository().join("spin.toml"));
        let app = App::from_manifest(&manifest.expect("the repository has an app"));
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let (process, address, admin_address) = spawn(&app, &labels, "127.0.0.1:0").await;
        Self { app, labels, address, admin_address, process }
    }

    /// Ends it without warning (SIGKILL).
    pub async fn kill_9(&mut self) {
        timeout(PATIENCE, self.process.kill()).await.expect("it ends in time").expect("it is our child");
    }

    /// Asks it to end (SIGTERM); whether it ended well.
    pub async fn stop(&mut self) -> bool {
        let pid = self.process.id().expect("it is running").cast_signed();
        kill_process(Pid::from_raw(pid).expect("process ids are not 0"), Signal::TERM).expect("it is running");
        timeout(PATIENCE, self.process.wait()).await.expect("it ends in time").expect("it is our child").success()
    }

    /// Starts it again on the same state and at the same address.
    pub async fn restart(&mut self) {
        let (process, _, admin_address) = spawn(&self.app, &self.labels, &self.address).await;
        (self.process, self.admin_address) = (process, admin_address);
    }

    /// The app in whose folder it runs.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The lines of a label's table in the runtime configuration of a client.
    pub fn table(&self, label: &str) -> String {
        format!("type = \"libsql\"\nurl = \"{}\"\ntoken = \"{TOKEN}\"", self.url(label))
    }

    /// The URL of a label's database.
    pub fn url(&self, label: &str) -> String {
        format!("http://{}/{label}", self.address)
    }

    /// The token of its clients.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// Sends SQL on a new stream, as any client, and leaves the stream open.
    pub async fn execute_and_leave(&self, label: &str, sql: &[&str]) -> Value {
        let requests: Vec<Value> =
            sql.iter().map(|sql| serde_json::json!({ "type": "execute", "stmt": { "sql": sql } })).collect();
        let url = format!("{}/v3/pipeline", self.url(label));
        let body = serde_json::json!({ "baton": null, "requests": requests });
        let client = reqwest::Client::builder().no_proxy().build().expect("a plain client needs nothing");
        let answer = client.post(url).bearer_auth(TOKEN).json(&body).send().await.expect("an answer");
        answer.json().await.expect("JSON")
    }
}

async fn spawn(app: &App, labels: &[String], listen: &str) -> (Child, String, String) {
    let state = app.state_dir();
    let state = state.to_str().expect("test folders are UTF-8");
    let mut arguments = vec!["stores", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--state-dir", state];
    arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
    let mut command = app.program(&arguments);
    command.env("BODEGA_STORES_TOKEN", TOKEN).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("the host's binary runs");
    let mut lines = BufReader::new(process.stdout.take().expect("stdout is piped")).lines();
    let mut announced = async || {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts in time");
        let line = line.expect("readable").expect("it announces where it serves");
        line.rsplit("//").next().expect("a URL").to_owned()
    };
    let (address, admin_address) = (announced().await, announced().await);
    (process, address, admin_address)
}
