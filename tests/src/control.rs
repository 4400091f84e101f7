//! An operator's side of a running host: revisions of components, and the control API.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use reqwest::Response;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::host::{Host, PATIENCE};
use crate::programs;

/// How often a status is looked at.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);
/// What the guest `variant` contains once, to be replaced by a text of the same length.
const SETTINGS: &str = "variant: name=one errors=0000 traps=0000 delay_ms=0000 leak_kib=0000 fails=0000 unfit=0000;";

/// A version of the guest `variant`: its `name` of three letters, and other settings such as `errors=0500`.
pub fn variant(name: &str, others: &[&str]) -> Vec<u8> {
    let mut settings = SETTINGS.replace("name=one", &format!("name={name}"));
    for other in others {
        let (key, value) = other.split_once('=').expect("a setting");
        settings = settings.replace(&format!("{key}=0000"), &format!("{key}={value}"));
    }
    replaced(fs::read(programs::component("variant")).expect("the guest is readable"), SETTINGS, &settings)
}

/// An app of the guest `variant` alone, in its first version, with these lines in its table of rollouts.
pub fn variant_app(rollout: &str) -> App {
    let app = App::new().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    app.component(
        "variant",
        "\"/variant/...\"",
        &source,
        &format!("[component.variant.tool.bodega.rollout]\n{rollout}"),
    )
}

/// The component with another text of the same length in place of one that it contains once.
pub fn replaced(mut wasm: Vec<u8>, text: &str, by: &str) -> Vec<u8> {
    assert_eq!(text.len(), by.len(), "`{by}` has to be as long as `{text}`");
    let places: Vec<usize> =
        wasm.windows(text.len()).enumerate().filter(|(_, bytes)| *bytes == text.as_bytes()).map(|(at, _)| at).collect();
    let [place] = places[..] else { panic!("`{text}` is there {} times", places.len()) };
    wasm[place..place + by.len()].copy_from_slice(by.as_bytes());
    wasm
}

/// The name in the metrics of a revision that is this component and has no dependencies.
pub fn revision_of(wasm: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(wasm));
    digest[..12].to_owned()
}

impl Host {
    /// The admin token that the host has generated.
    pub fn admin_token(&self) -> String {
        let path = self.app().state_dir().join("secrets/admin-token");
        fs::read_to_string(path).expect("the host generated a token").trim().to_owned()
    }

    /// Asks the control API, with the admin token.
    pub async fn control(&self, method: &str, path_and_query: &str, body: impl Into<reqwest::Body>) -> Response {
        let method = method.parse().expect("a method");
        let request = self.client().request(method, self.admin_url(path_and_query)).bearer_auth(self.admin_token());
        request.body(body).send().await.expect("the admin listener answers")
    }

    /// Puts an artifact in force, which must succeed.
    pub async fn deploy(&self, component: &str, wasm: &[u8]) -> Value {
        let answer = self.control("POST", &format!("/v1/deploy?component={component}"), wasm.to_vec()).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Runs a command of the host's against it: `deploy`, `rollback`, ...
    pub async fn operate(&self, arguments: &[&str]) -> Output {
        let state = self.app().state_dir();
        let arguments = [arguments, &["--state-dir", state.to_str().expect("UTF-8")]].concat();
        self.app().command(&arguments).await.expect("the host's binary runs")
    }

    /// What runs of a component.
    pub async fn status_of(&self, component: &str) -> Value {
        let answer = self.control("GET", "/v1/status", "").await;
        let status: Value = answer.json().await.expect("JSON");
        let list = status.as_array().expect("a list");
        list.iter().find(|status| status["component"] == component).expect("the component").clone()
    }

    /// Waits until no former revision of a component has anything to do.
    pub async fn until_drained(&self, component: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.status_of(component).await["draining"].as_array().is_none_or(|draining| !draining.is_empty()) {
            assert!(Instant::now() < deadline, "{component} does not drain");
            sleep(POLL).await;
        }
    }

    /// Writes a file into the app's folder, for commands to name.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder().join(name);
        fs::write(&path, content).expect("the folder is writable");
        path
    }
}
