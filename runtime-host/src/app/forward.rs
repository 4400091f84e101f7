//! A request on its way from the gateway to whoever answers it: a component or an upstream, as often and for as long as its rule says.

mod held;
mod replayed;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, RETRY_AFTER, SET_COOKIE};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

use super::report::{Answered, Fallback, Unanswered};
use super::shopper::NewShopper;
use super::worker::{Arrival, authority};
use super::{Target, Worker, choice, edge};
use crate::engine::body::Paced;
use crate::gateway::{
    self, BoxError, Chosen, Connection, Guard, Passage, Refusal, Retries, SendError, Timeouts, Upstream,
};
use crate::problem::Problem;
use crate::telemetry::request_context::RequestContext;
use held::hold;
use replayed::Replayed;
use upload::{Late, Upload};

/// How long an upstream may take to begin an answer where its rule says nothing, and for each next piece of it.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);
/// As good as no limit: a component has a deadline of its own.
const COMPONENT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// What goes on from one attempt to the next.
struct Course<'a, 'w> {
    passage: &'a Passage,
    context: &'a mut Arc<RequestContext>,
    timeouts: Timeouts,
    /// When the answer has to have ended.
    deadline: Option<Instant>,
    is_first: bool,
    /// The servers that were asked.
    servers: Vec<u64>,
    /// What a shopper is told who has no key yet, with whichever answer.
    new_shopper: Option<NewShopper>,
    answered: Answered<'w>,
}

/// One answer, and whether another attempt may get a better one.
struct Tried {
    answer: Response<WasiBody>,
    outcome: Outcome,
    /// What watches over who was asked.
    guard: Option<Arc<Guard>>,
    /// Who was asked, where that was a server.
    server: Option<Chosen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nobody was asked.
    Refused,
    /// Whoever was asked has answered.
    Answered,
    /// It has not worked on the request to its end, for all that is known.
    Unanswered,
}

impl Tried {
    fn refused(answer: Response<WasiBody>) -> Self {
        Self { answer, outcome: Outcome::Refused, guard: None, server: None }
    }
}

impl Worker {
    /// Has whoever is to answer the request do so.
    pub(super) async fn forward(
        &self,
        passage: &Passage,
        arrival: Arrival,
        context: &mut Arc<RequestContext>,
    ) -> (Response<WasiBody>, Answered<'_>) {
        if passage.is_plain() {
            return self.answer_by_route(arrival, None, context, &mut None).await;
        }
        let method = arrival.request.method().clone();
        let mut places = match passage.begin() {
            Ok(places) => places,
            Err(refusal) => {
                let refused = self.refused(refusal, context);
                return self.or_fallback(passage, &method, refused, Answered::default());
            }
        };
        let timeouts = passage.timeouts();
        let deadline = timeouts.total.map(|total| Instant::now() + total);
        let mut course = Course {
            passage,
            context,
            timeouts,
            deadline,
            is_first: true,
            servers: Vec::new(),
            new_shopper: None,
            answered: Answered::default(),
        };
        // In a place of its own: every request would have to make room for what few need.
        let tried = Box::pin(self.attempts(arrival, &mut course)).await;
        let status = tried.answer.status();
        // One that failed at once says nothing of how long answers take; one that timed out does.
        let is_measured =
            tried.outcome != Outcome::Refused && (!status.is_server_error() || status == StatusCode::GATEWAY_TIMEOUT);
        places.answered(is_measured);
        let (answer, answered) = self.or_fallback(passage, &method, tried.answer, course.answered);
        // What the host itself answers is all there, perhaps because it is too late for anything else.
        let deadline = deadline.filter(|_| tried.outcome == Outcome::Answered && answered.failed.is_none());
        (answer.map(|body| hold(body, deadline, places, tried.server)), answered)
    }

    /// The answer, or what is answered in place of a failure.
    fn or_fallback<'w>(
        &self,
        passage: &Passage,
        method: &http::Method,
        answer: Response<WasiBody>,
        mut answered: Answered<'w>,
    ) -> (Response<WasiBody>, Answered<'w>) {
        let Some(mut fallback) = passage.fallback(method, answer.status()) else { return (answer, answered) };
        self.app.telemetry.metrics.gateway_fell_back();
        answered.failed = Some(answer.status());
        fallback.extensions_mut().insert(Fallback);
        (fallback.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync()), answered)
    }

    async fn attempts<'w>(&'w self, arrival: Arrival, course: &mut Course<'_, 'w>) -> Tried {
        let Arrival { request, scheme, client } = arrival;
        let (mut parts, body) = request.into_parts();
        match course.passage.rewritten(&parts.uri) {
            None => {}
            Some(Some(uri)) => parts.uri = uri,
            // As it is, it could be one that the rule keeps from everybody.
            Some(None) => return Tried::refused(Problem::BadRequest.response(course.context.request_id())),
        }
        let mut retries = course.passage.retries(&parts.method, &parts.headers);
        let mut body = match (&retries, course.deadline) {
            (None, _) => Replayed::Once(Some(body)),
            (Some(_), deadline) => {
                let replayed = Replayed::of(body, &parts.headers);
                let replayed = match deadline {
                    None => replayed.await,
                    Some(deadline) => timeout_at(deadline, replayed).await.unwrap_or(Err(Problem::BodyTimeout)),
                };
                match replayed {
                    Ok(body) => body,
                    Err(problem) => return Tried::refused(problem.response(course.context.request_id())),
                }
            }
        };
        loop {
            let is_last = !body.is_kept() || !retries.as_ref().is_some_and(Retries::is_left);
            let request = Request::from_parts(parts.clone(), body.next());
            let again = Arrival { request, scheme: scheme.clone(), client: client.clone() };
            let tried = self.attempt(again, course).await;
            course.is_first = false;
            let Some(retries) = retries.as_mut().filter(|_| !is_last) else { return tried };
            let is_reason = match tried.outcome {
                Outcome::Refused => false,
                Outcome::Answered => retries.is_for(tried.answer.status()),
                Outcome::Unanswered => true,
            };
            if !is_reason || !tried.guard.as_ref().is_some_and(|guard| guard.spend_retry()) {
                return tried;
            }
            let pause = retries.begin();
            if course.deadline.is_some_and(|deadline| Instant::now() + pause >= deadline) {
                return tried;
            }
            // Its server is no longer busy with it.
            drop(tried);
            sleep(pause).await;
            self.app.telemetry.metrics.gateway_retried();
        }
    }

    async fn attempt<'w>(&'w self, arrival: Arrival, course: &mut Course<'_, 'w>) -> Tried {
        let place = match course.passage.target() {
            Some(gateway::Target::Upstream(upstream)) => {
                let upstream = upstream.clone();
                return self.ask_upstream(&upstream, arrival, course).await;
            }
            Some(gateway::Target::Component(id)) => self.app.place_of(id),
            None => self.app.router.route(arrival.request.uri().path()).and_then(|route| match route.target {
                Target::Component(place) => Some(*place),
                Target::Static(_) => None,
            }),
        };
        let chosen = course.passage.target().and(place);
        let id = place.map(|place| self.app.served[place].as_str());
        let guard = id.and_then(|id| course.passage.component_guard(id)).cloned();
        let attempt = match guard.as_ref().map(|guard| guard.attempt(course.is_first)).transpose() {
            Ok(attempt) => attempt,
            Err(left) => return Tried::refused(self.open(left, course.context)),
        };
        course.answered.place = place;
        let (parts, body) = arrival.request.into_parts();
        let (uploaded, upload) = Upload::watch(body);
        let arrival = Arrival { request: Request::from_parts(parts, uploaded.boxed_unsync()), ..arrival };
        let limit = course.timeouts.first_byte.unwrap_or(COMPONENT_TIMEOUT);
        let answering = self.answer_by_route(arrival, chosen, course.context, &mut course.new_shopper);
        let (answer, outcome) = match upload.answer(limit, course.deadline, answering).await {
            Ok((answer, by)) => {
                course.answered = by;
                let is_unanswered = answer.extensions().get::<Unanswered>().is_some();
                (answer, if is_unanswered { Outcome::Unanswered } else { Outcome::Answered })
            }
            Err(Late::Client) => (Problem::BodyTimeout.response(course.context.request_id()), Outcome::Refused),
            Err(Late::Service) => {
                (Problem::DeadlineExceeded.response(course.context.request_id()), Outcome::Unanswered)
            }
        };
        // What the client did wrong says nothing of the component.
        if upload.failed().is_none() && outcome != Outcome::Refused {
            let change = attempt.and_then(|attempt| attempt.answered(answer.status()));
            self.tell(id.unwrap_or_default(), change);
        }
        Tried { answer, outcome, guard, server: None }
    }

    async fn ask_upstream<'w>(&'w self, upstream: &Upstream, arrival: Arrival, course: &mut Course<'_, 'w>) -> Tried {
        let (started, method) = (Instant::now(), arrival.request.method().clone());
        course.answered.upstream = Some(upstream.name().to_owned());
        let (mut parts, body) = arrival.request.into_parts();
        let Some(authority) = authority(&parts) else {
            return Tried::refused(Problem::BadRequest.response(course.context.request_id()));
        };
        if let Some(refused) = self.not_a_tester(&authority, &mut parts.headers, course.context) {
            return Tried::refused(refused);
        }
        let guard = course.passage.upstream_guard(upstream).cloned();
        let attempt = match guard.as_ref().map(|guard| guard.attempt(course.is_first)).transpose() {
            Ok(attempt) => attempt,
            Err(left) => return Tried::refused(self.open(left, course.context)),
        };
        let limit = course.timeouts.first_byte.unwrap_or(UPSTREAM_TIMEOUT);
        let connected = match course.deadline {
            None => self.connect(upstream, &parts, course).await,
            Some(deadline) => {
                let connected = timeout_at(deadline, self.connect(upstream, &parts, course)).await;
                connected.unwrap_or(Err(Problem::DeadlineExceeded))
            }
        };
        let (chosen, answer, outcome) = match connected {
            Err(problem) => (None, problem.response(course.context.request_id()), Outcome::Unanswered),
            Ok((chosen, connection)) => {
                let cookie = upstream.cookie(&chosen.server, &parts.headers, arrival.scheme == Scheme::HTTPS);
                choice::withhold(&mut parts.headers);
                course.context.write_headers(&mut parts.headers);
                let (uploaded, upload) = Upload::watch(body);
                let sent = Request::from_parts(parts, uploaded.map_err(BoxError::from).boxed_unsync());
                let sending = upstream.send(&chosen, connection, sent, self.app.gateway.tls());
                let sent = upload.answer(limit, course.deadline, sending).await;
                if let (Some(problem), false) = (upload.failed(), matches!(sent, Ok(Ok(_)))) {
                    // The client broke off, and nothing is known of the server.
                    return Tried::refused(problem.response(course.context.request_id()));
                }
                let (answer, outcome) = match sent {
                    Ok(Ok(answer)) => (self.purging(of_upstream(answer, cookie)), Outcome::Answered),
                    Ok(Err(error)) => {
                        let problem = problem_of(&error);
                        self.log_failure_of(upstream, error, course.context);
                        (problem.response(course.context.request_id()), Outcome::Unanswered)
                    }
                    Err(Late::Client) => {
                        return Tried::refused(Problem::BodyTimeout.response(course.context.request_id()));
                    }
                    Err(Late::Service) => {
                        (Problem::DeadlineExceeded.response(course.context.request_id()), Outcome::Unanswered)
                    }
                };
                let is_ill = outcome == Outcome::Unanswered || matches!(answer.status().as_u16(), 502..=504);
                upstream.answered(&chosen.server, !is_ill);
                (Some(chosen), answer, outcome)
            }
        };
        let status = answer.status();
        self.tell(upstream.name(), attempt.and_then(|attempt| attempt.answered(status)));
        self.app.telemetry.metrics.upstream_request(upstream.name(), &method, status, started.elapsed());
        Tried { answer, outcome, guard, server: chosen }
    }

    /// A connection to a server of the upstream: to the first that lets itself be connected to. None of them has seen the request yet.
    async fn connect(
        &self,
        upstream: &Upstream,
        request: &http::request::Parts,
        course: &mut Course<'_, '_>,
    ) -> Result<(Chosen, Connection), Problem> {
        let mut refused = Vec::new();
        loop {
            let Some(chosen) = course.passage.choose(upstream, request, &course.servers) else {
                tracing::warn!(upstream = upstream.name(), "there is no server that could be asked");
                return Err(Problem::Unavailable);
            };
            let id = chosen.server.id();
            if !course.servers.contains(&id) {
                course.servers.push(id);
            }
            refused.push(id);
            let error = match upstream.connect(&chosen, self.app.gateway.tls()).await {
                Ok(connection) => return Ok((chosen, connection)),
                Err(error) => error,
            };
            upstream.answered(&chosen.server, false);
            let problem = problem_of(&error);
            self.log_failure_of(upstream, error, course.context);
            // Each is tried once, the well ones before the ill.
            let next = course.passage.choose(upstream, request, &course.servers);
            if next.is_none_or(|next| refused.contains(&next.server.id())) {
                return Err(problem);
            }
        }
    }

    fn log_failure_of(&self, upstream: &Upstream, error: SendError, context: &RequestContext) {
        let error = anyhow::Error::new(error);
        tracing::warn!(upstream = upstream.name(), request_id = context.request_id(), "{error:#}");
    }

    /// The answer to what goes no further, which is counted.
    pub(super) fn refused(&self, refusal: Refusal, context: &RequestContext) -> Response<WasiBody> {
        if let Some(reason) = refusal.reason() {
            self.app.telemetry.metrics.gateway_refused(reason);
        }
        edge::refused(refusal, context)
    }

    /// The answer while a breaker is open.
    fn open(&self, left: Duration, context: &RequestContext) -> Response<WasiBody> {
        let mut answer = self.refused(Refusal::BreakerOpen, context);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(left.as_secs() + 1));
        answer
    }

    fn tell(&self, target: &str, change: Option<gateway::Change>) {
        if let Some(change) = change {
            self.app.telemetry.metrics.breaker_changed(target, change.name());
            tracing::warn!(target_of_breaker = target, "{change}");
        }
    }
}

fn problem_of(error: &SendError) -> Problem {
    match error {
        SendError::ConnectTimeout(..) => Problem::DeadlineExceeded,
        SendError::Connect(..) | SendError::Broken(..) => Problem::BadGateway,
    }
}

fn of_upstream(answer: Response<gateway::Body>, cookie: Option<HeaderValue>) -> Response<WasiBody> {
    let mut answer = answer.map(|body| {
        let body = body.map_err(|error| {
            tracing::debug!("the body of an upstream's answer broke off: {error}");
            Error::HttpProtocolError
        });
        Paced::new(body.boxed_unsync(), UPSTREAM_TIMEOUT, Error::ConnectionReadTimeout).boxed_unsync()
    });
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody asked for it.
        *answer.status_mut() = StatusCode::BAD_GATEWAY;
    }
    if let Some(cookie) = cookie {
        answer.headers_mut().append(SET_COOKIE, cookie);
        // A cache must not give it to others.
        answer.headers_mut().append(CACHE_CONTROL, HeaderValue::from_static("private"));
    }
    answer
}
