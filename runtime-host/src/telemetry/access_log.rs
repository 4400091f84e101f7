//! The access log: one line for each request that is answered, with target `access`, once its body has been handed over.
//!
//! It is off unless the log's filter names it (`info,access=info`), and then nothing is done for it either.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::metrics::CacheOutcome;
use super::request_context::RequestContext;

/// Whether anybody reads it.
pub fn is_on() -> bool {
    tracing::enabled!(target: "access", tracing::Level::INFO)
}

/// What a line says.
#[derive(Debug)]
pub struct Entry {
    /// Who answered: a component's id, or [`super::metrics::HOST`].
    pub component: String,
    /// The revision of the component.
    pub revision: Option<String>,
    /// The upstream that answered in place of a component.
    pub upstream: Option<String>,
    /// How it failed, where something else was answered in its place.
    pub fallback_for: Option<StatusCode>,
    /// The route as written; empty for a request without.
    pub route: String,
    /// The line of the gateway's rule for it.
    pub rule: Option<usize>,
    /// The path that was asked for, without its query, in which secrets may be.
    pub path: String,
    /// The request's method.
    pub method: Method,
    /// The status of the answer.
    pub status: StatusCode,
    /// When the request's head had come.
    pub started: Instant,
    /// How long the gateway took to let it in.
    pub admitted_after: Option<Duration>,
    /// How long it took until the answer began.
    pub answered_after: Duration,
    /// Its id and its place in a trace.
    pub context: Arc<RequestContext>,
    /// The address that it comes from; none from within the application.
    pub client: Option<HeaderValue>,
    /// Who asks, if the gateway knows.
    pub user: Option<String>,
    /// How many more requests the gateway would let through at once, if it counts.
    pub limit_left: Option<u32>,
    /// What the gateway's cache did about it, if a rule has it do something.
    pub cache: Option<CacheOutcome>,
}

/// The body of an answer; the line is written when it is dropped, however much of it was read.
#[derive(Debug)]
pub struct LoggedBody<B> {
    body: B,
    bytes: u64,
    entry: Entry,
}

impl<B> LoggedBody<B> {
    /// The body of the answer that `entry` is about.
    pub fn new(body: B, entry: Entry) -> Self {
        Self { body, bytes: 0, entry }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for LoggedBody<B> {
    fn drop(&mut self) {
        let Entry { component, revision, upstream, route, rule, path, method, status, started, .. } = &self.entry;
        let Entry { fallback_for, admitted_after, answered_after, context, client, user, limit_left, cache, .. } =
            &self.entry;
        tracing::info!(
            target: "access",
            component,
            revision,
            upstream,
            route,
            rule,
            %method,
            path,
            status = status.as_u16(),
            fallback_for = fallback_for.map(|status| status.as_u16()),
            admitted_us = admitted_after.map(micros),
            answered_us = micros(*answered_after),
            duration_us = micros(started.elapsed()),
            bytes = self.bytes,
            client = client.as_ref().and_then(|client| client.to_str().ok()),
            user,
            limit_left,
            cache = cache.map(CacheOutcome::as_str),
            request_id = context.request_id(),
            traceparent = context.traceparent(),
        );
    }
}

fn micros(duration: Duration) -> u64 {
    // Saturates after half a million years.
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
