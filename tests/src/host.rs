//! A running host: its process, its addresses, its log, and requests to it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::metrics::Metrics;
use crate::upgrades::{announced_pid, kill_host_of};

/// How long anything may take before a test gives up; far above what is usual, since tests share two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A host that runs an app; dropping it ends the process, and shows its log if the test failed.
pub struct Host {
    app: App,
    process: Process,
    client: Client,
}

/// One run of the host.
struct Process {
    child: Child,
    log: Log,
    address: String,
    admin_address: String,
}

/// The lines of stdout and stderr, in the order of arrival.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Host {
    /// Starts `app` and waits until it is ready.
    pub async fn start(app: App) -> Self {
        let process = Process::start(&app).await;
        let host = Self { app, process, client: client() };
        host.until_ready().await;
        host
    }

    /// Starts the app again on the same state; the addresses change.
    pub async fn restart(&mut self) {
        assert!(self.process.child.id().is_none(), "the former process must have ended");
        self.process = Process::start(&self.app).await;
        self.client = client();
        self.until_ready().await;
    }

    /// Asks the host to end (SIGTERM) and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// Ends the host without warning (SIGKILL).
    pub async fn kill_9(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Sends a signal to the host's process.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().cast_signed()).expect("process ids are not 0");
        kill_process(pid, signal).expect("the host is still running");
    }

    /// Waits until the host has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let end = timeout(PATIENCE, self.process.child.wait()).await;
        end.expect("the host ends in time").expect("the host is our child")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id().expect("the host is running")
    }

    /// The public listener's `IP:PORT`.
    pub fn address(&self) -> &str {
        &self.process.address
    }

    /// The app's folder.
    pub fn folder(&self) -> &Path {
        self.app.folder()
    }

    /// The app that is running.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The URL of `path` on the public listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.address)
    }

    /// The URL of `path` on the admin listener.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.process.admin_address)
    }

    /// The client that this host's requests use.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A GET request, to be completed and sent.
    pub fn request(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    /// A POST request, to be completed and sent.
    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Gets `path`.
    pub async fn get(&self, path: &str) -> Response {
        self.request(path).send().await.expect("the host answers")
    }

    /// Gets `path`, which must answer 200 with a text.
    pub async fn text(&self, path: &str) -> String {
        let response = self.get(path).await;
        let status = response.status();
        let text = response.text().await.expect("the body is complete");
        assert_eq!(status, 200, "{path}: {text}");
        text
    }

    /// Gets `path`, which must answer 200 with JSON.
    pub async fn json(&self, path: &str) -> Value {
        let text = self.text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} in {text}"))
    }

    /// The metrics as of now.
    pub async fn metrics(&self) -> Metrics {
        let response = self.client.get(self.admin_url("/metrics")).send().await;
        let text = response.expect("the admin listener answers").text().await;
        Metrics::parse(&text.expect("the body is complete"))
    }

    /// Bytes of memory that the process has resident.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that the process had resident at any time, in bytes.
    pub fn resident_bytes_peak(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("a running process has a status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }

    /// All that the host has printed so far.
    pub fn log(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Waits for a line of the log that has all of `words`.
    pub async fn log_line(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.log().into_iter().find(|line| words.iter().all(|w| line.contains(w)));
            match found {
                Some(line) => return line,
                None if Instant::now() > deadline => panic!("no line of the log has {words:?}"),
                None => sleep(POLL).await,
            }
        }
    }

    async fn until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        // The client knows no TLS, which one of the two listeners may want.
        let admin_is_tls = self.log().iter().any(|line| line.starts_with("admin on https"));
        let url = if admin_is_tls { self.url("/readyz") } else { self.admin_url("/readyz") };
        while Instant::now() < deadline {
            match self.client.get(&url).send().await {
                Ok(response) if response.status() == 200 => return,
                _ => sleep(POLL).await,
            }
        }
        panic!("the host is not ready");
    }
}

impl Process {
    async fn start(app: &App) -> Self {
        let mut command = app.up();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the host's binary runs");
        let log = Log::default();
        log.follow(child.stdout.take().expect("stdout is piped"));
        log.follow(child.stderr.take().expect("stderr is piped"));
        let address = log.announced("listening on http", &mut child).await;
        let admin_address = log.announced("admin on http", &mut child).await;
        Self { child, log, address, admin_address }
    }
}

impl Log {
    fn follow(&self, stream: impl AsyncRead + Unpin + Send + 'static) {
        let log = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                log.0.lock().expect("no reader of the log panics").push(line);
            }
        });
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no writer of the log panics").clone()
    }

    /// The `IP:PORT` in the line that begins with `words`, which announces a listener.
    async fn announced(&self, words: &str, child: &mut Child) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.lines();
            if let Some(line) = lines.iter().find(|line| line.starts_with(words)) {
                return line.rsplit("//").next().expect("a URL").trim_end_matches('/').to_owned();
            }
            let ended = child.try_wait().expect("the host is our child");
            assert!(ended.is_none(), "the host ended ({ended:?}):\n{}", lines.join("\n"));
            assert!(Instant::now() < deadline, "no line `{words}` in:\n{}", lines.join("\n"));
            sleep(POLL).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the host's log ---\n{}\n---", self.log().join("\n"));
        }
        // One that has taken over is nobody's child.
        let own = self.process.child.id();
        if let Some(pid) = announced_pid(&self.app).filter(|pid| Some(*pid) != own) {
            kill_host_of(&self.app, pid);
        }
    }
}

fn client() -> Client {
    crate::client::builder().timeout(PATIENCE).no_proxy().build().expect("a plain client needs nothing")
}
