//! An operator's chat is told how rollouts go, by a receiver of webhooks on this machine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use futures::future::join_all;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tests::app::App;
use tests::control::variant;
use tests::host::{Host, PATIENCE};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

const TOKEN: &str = "T024-not-to-be-seen";
const POLL: Duration = Duration::from_millis(20);
/// Requests at once, so that a canary has its samples.
const SHOPPERS: usize = 8;

/// A receiver, and what it was told.
#[derive(Clone, Default)]
struct Chat(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    origin: String,
    messages: Vec<Value>,
    /// How many more messages are answered 503.
    busy: usize,
}

impl Chat {
    async fn start(busy: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let chat = Self(Arc::new(Mutex::new(Told { origin, busy, ..Told::default() })));
        let router = Router::new().route("/hooks/{token}", post(receive)).with_state(chat.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        chat
    }

    /// An app of one component whose rollouts are told here.
    fn app(&self, rollout: &str, other_webhook: &str) -> App {
        let webhook = format!("{}/hooks/{{{{ hook_token }}}}", self.told(|told| told.origin.clone()));
        let app = App::new()
            .file("variant.wasm", variant("one", &[]))
            .append("[variables]\nhook_token = { required = true, secret = true }")
            .environment("SPIN_VARIABLE_HOOK_TOKEN", TOKEN);
        let source = app.folder().join("variant.wasm");
        let settings =
            format!("[component.variant.tool.bodega.rollout]\nwebhooks = [{webhook:?}, {other_webhook:?}]\n{rollout}");
        app.component("variant", "\"/variant/...\"", &source, &settings)
    }

    fn told<T>(&self, read: impl FnOnce(&mut Told) -> T) -> T {
        read(&mut self.0.lock().expect("nobody panics with it"))
    }

    /// Waits for the message with this number, from zero.
    async fn message(&self, number: usize) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.told(|told| told.messages.get(number).cloned()) {
                Some(message) => return message,
                None => assert!(Instant::now() < deadline, "message {number} does not come"),
            }
            sleep(POLL).await;
        }
    }

    async fn changes(&self, range: std::ops::Range<usize>) -> Vec<(String, u64)> {
        self.message(range.end - 1).await;
        let change = |message: &Value| {
            (message["change"].as_str().expect("a change").to_owned(), message["weight_percent"].as_u64().expect("%"))
        };
        self.told(|told| told.messages[range].iter().map(change).collect())
    }
}

async fn receive(State(chat): State<Chat>, Path(token): Path<String>, Json(message): Json<Value>) -> StatusCode {
    chat.told(|told| match token == TOKEN {
        false => StatusCode::NOT_FOUND,
        true if told.busy > 0 => {
            told.busy -= 1;
            StatusCode::SERVICE_UNAVAILABLE
        }
        true => {
            told.messages.push(message);
            StatusCode::OK
        }
    })
}

fn digest(wasm: &[u8]) -> String {
    hex::encode(Sha256::digest(wasm))
}

fn changes(expected: &[(&str, u64)]) -> Vec<(String, u64)> {
    expected.iter().map(|(change, weight)| ((*change).to_owned(), *weight)).collect()
}

/// Requests until the rollout is over.
async fn shop_to_the_end(host: &Host) {
    let deadline = Instant::now() + PATIENCE;
    while host.status_of("variant").await["rollout"]["promoted"].is_null() {
        join_all((0..SHOPPERS).map(|_| host.get("/variant/"))).await;
        assert!(Instant::now() < deadline, "it goes on for ever");
    }
}

async fn until_counted(host: &Host, result: &str, count: f64) {
    let labels = [("component", "variant"), ("result", result)];
    let deadline = Instant::now() + PATIENCE;
    while host.metrics().await.sum("bodega_webhooks_total", &labels) < count {
        assert!(Instant::now() < deadline, "not {count} messages are {result}");
        sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_canary_is_told_in_order_and_the_way_back_too() {
    let chat = Chat::start(2).await;
    // Nobody listens on port 1, and the receiver does not know the other path: neither is in the way of the rollout.
    let unreachable = format!("http://127.0.0.1:1/{TOKEN}");
    let canary = "strategy = \"canary\"\nduration = \"200ms\"\nsamples_min = 40";
    let host = chat.app(canary, &unreachable).start().await;
    let (one, two) = (variant("one", &[]), variant("two", &[]));
    host.deploy("variant", &two).await;
    shop_to_the_end(&host).await;
    let told = chat.changes(0..5).await;
    let steps = [10, 25, 50, 100].map(|weight| ("step-began", weight));
    assert_eq!(told, changes(&[&steps[..], &[("promoted", 100)]].concat()));
    let last = chat.message(4).await;
    assert_eq!(last["component"], "variant", "{last}");
    assert_eq!(last["from"], digest(&one), "{last}");
    assert_eq!(last["to"], digest(&two), "{last}");
    let text = last["text"].as_str().expect("a text");
    assert!(text.starts_with("variant: promoted, 100 %") && text.contains("nothing against it"), "{text}");
    assert!(last["reason"].as_str().is_some_and(|reason| text.ends_with(reason)), "{last}");
    assert!(last["at"].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')), "{last}");

    host.deploy("variant", &variant("bad", &["errors=0500"])).await;
    shop_to_the_end(&host).await;
    assert_eq!(chat.changes(5..7).await, changes(&[("step-began", 10), ("rolled-back", 0)]));
    assert_eq!(chat.message(6).await["from"], digest(&two));

    host.log_line(&["a webhook was not told", "variant"]).await;
    until_counted(&host, "ok", 7.0).await;
    until_counted(&host, "failed", 1.0).await;
    let log = host.log().join("\n");
    assert!(!log.contains(TOKEN) && !log.contains("127.0.0.1:1/"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_do_at_once_and_what_a_restart_does_is_told() {
    let chat = Chat::start(0).await;
    let unknown = format!("{}/hooks/other", chat.told(|told| told.origin.clone()));
    let mut host = chat.app("", &unknown).start().await;
    let artifact = host.write("two.wasm", &variant("two", &[]));
    let artifact = artifact.to_str().expect("UTF-8");
    let deployed = host.operate(&["deploy", "variant", artifact, "--why", "faster"]).await;
    assert!(deployed.status.success(), "{deployed:?}");
    assert!(host.operate(&["rollback", "variant"]).await.status.success());
    assert_eq!(chat.changes(0..2).await, changes(&[("deployed", 100), ("returned", 100)]));
    assert_eq!(chat.message(0).await["reason"], "faster");
    assert_eq!(chat.message(1).await["to"], digest(&variant("one", &[])));
    // What is refused for good is not tried again.
    host.log_line(&["a webhook was not told", "404"]).await;

    let begun = host.operate(&["deploy", "variant", artifact, "--strategy", "canary"]).await;
    assert!(begun.status.success(), "{begun:?}");
    chat.message(2).await;
    host.kill_9().await;
    host.restart().await;
    assert!(host.operate(&["abort", "variant", "--why", "enough"]).await.status.success());
    assert_eq!(chat.changes(2..5).await, changes(&[("step-began", 10), ("restarted", 10), ("aborted", 0)]));
    assert_eq!(chat.message(4).await["reason"], "enough");

    host.write("variant.wasm", &variant("new", &[]));
    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "new");
    assert_eq!(chat.changes(5..6).await, changes(&[("deployed", 100)]));
    let told = chat.message(5).await;
    assert_eq!(told["from"], digest(&variant("one", &[])), "{told}");
    assert_eq!(told["to"], digest(&variant("new", &[])), "{told}");
    assert_eq!(told["reason"], "the manifest's file changed", "{told}");
    let actions: Value = host.control("GET", "/v1/actions?limit=1", "").await.json().await.expect("JSON");
    let expected = ["deploy", "manifest", "the manifest's file changed", "ok"];
    assert_eq!(["action", "who", "why", "outcome"].map(|field| &actions[0][field]), expected, "{actions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_tells_what_it_has_still_to_tell_but_does_not_wait_for_ever() {
    // The first attempt fails, so that the message waits when the host is asked to stop.
    let chat = Chat::start(1).await;
    let mute = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let never_answers = format!("http://{}/hooks", mute.local_addr().expect("it is bound"));
    for (other, longest) in [(chat.told(|told| format!("{}/hooks/other", told.origin)), 3), (never_answers, 8)] {
        let before = chat.told(|told| (told.busy = 1, told.messages.len()).1);
        let mut host = chat.app("", &other).start().await;
        host.deploy("variant", &variant("two", &[])).await;
        let started = Instant::now();
        assert!(host.stop().await.success());
        assert!(started.elapsed() < Duration::from_secs(longest), "{:?} with {other}", started.elapsed());
        let changes =
            chat.told(|told| told.messages[before..].iter().map(|told| told["change"].clone()).collect::<Vec<_>>());
        assert_eq!(changes, ["deployed"], "with {other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_no_url_is_refused_at_the_start_without_showing_it() {
    let chat = Chat::start(0).await;
    let refusal = chat.app("", "not {{ hook_token }}").refused().await;
    refusal.assert_says(&["spin.toml:", "the webhook is no URL"]);
    assert!(!refusal.message.contains(TOKEN), "{}", refusal.message);
}
