//! What is counted and written down of each answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::WasiBody;

use super::Worker;
use crate::gateway::{Passage, Principal};
use crate::router::CHAINED_ROUTE;
use crate::telemetry::access_log::{self, LoggedBody};
use crate::telemetry::metrics::{CacheOutcome, ComponentMetrics, HOST as HOST_COMPONENT};
use crate::telemetry::request_context::RequestContext;
use crate::telemetry::spans::{self, Kind, Span};

/// A request that is not answered yet.
pub(super) struct Asked {
    pub(super) method: Method,
    /// Empty where nobody writes it down.
    pub(super) path: String,
    pub(super) started: Instant,
    /// How long the gateway took, and the line of its rule.
    pub(super) admitted_after: Option<Duration>,
    pub(super) rule: Option<usize>,
    /// Where it comes from; none from within the application.
    pub(super) client: Option<HeaderValue>,
    /// Who asks, if the gateway knows.
    pub(super) user: Option<Arc<Principal>>,
    /// How many more requests the gateway would let through at once.
    pub(super) limit_left: Option<u32>,
    /// What the gateway's cache did about it.
    pub(super) cached: Option<CacheOutcome>,
}

impl Asked {
    pub(super) fn new<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            path: if access_log::is_on() { request.uri().path().to_owned() } else { String::new() },
            started: Instant::now(),
            admitted_after: None,
            rule: None,
            client: None,
            user: None,
            limit_left: None,
            cached: None,
        }
    }

    /// The gateway has decided.
    pub(super) fn admitted(&mut self, passage: &Passage) {
        self.admitted_after = Some(self.started.elapsed());
        self.client = Some(passage.client.text.clone());
        self.user = passage.principal.clone();
        self.limit_left = passage.remaining;
        self.rule = passage.rule_line();
    }
}

/// Marks the answer of a component that has not worked on the request to its end: it trapped, or had no instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered;

/// Marks an answer that stands in for one of somebody who failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback;

/// Marks an answer with the revision that gave it.
#[derive(Clone)]
pub(super) struct Revision(pub(super) Arc<ComponentMetrics>);

/// Who answered a request.
#[derive(Default)]
pub(super) struct Answered<'a> {
    /// The component's place in [`App::served`]; `None` is the host itself.
    pub(super) place: Option<usize>,
    /// The route as written; empty where none matched.
    pub(super) route: &'a str,
    /// The upstream's name, if it was one.
    pub(super) upstream: Option<String>,
    /// How it failed, where something else is answered in its place.
    pub(super) failed: Option<StatusCode>,
}

/// What a trace tells of a request: not its path, in which secrets may be, but its route.
fn span(
    asked: &Asked,
    context: &RequestContext,
    component: &str,
    answered: &Answered<'_>,
    response: &Response<WasiBody>,
) -> Span {
    // A request from one component to another has the route of everything.
    let is_chained = answered.route == CHAINED_ROUTE;
    let about = if is_chained { component } else { answered.route };
    let name = if about.is_empty() { asked.method.to_string() } else { format!("{} {about}", asked.method) };
    let mut attributes =
        vec![("bodega.component", component.to_owned()), ("bodega.request_id", context.request_id().to_owned())];
    if !answered.route.is_empty() && !is_chained {
        attributes.push(("http.route", answered.route.to_owned()));
    }
    if let Some(revision) = response.extensions().get::<Revision>() {
        attributes.push(("bodega.revision", revision.0.revision().to_owned()));
    }
    if let Some(upstream) = &answered.upstream {
        attributes.push(("bodega.upstream", upstream.clone()));
    }
    if let Some(cached) = asked.cached {
        attributes.push(("bodega.cache", cached.as_str().to_owned()));
    }
    let (started, duration) = spans::began(asked.started);
    Span {
        trace: context.trace(),
        parent: context.parent(),
        kind: Kind::Server,
        name,
        method: asked.method.clone(),
        status: Some(answered.failed.unwrap_or(response.status())),
        started,
        duration,
        attributes,
    }
}

impl Worker {
    /// Counts an answer that no component gave, and has the access log know of every one.
    pub(super) fn report(
        &self,
        asked: Asked,
        context: Arc<RequestContext>,
        answered: Answered<'_>,
        response: Response<WasiBody>,
    ) -> Response<WasiBody> {
        let component = answered.place.map(|place| &self.app.served[place]);
        if component.is_none() {
            let duration = asked.started.elapsed();
            self.app.telemetry.metrics.host_request(&asked.method, response.status(), duration);
        }
        if let Some(tracer) = self.app.telemetry.tracer_of(&context) {
            tracer.record(span(
                &asked,
                &context,
                component.map_or(HOST_COMPONENT, String::as_str),
                &answered,
                &response,
            ));
        }
        if !access_log::is_on() {
            return response;
        }
        let wanted = self.app.gateway.access_log();
        let status = answered.failed.unwrap_or(response.status());
        if !wanted.wants(context.trace().trace_id.get(), status) {
            return response;
        }
        let entry = access_log::Entry {
            component: component.map_or(HOST_COMPONENT, String::as_str).to_owned(),
            revision: response.extensions().get::<Revision>().map(|by| by.0.revision().to_owned()),
            rule: asked.rule,
            path: wanted.shown(&asked.path).to_owned(),
            admitted_after: asked.admitted_after,
            answered_after: asked.started.elapsed(),
            upstream: answered.upstream,
            fallback_for: answered.failed,
            route: answered.route.to_owned(),
            method: asked.method,
            status: response.status(),
            started: asked.started,
            context,
            client: asked.client,
            user: asked.user.map(|user| user.subject().to_owned()),
            limit_left: asked.limit_left,
            cache: asked.cached,
        };
        response.map(|body| LoggedBody::new(body, entry).boxed_unsync())
    }
}
