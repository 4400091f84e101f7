//! The request path on one worker thread: reserved paths, route, instance, answer, report.

use std::sync::{Arc, Weak};

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, WasiBody};

use super::quiet::QuietThread;
use super::report::{Answered, Asked, Revision, Unanswered};
use super::revision::WorkerThread;
use super::shopper::NewShopper;
use super::{App, PREVIEW, Target, preview, shape, shopper};
use crate::allowed_hosts::is_service_chaining_host;
use crate::engine::outbound_client::OutboundClient;
use crate::engine::outbound_http::ServiceChain;
use crate::engine::pool::DispatchError;
use crate::gateway::{Client, KeySource};
use crate::listener::{BodyError, ConnectionInfo, Handler, IncomingBody, Refusal};
use crate::manifest::StaticResponse;
use crate::problem::Problem;
use crate::router::{CHAINED_ROUTE, Match, RequestFacts};
use crate::telemetry::access_log;
use crate::telemetry::metrics::ComponentMetrics;
use crate::telemetry::request_context::{REQUEST_ID, RequestContext};

/// One worker thread's side of the application: its own instances of every component.
pub struct Worker {
    pub(super) app: Arc<App>,
    /// Its number among the worker threads, from 0.
    index: usize,
    pub(super) client: OutboundClient,
    /// Ends with the worker.
    _quiet: Option<QuietThread>,
}

impl Worker {
    /// The worker of this thread, which has to be in its runtime. It has no instances; they come with the requests.
    pub fn new(app: Arc<App>, index: usize) -> Arc<Self> {
        let client = OutboundClient::new(app.outbound.clone());
        let quiet = app.has_quiet_components().then(|| QuietThread::start(index)).flatten();
        let quiet_runtime = quiet.as_ref().map(|thread| thread.runtime().clone());
        let worker = Arc::new(Self { app, index, client, _quiet: quiet });
        let chain: Weak<dyn ServiceChain> = Arc::<Self>::downgrade(&worker);
        worker.app.worker_starts(index, WorkerThread { runtime: Handle::current(), quiet: quiet_runtime, chain });
        worker
    }

    /// The counters of the revision of the component `id` that is in force.
    pub(super) fn metrics_of(&self, id: &str) -> Option<Arc<ComponentMetrics>> {
        let place = self.app.place_of(id)?;
        Some(self.app.table.load().at(place).main.component().metrics.clone())
    }

    /// What the host asks of components at regular times.
    pub(super) fn schedules(&self) -> &[super::schedule::Schedule] {
        &self.app.schedules
    }

    /// Has the component at `place` answer, and counts it. A failure becomes the answer that tells of it.
    pub(super) async fn dispatch(
        &self,
        place: usize,
        mut request: Request<WasiBody>,
        context: Arc<RequestContext>,
    ) -> Response<WasiBody> {
        let method = request.method().clone();
        // The pool is held until there is an answer, and with it the revision: what has no pool left is answered by nobody.
        let (pool, copied) = {
            let table = self.app.table.load();
            let side = context.sides().and_then(|sides| sides.at(place));
            let (live, shadow) = table.at(place).choose(request.headers_mut(), side);
            let copied = shadow.and_then(|candidate| {
                Some((candidate.shadow.as_ref()?.copy(&request)?, candidate.live.pool(self.index)?.clone()))
            });
            (live.pool(self.index).cloned(), copied)
        };
        let Some(pool) = pool else {
            // Nobody can ask before all threads have started.
            return Problem::Overloaded.response(context.request_id());
        };
        let metrics = &pool.instances.component().metrics;
        let (answer, duration) = pool.answer(request, context.clone()).await;
        let mut response = answer.map(|answer| self.purging(answer)).unwrap_or_else(|error| {
            log_failure(&error, &context);
            if let Some(reason) = rejection(&error) {
                metrics.request_rejected(reason);
            }
            let mut response = problem(&error).response(context.request_id());
            if !matches!(error, DispatchError::BodyTooLarge { .. }) {
                response.extensions_mut().insert(Unanswered);
            }
            response
        });
        metrics.request(&method, response.status(), duration);
        if access_log::is_on() || self.app.telemetry.tracer_of(&context).is_some() {
            response.extensions_mut().insert(Revision(metrics.clone()));
        }
        if let Some((copy, other)) = copied {
            response = copy.compare(response, other, context);
        }
        response
    }

    /// Has a request answered by whom its route names, or by the component at the place that was chosen for it.
    pub(super) async fn answer_by_route(
        &self,
        arrival: Arrival,
        chosen: Option<usize>,
        context: &mut Arc<RequestContext>,
        new_shopper: &mut Option<NewShopper>,
    ) -> (Response<WasiBody>, Answered<'_>) {
        let Arrival { request, scheme, client } = arrival;
        let (mut parts, body) = request.into_parts();
        // To a component that was chosen, the request is as one from within the application: its route is `/...`.
        let route = match chosen {
            Some(_) => None,
            None => match self.app.router.route(parts.uri.path()) {
                None => return (Problem::NotFound.response(context.request_id()), Answered::default()),
                found => found,
            },
        };
        let route_text = route.as_ref().map_or(CHAINED_ROUTE, |route| route.pattern().as_str());
        let mut answered = Answered { route: route_text, ..Answered::default() };
        let place = match (chosen, route.as_ref().map(|route| route.target)) {
            (Some(place), _) => place,
            (None, Some(Target::Component(place))) => *place,
            (None, Some(Target::Static(response))) => return (static_response(response), answered),
            // One or the other is there.
            (None, None) => return (Problem::NotFound.response(context.request_id()), answered),
        };
        let Some(authority) = authority(&parts) else {
            return (Problem::BadRequest.response(context.request_id()), answered);
        };
        if let Some(refused) = self.not_a_tester(&authority, &mut parts.headers, context) {
            return (refused, answered);
        }
        answered.place = Some(place);
        let facts = RequestFacts { scheme: &scheme, host: authority.as_str(), uri: &parts.uri, client: &client };
        match route {
            Some(route) => route.set_headers(&facts, &mut parts.headers),
            None => Match::chained(&(), parts.uri.path()).set_headers(&facts, &mut parts.headers),
        }
        context.write_headers(&mut parts.headers);
        // A tester is not one of the shoppers.
        let is_preview = parts.headers.contains_key(PREVIEW);
        // It has one from an attempt before this, perhaps.
        *new_shopper = self.place_request(context, &parts.headers).or(new_shopper.take());
        let is_https = scheme == Scheme::HTTPS;
        // A proxy may know that the client came another way than its connection.
        if parts.uri.scheme() != Some(&scheme) {
            parts.uri = absolute(&parts.uri, scheme, authority);
        }
        let request = Request::from_parts(parts, body);
        let mut response = self.dispatch(place, request, context.clone()).await;
        if let Some(shopper) = new_shopper.as_ref().filter(|_| !is_preview) {
            shopper.give(response.headers_mut(), is_https);
        }
        (response, answered)
    }

    /// The answer at a host for testers to somebody else.
    ///
    /// Whichever component's host it is: a page of one calls others, and the browser shows its cookie to all.
    pub(super) fn not_a_tester(
        &self,
        authority: &Authority,
        headers: &mut HeaderMap,
        context: &RequestContext,
    ) -> Option<Response<WasiBody>> {
        let is_preview_host = self.app.preview_hosts.iter().any(|host| host.eq_ignore_ascii_case(authority.host()));
        let is_refused = is_preview_host && !preview::admit(headers, &self.app.preview_token);
        is_refused.then(|| Problem::NoPreview.response(context.request_id()))
    }

    /// Decides which sides a request with these headers and all that it leads to are for, unless that is decided. Returns the key of a
    /// shopper that has none.
    pub(super) fn place_request(&self, context: &mut Arc<RequestContext>, headers: &HeaderMap) -> Option<NewShopper> {
        if context.sides().is_some() {
            return None;
        }
        let (sides, new_shopper) = shopper::sides(&self.app.table.load(), headers)?;
        // Nobody else has it yet, so nothing is copied.
        Arc::make_mut(context).set_sides(sides);
        new_shopper
    }
}

/// A request that looks for its route.
pub(super) struct Arrival {
    pub(super) request: Request<WasiBody>,
    pub(super) scheme: Scheme,
    pub(super) client: HeaderValue,
}

impl Handler for Arc<Worker> {
    type Body = WasiBody;

    async fn handle(&self, request: Request<IncomingBody>, connection: &ConnectionInfo) -> Response<WasiBody> {
        if let Some(response) = self.app.reserved(request.uri().path()) {
            return response;
        }
        let mut context = Arc::new(self.app.telemetry.context_of(request.headers()));
        let mut asked = Asked::new(&request);
        let (mut parts, mut body) = request.into_parts();
        let scheme = if connection.tls { Scheme::HTTPS } else { Scheme::HTTP };
        let (text, certificate) = (connection.peer_text.clone(), connection.client.clone());
        let peer = Client { address: connection.peer, text, scheme, certificate };
        let mut passage = self.app.gateway.enter(&mut parts, peer);
        let keys: Arc<dyn KeySource> = self.clone();
        let admitted = passage.admit(&mut parts, &keys).await;
        asked.admitted(&passage);
        let (mut response, answered) = match admitted {
            Ok(()) => {
                if let Some(bytes_max) = passage.body_bytes_max() {
                    body.bound(bytes_max);
                }
                let Client { text, scheme, .. } = passage.client.clone();
                let request = Request::from_parts(parts, guest_body(body));
                self.answer_cached(&mut passage, Arrival { request, scheme, client: text }, &mut context).await
            }
            Err(refusal) => (self.refused(refusal, &context), Answered::default()),
        };
        asked.cached = passage.cached;
        response = shape::edit(&passage, response, &asked.method, &context).await;
        passage.leave(response.headers_mut());
        response.headers_mut().insert(REQUEST_ID, context.request_id_header());
        response = shape::compress(&passage, response);
        self.report(asked, context, answered, response)
    }

    fn refuse(&self, request: &Request<()>, refusal: Refusal) -> Response<WasiBody> {
        let problem = match refusal {
            Refusal::BadHost => Problem::BadRequest,
            Refusal::UnknownTransferCoding => Problem::UnknownTransferCoding,
            Refusal::ContentTooLarge => Problem::ContentTooLarge,
            Refusal::UriTooLong => Problem::UriTooLong,
            Refusal::BodyTimeout => Problem::BodyTimeout,
            Refusal::BrokenBody => Problem::BrokenBody,
        };
        let context = Arc::new(self.app.telemetry.context_of(request.headers()));
        let response = problem.response(context.request_id());
        self.report(Asked::new(request), context, Answered::default(), response)
    }
}

fn log_failure(error: &DispatchError, context: &RequestContext) {
    // Requests that are turned away are logged by the second, so that a flood of them is not one of log lines.
    if !matches!(error, DispatchError::QueueFull { .. }) {
        tracing::error!(request_id = context.request_id(), traceparent = context.traceparent(), "{error}");
    }
}

fn problem(error: &DispatchError) -> Problem {
    match error {
        // Who asks again is answered by the revision in force.
        DispatchError::QueueFull { .. } | DispatchError::CutOff { .. } => Problem::Overloaded,
        DispatchError::DeadlineExceeded { .. } => Problem::DeadlineExceeded,
        DispatchError::BodyTooLarge { .. } => Problem::ContentTooLarge,
        DispatchError::Trapped { .. } | DispatchError::ErrorCode { .. } | DispatchError::Instantiate { .. } => {
            Problem::ComponentFailed
        }
    }
}

/// Why a request never reached a guest, as a metric label.
fn rejection(error: &DispatchError) -> Option<&'static str> {
    match error {
        DispatchError::QueueFull { .. } => Some("queue_full"),
        DispatchError::Instantiate { .. } => Some("no_instance"),
        _ => None,
    }
}

/// The host that a request asks for; the listener has put it into the URI.
///
/// `None` is a bad request: one without, or with the name of a component, which only a request from within the application has.
pub(super) fn authority(parts: &http::request::Parts) -> Option<Authority> {
    parts.uri.authority().filter(|authority| !is_service_chaining_host(authority.host())).cloned()
}

pub(super) fn absolute(uri: &Uri, scheme: Scheme, authority: Authority) -> Uri {
    let mut parts = uri.clone().into_parts();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    // Scheme, authority and path are all there, which is all that a URI needs.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

fn guest_body(body: IncomingBody) -> WasiBody {
    body.map_err(|error| match error {
        BodyError::TooLarge { bytes_max } => Error::HttpRequestBodySize(Some(bytes_max)),
        BodyError::TimedOut => Error::ConnectionReadTimeout,
        BodyError::Transport(error) => Error::Hyper(error),
    })
    .boxed_unsync()
}

fn static_response(response: &StaticResponse) -> Response<WasiBody> {
    let mut answer = Response::new(Full::new(response.body.clone()).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers.clone();
    answer
}

#[cfg(test)]
mod tests;
