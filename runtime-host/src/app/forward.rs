//! A request on its way from the gateway to whoever answers it: a component or an upstream, as often and for as long as its rule says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{CONTENT_LENGTH, RETRY_AFTER, SET_COOKIE};
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout, timeout_at};
use wasmtime_wasi_http::{Error, WasiBody};

use super::worker::{Answered, Arrival, authority};
use super::{Target, Worker, choice, edge};
use crate::engine::body::Paced;
use crate::gateway::{self, BoxError, Chosen, Guard, Passage, Places, Refusal, Retries, SendError, Upstream};
use crate::problem::Problem;
use crate::telemetry::request_context::RequestContext;

/// How long an upstream may take to begin an answer where its rule says nothing, and for each next piece of it.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest body that is kept so that it can be sent once more.
const REPLAYED_BYTES_MAX: u64 = 64 << 10;

/// One answer, and whether another attempt may get a better one.
struct Tried {
    answer: Response<WasiBody>,
    /// A reason to try again, whatever the status: nobody has worked on the request to its end.
    is_unanswered: bool,
    /// What watches over who was asked.
    guard: Option<Arc<Guard>>,
    /// Counts as under way at its server until the answer has ended.
    server: Option<Chosen>,
}

impl Tried {
    fn refused(answer: Response<WasiBody>) -> Self {
        Self { answer, is_unanswered: false, guard: None, server: None }
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
            return self.answer_by_route(arrival, None, context).await;
        }
        let mut answered = Answered::default();
        let method = arrival.request.method().clone();
        let deadline = passage.timeouts().1.map(|total| Instant::now() + total);
        let (tried, places) = match passage.begin() {
            Ok(mut places) => {
                let attempts = self.attempts(passage, arrival, context, &mut answered);
                let tried = match deadline {
                    None => attempts.await,
                    Some(deadline) => timeout_at(deadline, attempts)
                        .await
                        .unwrap_or_else(|_| Tried::refused(Problem::DeadlineExceeded.response(context.request_id()))),
                };
                places.answered();
                (tried, places)
            }
            Err(refusal) => (Tried::refused(self.refused(refusal, context)), Places::default()),
        };
        let answer = match passage.fallback(&method, tried.answer.status()) {
            Some(mut fallback) => {
                fallback.extensions_mut().insert(Fallback);
                fallback.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
            }
            None => tried.answer,
        };
        let timer = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let guarded = |body| Guarded { body, timer, _places: places, _server: tried.server }.boxed_unsync();
        (answer.map(guarded), answered)
    }

    async fn attempts<'w>(
        &'w self,
        passage: &Passage,
        arrival: Arrival,
        context: &mut Arc<RequestContext>,
        answered: &mut Answered<'w>,
    ) -> Tried {
        let Arrival { request, scheme, client } = arrival;
        let (mut parts, body) = request.into_parts();
        if let Some(uri) = passage.rewritten(&parts.uri) {
            parts.uri = uri;
        }
        let mut retries = passage.retries(&parts.method, &parts.headers);
        let mut body = match retries {
            Some(_) => match Replayed::of(body, &parts.headers).await {
                Ok(body) => body,
                Err(problem) => return Tried::refused(problem.response(context.request_id())),
            },
            None => Replayed::No(Some(body)),
        };
        let mut servers = Vec::new();
        let mut is_first = true;
        loop {
            let is_last = !body.is_kept() || !retries.as_ref().is_some_and(Retries::is_left);
            let request = Request::from_parts(parts.clone(), body.next());
            let again = Arrival { request, scheme: scheme.clone(), client: client.clone() };
            let tried = self.attempt(passage, again, is_first, &mut servers, context, answered).await;
            is_first = false;
            let Some(retries) = retries.as_mut().filter(|_| !is_last) else { return tried };
            let is_reason = tried.is_unanswered || retries.is_for(tried.answer.status());
            if !is_reason || !tried.guard.as_ref().is_some_and(|guard| guard.spend_retry()) {
                return tried;
            }
            sleep(retries.begin()).await;
            self.app.telemetry.metrics.gateway_retried();
        }
    }

    async fn attempt<'w>(
        &'w self,
        passage: &Passage,
        arrival: Arrival,
        is_first: bool,
        servers: &mut Vec<u64>,
        context: &mut Arc<RequestContext>,
        answered: &mut Answered<'w>,
    ) -> Tried {
        let place = match passage.target() {
            Some(gateway::Target::Upstream(upstream)) => {
                let upstream = upstream.clone();
                answered.upstream = Some(upstream.name().to_owned());
                return self.ask_upstream(&upstream, passage, arrival, is_first, servers, context).await;
            }
            Some(gateway::Target::Component(id)) => self.app.place_of(id),
            None => self.app.router.route(arrival.request.uri().path()).and_then(|route| match route.target {
                Target::Component(place) => Some(*place),
                Target::Static(_) => None,
            }),
        };
        let chosen = passage.target().and(place);
        let id = place.map(|place| self.app.served[place].as_str());
        let guard = id.and_then(|id| passage.component_guard(id));
        let attempt = match guard.map(|guard| guard.attempt(is_first)).transpose() {
            Ok(attempt) => attempt,
            Err(left) => return Tried::refused(self.open(left, context)),
        };
        let answering = self.answer_by_route(arrival, chosen, context);
        let answer = match passage.timeouts().0 {
            None => Some(answering.await),
            Some(limit) => timeout(limit, answering).await.ok(),
        };
        let (answer, is_unanswered) = match answer {
            Some((answer, by)) => {
                *answered = by;
                let is_unanswered = answer.extensions().get::<Unanswered>().is_some();
                (answer, is_unanswered)
            }
            None => {
                answered.place = place;
                (Problem::DeadlineExceeded.response(context.request_id()), true)
            }
        };
        self.tell(id.unwrap_or_default(), attempt.and_then(|attempt| attempt.answered(answer.status())));
        Tried { answer, is_unanswered, guard: guard.cloned(), server: None }
    }

    async fn ask_upstream(
        &self,
        upstream: &Upstream,
        passage: &Passage,
        arrival: Arrival,
        is_first: bool,
        servers: &mut Vec<u64>,
        context: &Arc<RequestContext>,
    ) -> Tried {
        let (mut parts, body) = arrival.request.into_parts();
        if authority(&parts).is_none() {
            return Tried::refused(Problem::BadRequest.response(context.request_id()));
        }
        let guard = passage.upstream_guard(upstream);
        let attempt = match guard.map(|guard| guard.attempt(is_first)).transpose() {
            Ok(attempt) => attempt,
            Err(left) => return Tried::refused(self.open(left, context)),
        };
        let Some(chosen) = passage.choose(upstream, &parts, servers) else {
            tracing::warn!(upstream = upstream.name(), "there is no server that could be asked");
            return Tried::refused(Problem::Unavailable.response(context.request_id()));
        };
        servers.push(chosen.server.id());
        let cookie = upstream.cookie(&chosen.server, &parts.headers, arrival.scheme == Scheme::HTTPS);
        choice::withhold(&mut parts.headers);
        context.write_headers(&mut parts.headers);
        let sent = Request::from_parts(parts, body.map_err(BoxError::from).boxed_unsync());
        let sending = upstream.send(&chosen, sent, self.app.gateway.tls());
        let (answer, is_unanswered) = match timeout(passage.timeouts().0.unwrap_or(UPSTREAM_TIMEOUT), sending).await {
            Ok(Ok(answer)) => (self.purging(of_upstream(answer, cookie)), false),
            Ok(Err(error)) => {
                let problem = match error {
                    SendError::ConnectTimeout(..) => Problem::DeadlineExceeded,
                    SendError::Connect(..) | SendError::Broken(..) => Problem::BadGateway,
                };
                let error = anyhow::Error::new(error);
                tracing::warn!(upstream = upstream.name(), request_id = context.request_id(), "{error:#}");
                (problem.response(context.request_id()), true)
            }
            Err(_) => (Problem::DeadlineExceeded.response(context.request_id()), true),
        };
        let status = answer.status();
        let is_ill = is_unanswered || matches!(status.as_u16(), 502..=504);
        upstream.answered(&chosen.server, !is_ill);
        self.tell(upstream.name(), attempt.and_then(|attempt| attempt.answered(status)));
        Tried { answer, is_unanswered, guard: guard.cloned(), server: Some(chosen) }
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

    fn tell(&self, target: &str, change: Option<String>) {
        if let Some(change) = change {
            self.app.telemetry.metrics.breaker_changed();
            tracing::warn!(target_of_breaker = target, "{change}");
        }
    }
}

/// Marks the answer of a component that has not worked on the request to its end: it trapped, or had no instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unanswered;

/// Marks an answer that stands in for one of somebody who failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fallback;

fn of_upstream(answer: Response<gateway::Body>, cookie: Option<HeaderValue>) -> Response<WasiBody> {
    let mut answer = answer.map(|body| {
        let body = body.map_err(|error| {
            tracing::debug!("the body of an upstream's answer broke off: {error}");
            Error::HttpProtocolError
        });
        Paced::new(body.boxed_unsync(), UPSTREAM_TIMEOUT, Error::ConnectionReadTimeout).boxed_unsync()
    });
    answer.headers_mut().extend(cookie.map(|cookie| (SET_COOKIE, cookie)));
    answer
}

/// The body of a request that may be sent more than once.
enum Replayed {
    Kept(Bytes),
    /// It is too large; it can be sent once.
    No(Option<WasiBody>),
}

impl Replayed {
    async fn of(body: WasiBody, headers: &HeaderMap) -> Result<Self, Problem> {
        if body.is_end_stream() {
            return Ok(Self::Kept(Bytes::new()));
        }
        let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_none_or(|bytes| bytes > REPLAYED_BYTES_MAX) {
            return Ok(Self::No(Some(body)));
        }
        // The listener holds the client to the length that it announced.
        match body.collect().await {
            Ok(whole) => Ok(Self::Kept(whole.to_bytes())),
            Err(Error::HttpRequestBodySize(_)) => Err(Problem::ContentTooLarge),
            Err(Error::ConnectionReadTimeout) => Err(Problem::BodyTimeout),
            Err(_) => Err(Problem::BadRequest),
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    fn next(&mut self) -> WasiBody {
        let bytes = match self {
            Self::Kept(bytes) => bytes.clone(),
            Self::No(body) => match body.take() {
                Some(body) => return body,
                None => Bytes::new(),
            },
        };
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
    }
}

/// The body of an answer that holds places until it has ended, and has to end in time.
struct Guarded {
    body: WasiBody,
    timer: Option<Pin<Box<Sleep>>>,
    _places: Places,
    _server: Option<Chosen>,
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_pending()
            && let Some(timer) = &mut self.timer
            && timer.poll_unpin(cx).is_ready()
        {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
