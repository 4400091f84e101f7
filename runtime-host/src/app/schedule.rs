//! Requests that the host itself sends to components at regular times: sweeps and other chores.
//!
//! One worker thread sends them. A run that is still going on when the next one is due is left alone, and the next one
//! is skipped. Every service can also be asked the same from outside, where nothing like this exists.

mod timetable;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::mpsc;

use self::timetable::Timetable;
use super::Worker;
use crate::config_file::Located;
use crate::engine::outbound_http::ServiceChain as _;
use crate::listener::Drain;
use crate::manifest;
use crate::telemetry::request_context::RequestContext;
use crate::template::Template;
use crate::variables::Variables;

/// One request and its period.
#[derive(Clone)]
pub struct Schedule {
    component: String,
    every: Duration,
    path: String,
    uri: Uri,
    headers: HeaderMap,
}

impl Schedule {
    /// What the manifest says, with the variables' values in place.
    pub(super) fn new(schedule: &manifest::Schedule, component: &str, variables: &Variables) -> anyhow::Result<Self> {
        let uri = format!("http://{component}.spin.internal{}", schedule.path);
        let named = || format!("the schedule of component `{component}` for {}", schedule.path);
        Ok(Self {
            component: component.to_owned(),
            every: schedule.every,
            path: schedule.path.clone(),
            uri: uri.parse().with_context(named)?,
            headers: headers(&schedule.headers, variables).with_context(named)?,
        })
    }

    /// Whether the component answered with success.
    async fn run(&self, worker: Arc<Worker>) -> bool {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let Some(answer) = worker.call(&self.component, request, RequestContext::default()) else { return false };
        let answer = answer.await;
        let status = answer.status();
        // Taken to its end, so that the guest is not stopped in the middle.
        let ended = answer.into_body().collect().await;
        let is_success = status.is_success() && ended.is_ok();
        if !is_success {
            tracing::warn!(component = self.component, path = %self.path, %status, "a scheduled run failed");
        }
        is_success
    }
}

/// The headers of a request that the host sends by itself, with the variables' values in place.
pub(super) fn headers(
    templates: &BTreeMap<String, Located<Template>>,
    variables: &Variables,
) -> anyhow::Result<HeaderMap> {
    let header = |(name, template): (&String, &Located<Template>)| {
        // The value may be a secret, which an error must not show.
        let value: HeaderValue = variables.render(template).parse()?;
        anyhow::Ok((name.parse::<HeaderName>()?, value))
    };
    templates.iter().map(header).collect()
}

/// When runs may begin, held by all who may have one going on.
#[derive(Clone)]
pub struct Turn {
    begins: Shared<BoxFuture<'static, ()>>,
    _held: mpsc::Sender<()>,
}

/// Tells when no run goes on any more and none will begin.
pub struct TurnOver(mpsc::Receiver<()>);

impl Turn {
    /// Runs begin once `begins` is done.
    pub fn new(begins: impl Future<Output = ()> + Send + 'static) -> (Self, TurnOver) {
        let (held, over) = mpsc::channel(1);
        (Self { begins: begins.boxed().shared(), _held: held }, TurnOver(over))
    }
}

impl TurnOver {
    /// Waits for it.
    pub async fn wait(mut self) {
        // Nothing is ever sent.
        let _ = self.0.recv().await;
    }
}

/// Starts all schedules of the application on the thread of `worker`. No run begins before its `turn`, nor after the drain has.
pub fn start(worker: &Arc<Worker>, drain: &Drain, turn: &Turn) {
    for schedule in worker.schedules() {
        tokio::spawn(repeat(schedule.clone(), Arc::downgrade(worker), drain.clone(), turn.clone()));
    }
}

async fn repeat(schedule: Schedule, worker: Weak<Worker>, drain: Drain, turn: Turn) {
    tokio::select! {
        () = turn.begins.clone() => {}
        () = drain.begun() => return,
    }
    let mut times = Timetable::new(schedule.every, Instant::now(), fastrand::Rng::new());
    loop {
        tokio::select! {
            () = tokio::time::sleep_until(times.due().into()) => {}
            () = drain.begun() => return,
        }
        let Some(worker) = worker.upgrade() else { return };
        // Those of the revision that is asked, or of the one after it if it is replaced meanwhile.
        let Some(metrics) = worker.metrics_of(&schedule.component) else { return };
        let result = if schedule.run(worker).await { "ok" } else { "failed" };
        metrics.scheduled_run(&schedule.path, result);
        for _ in 0..times.advance(Instant::now()) {
            metrics.scheduled_run(&schedule.path, "skipped");
        }
    }
}
