//! Tells the URLs that a component names whenever another revision of it gets requests, or no longer does: JSON that Slack and
//! what is like it show.
//!
//! Whoever decides waits for nobody: a message goes into a bounded queue for each URL, and a task sends one after the other, so that
//! each URL is told in order and none waits for another. What is not delivered is logged and counted. A host that stops waits
//! for what is still to be told, for a few seconds; `bodega history` and the log of actions have what is lost then.
//!
//! A URL is a secret. What is logged is where the manifest has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::App;
use crate::config_file::{ConfigError, Located};
use crate::engine::outbound_client::{OutboundClient, OutboundShared};
use crate::manifest::Manifest;
use crate::registry::Digest;
use crate::rollout::Transition;
use crate::telemetry::Telemetry;
use crate::variables::Variables;

/// Messages that wait for each URL; one more is dropped.
const QUEUE_LENGTH_MAX: usize = 64;
/// How often one message is sent until it counts as not delivered.
const ATTEMPTS_MAX: u32 = 4;
/// How long an attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a host that stops waits for messages to be delivered: enough for all attempts at a URL that fails at once.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);

/// What becomes of a message, in metrics: it was taken.
const OK: &str = "ok";
/// The URL did not take it, however often it was tried.
const FAILED: &str = "failed";
/// Too many waited before it.
const DROPPED: &str = "dropped";
/// What may become of one.
pub(super) const RESULTS: [&str; 3] = [OK, FAILED, DROPPED];
/// How long the second attempt waits at most; each one after it twice as long.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// The part of a delay that is left to chance, so that many hosts do not all ask again at once.
const JITTER: f64 = 0.5;

const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
const BODEGA: HeaderValue = HeaderValue::from_static(concat!("bodega/", env!("CARGO_PKG_VERSION")));

/// Something to be told.
pub(super) struct News<'a> {
    pub(super) component: &'a str,
    /// The artifact in force before.
    pub(super) from: &'a Digest,
    /// The artifact that takes its place, or was to.
    pub(super) to: &'a Digest,
    /// What is different: the artifact, and what it is given, by name.
    pub(super) changed: &'a [String],
    /// One of a few fixed words.
    pub(super) change: &'static str,
    /// The share of requests that `to` has now.
    pub(super) weight_percent: u8,
    pub(super) reason: &'a str,
    pub(super) at_unix_ms: u64,
}

/// The queues of all URLs, by the component's id. The tasks end when it is dropped.
pub(super) struct Webhooks {
    queues: BTreeMap<String, Vec<Located<mpsc::Sender<Bytes>>>>,
    /// Messages that are neither delivered nor given up.
    untold: Arc<watch::Sender<usize>>,
    telemetry: Arc<Telemetry>,
}

/// One URL and what its task needs.
struct Webhook {
    component: String,
    uri: Located<Uri>,
    client: OutboundClient,
    untold: Arc<watch::Sender<usize>>,
    telemetry: Arc<Telemetry>,
}

/// Why a message was not delivered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it did not answer within {} s", ATTEMPT_TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Unreachable(#[from] wasmtime_wasi_http::Error),
}

impl<'a> News<'a> {
    /// What has changed in a rollout.
    pub(super) fn of(
        component: &'a str,
        from: &'a Digest,
        to: &'a Digest,
        changed: &'a [String],
        transition: &'a Transition,
    ) -> Self {
        Self {
            component,
            from,
            to,
            changed,
            change: transition.change.name(),
            weight_percent: transition.weight_percent,
            reason: &transition.reason,
            at_unix_ms: transition.at_unix_ms,
        }
    }

    fn message(&self) -> Bytes {
        let Self { component, from, to, changed, change, weight_percent, reason, at_unix_ms } = *self;
        let text = format!(
            "{component}: {change}, {weight_percent} % of requests to {} (before: {}; changed: {}): {reason}",
            to.short(),
            from.short(),
            changed.join(", ")
        );
        let at = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(at_unix_ms)).to_string();
        let message = json!({
            "text": escaped(&text),
            "component": component,
            "from": from.as_str(),
            "to": to.as_str(),
            "changed": changed,
            "change": change,
            "weight_percent": weight_percent,
            "reason": reason,
            "at": at,
        });
        message.to_string().into()
    }
}

/// The text without the characters that Slack takes for markup (docs.slack.dev, "Formatting message text").
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Webhooks {
    /// Starts the tasks of all URLs that the manifest names.
    pub(super) fn start(
        manifest: &Manifest,
        variables: &Variables,
        outbound: &Arc<OutboundShared>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, ConfigError> {
        let mut queues = BTreeMap::new();
        let untold = Arc::new(watch::Sender::new(0));
        for component in &manifest.components {
            let uris = manifest.webhooks(component, |template| variables.render(template))?.into_iter();
            let queue = |uri: Located<Uri>| {
                let (sender, receiver) = mpsc::channel(QUEUE_LENGTH_MAX);
                let queue = uri.with(sender);
                let client = OutboundClient::new(outbound.clone());
                let (component, untold, telemetry) = (component.id.clone(), untold.clone(), telemetry.clone());
                tokio::spawn(Webhook { component, uri, client, untold, telemetry }.deliver(receiver));
                queue
            };
            queues.insert(component.id.clone(), uris.map(queue).collect());
        }
        Ok(Self { queues, untold, telemetry: telemetry.clone() })
    }

    /// Whether anybody is told of a component.
    pub(super) fn has(&self, component: &str) -> bool {
        self.queues.get(component).is_some_and(|queues| !queues.is_empty())
    }

    /// Waits until all has been told, but not for long, since the host is to stop.
    pub(super) async fn all_told(&self) {
        let mut untold = self.untold.subscribe();
        let all = tokio::time::timeout(LAST_WORDS_TIMEOUT, untold.wait_for(|untold| *untold == 0)).await;
        if all.is_err() {
            tracing::warn!("the host stops before webhooks were told of {} changes", *self.untold.borrow());
        }
    }

    /// Has it told; waits for nothing.
    pub(super) fn tell(&self, news: &News<'_>) {
        let queues = self.queues.get(news.component).map(Vec::as_slice).unwrap_or_default();
        if queues.is_empty() {
            return;
        }
        let message = news.message();
        for queue in queues {
            self.untold.send_modify(|untold| *untold += 1);
            if queue.try_send(message.clone()).is_err() {
                self.untold.send_modify(|untold| *untold -= 1);
                let (component, line) = (news.component, queue.position.line);
                tracing::warn!(
                    component,
                    line,
                    "a webhook is not told of a change, since too many messages wait for it"
                );
                self.telemetry.metrics.webhook(component, DROPPED);
            }
        }
    }
}

impl App {
    /// Waits until webhooks have been told of everything, for a host that stops; not for long.
    pub async fn all_told(&self) {
        self.webhooks.all_told().await;
    }
}

impl Webhook {
    async fn deliver(self, mut queue: mpsc::Receiver<Bytes>) {
        while let Some(message) = queue.recv().await {
            let sent = self.send(message).await;
            if let Err(failure) = &sent {
                let (component, line) = (&self.component, self.uri.position.line);
                tracing::warn!(component, line, "a webhook was not told of a change: {failure}");
            }
            self.telemetry.metrics.webhook(&self.component, if sent.is_ok() { OK } else { FAILED });
            self.untold.send_modify(|untold| *untold -= 1);
        }
    }

    async fn send(&self, message: Bytes) -> Result<(), Failure> {
        let mut delay = RETRY_DELAY;
        for _ in 1..ATTEMPTS_MAX {
            match self.attempt(message.clone()).await {
                Err(failure) if failure.may_pass() => {
                    tokio::time::sleep(delay.mul_f64(1.0 - JITTER * fastrand::f64())).await;
                    delay *= 2;
                }
                ended => return ended,
            }
        }
        self.attempt(message).await
    }

    async fn attempt(&self, message: Bytes) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(message).map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.value.clone();
        request.headers_mut().extend([(CONTENT_TYPE, APPLICATION_JSON), (USER_AGENT, BODEGA)]);
        let answered = self.client.send(&self.component, request, None);
        let answer = tokio::time::timeout(ATTEMPT_TIMEOUT, answered).await.map_err(|_| Failure::Timeout)??;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(Failure::Status(status)),
        }
    }
}

impl Failure {
    /// Whether another attempt may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => {
                status.is_server_error()
                    || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            Self::Timeout | Self::Unreachable(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::{Change, State};

    #[test]
    fn a_message_has_a_text_for_people_and_fields_for_programs() {
        let (from, to) = (Digest::of(b"one"), Digest::of(b"two"));
        let transition = Transition {
            at_unix_ms: 1_700_000_000_123,
            change: Change::RolledBack,
            state: State::RolledBack,
            weight_percent: 0,
            reason: "errors: p < 0.001 & \"more\"".to_owned(),
        };
        let changed = ["artifact", "variable color"].map(str::to_owned);
        let message = News::of("catalog", &from, &to, &changed, &transition).message();
        let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
        let (short, before) = (to.short(), from.short());
        let expected = json!({
            "text": format!("catalog: rolled-back, 0 % of requests to {short} (before: {before}; changed: artifact, variable color): errors: p &lt; 0.001 &amp; \"more\""),
            "component": "catalog",
            "from": from.as_str(),
            "to": to.as_str(),
            "changed": ["artifact", "variable color"],
            "change": "rolled-back",
            "weight_percent": 0,
            "reason": "errors: p < 0.001 & \"more\"",
            "at": "2023-11-14T22:13:20.123Z",
        });
        assert_eq!(message, expected);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let may_pass = |status| Failure::Status(StatusCode::from_u16(status).unwrap()).may_pass();
        assert_eq!([408, 429, 500, 503].map(may_pass), [true; 4]);
        assert_eq!([301, 400, 403, 404, 410].map(may_pass), [false; 5]);
        assert!(Failure::Timeout.may_pass());
    }
}
