//! A real OCI registry, the Debian package `docker-registry`, on a port of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::host::PATIENCE;

const PROGRAM: &str = "docker-registry";
const POLL: Duration = Duration::from_millis(20);
/// Who may do anything at a registry that asks.
pub const USER: &str = "shop";
/// With this password.
pub const PASSWORD: &str = "open-sesame";
/// As `htpasswd -B` writes them.
const LOGINS: &str = "shop:$2y$05$wDWmqO6f/p8akyg/g90hA.PAuKRn1onkD8KuQcFvHQZ1rIkiA.vC6\n";
/// The media type of an image's manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry. Its own requests are plain text; dropping it ends the process.
pub struct Registry {
    folder: TempDir,
    configuration: PathBuf,
    address: String,
    asks: bool,
    client: Client,
    child: Option<Child>,
}

impl Registry {
    /// One that lets everybody do everything. `None`, with a word on it, where the program is not installed; in CI it has to be.
    pub async fn start() -> Option<Self> {
        Self::start_with(false, |_, _| ()).await
    }

    /// One that asks who it is.
    pub async fn start_that_asks() -> Option<Self> {
        let asking = |settings: &mut Value, folder: &Path| {
            let logins = folder.join("htpasswd");
            std::fs::write(&logins, LOGINS).expect("writable");
            settings["auth"] = json!({ "htpasswd": { "realm": "shop", "path": logins } });
        };
        Self::start_with(true, asking).await
    }

    /// One that speaks TLS, with this certificate and key.
    pub async fn start_with_tls(certificate: &Path, key: &Path) -> Option<Self> {
        let tls = |settings: &mut Value, _: &Path| {
            settings["http"]["tls"] = json!({ "certificate": certificate, "key": key });
        };
        Self::start_with(false, tls).await
    }

    async fn start_with(asks: bool, configure: impl FnOnce(&mut Value, &Path)) -> Option<Self> {
        if which(PROGRAM).is_none() {
            assert!(std::env::var_os("CI").is_none(), "{PROGRAM} is missing: install the Debian package of that name");
            eprintln!("skipped: {PROGRAM} is not installed");
            return None;
        }
        let folder = TempDir::with_prefix("bodega-registry-").expect("a folder for the registry");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let mut settings = json!({
            "version": "0.1",
            "log": { "level": "error", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": folder.path().join("data") }, "delete": { "enabled": true } },
            "http": { "addr": address },
        });
        configure(&mut settings, folder.path());
        // JSON is YAML.
        let configuration = folder.path().join("configuration.yml");
        std::fs::write(&configuration, settings.to_string()).expect("writable");
        let client = crate::client::builder().timeout(PATIENCE).no_proxy().build().expect("a plain client");
        let mut registry = Self { folder, configuration, address, asks, client, child: None };
        registry.resume().await;
        Some(registry)
    }

    /// Starts it again, with what it has and at the same address.
    pub async fn resume(&mut self) {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").arg(&self.configuration).stdin(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the registry starts"));
        let deadline = Instant::now() + PATIENCE;
        while self.request(Method::GET, "/v2/").send().await.is_err() {
            assert!(Instant::now() < deadline, "the registry does not answer");
            sleep(POLL).await;
        }
    }

    /// Ends it.
    pub async fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.expect("the registry is our child");
        }
    }

    /// The name of something in it.
    pub fn reference(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// The folder of a Docker configuration that has the password, or this one.
    pub fn docker_configuration(&self, password: &str) -> PathBuf {
        use base64::Engine as _;
        let folder = self.folder.path().join(format!("docker-{password}"));
        std::fs::create_dir_all(&folder).expect("writable");
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
        let configuration = json!({ "auths": { &self.address: { "auth": login } } });
        std::fs::write(folder.join("config.json"), configuration.to_string()).expect("writable");
        folder
    }

    /// A request to it, as somebody who may do everything.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        if self.asks { request.basic_auth(USER, Some(PASSWORD)) } else { request }
    }

    /// The manifest at a tag or digest, and its own digest.
    pub async fn manifest(&self, repository: &str, at: &str) -> (Value, String) {
        let path = format!("/v2/{repository}/manifests/{at}");
        let bytes = bytes_of(self.request(Method::GET, &path).header(ACCEPT, MANIFEST)).await;
        (serde_json::from_slice(&bytes).expect("JSON"), digest_of(&bytes))
    }

    /// A blob.
    pub async fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        bytes_of(self.request(Method::GET, &format!("/v2/{repository}/blobs/{digest}"))).await
    }

    /// Puts a blob into a repository; its descriptor.
    pub async fn push_blob(&self, repository: &str, media_type: &str, data: &[u8]) -> Value {
        let digest = digest_of(data);
        let begun = good(self.request(Method::POST, &format!("/v2/{repository}/blobs/uploads/")).send()).await;
        let location = begun.headers()[LOCATION].to_str().expect("a URL").to_owned();
        let mut url = url::Url::parse(&location).expect("a URL");
        url.query_pairs_mut().append_pair("digest", &digest);
        let path = format!("{}?{}", url.path(), url.query().unwrap_or_default());
        let upload = self.request(Method::PUT, &path).header(CONTENT_TYPE, "application/octet-stream");
        good(upload.body(data.to_vec()).send()).await;
        json!({ "mediaType": media_type, "digest": digest, "size": data.len() })
    }

    /// Puts a manifest into a repository; its digest.
    pub async fn push_manifest(&self, repository: &str, tag: &str, manifest: &Value) -> String {
        let (text, media_type) = (manifest.to_string(), manifest["mediaType"].as_str().unwrap_or(MANIFEST));
        let path = format!("/v2/{repository}/manifests/{tag}");
        good(self.request(Method::PUT, &path).header(CONTENT_TYPE, media_type).body(text.clone()).send()).await;
        digest_of(text.as_bytes())
    }

    /// The file in which it keeps a blob.
    pub fn file_of(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
        let blobs = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

/// `sha256:` and the digest.
pub fn digest_of(data: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(data)))
}

async fn good(answer: impl Future<Output = reqwest::Result<Response>>) -> Response {
    let answer = answer.await.expect("the registry answers");
    let status = answer.status();
    if !status.is_success() {
        panic!("{status}: {}", answer.text().await.unwrap_or_default());
    }
    answer
}

async fn bytes_of(request: RequestBuilder) -> Vec<u8> {
    good(request.send()).await.bytes().await.expect("a body").to_vec()
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder: PathBuf| folder.join(program)).find(|file: &PathBuf| Path::is_file(file))
}
