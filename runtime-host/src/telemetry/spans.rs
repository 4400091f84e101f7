//! Spans: who worked on a request and for how long, for whoever collects them over OTLP (`app::spans` sends them).
//!
//! Without an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`) there is no [`Tracer`], and a request costs what it costs without this file: one
//! look whether there is one. With it, only requests that are sampled make spans. A span is put into a bounded queue; one too many
//! is dropped and counted, and no request waits.
//!
//! Nothing secret is in a span: no path (the route is), no query, no header.

mod otlp;
pub mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};
use tokio::sync::{mpsc, oneshot};

pub use otlp::encode;
use settings::{Sampler, Settings};

use super::trace_context::TraceContext;

/// Which side of a call a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers.
    Server,
    /// It asks somebody outside of the application.
    Client,
}

/// One step of a trace.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where it stands.
    pub trace: TraceContext,
    /// The span that it is a part of, if there is one.
    pub parent: Option<std::num::NonZeroU64>,
    /// Which side it is of.
    pub kind: Kind,
    /// What it is about, such as `GET /api/products/...`: one of few.
    pub name: String,
    /// The request's method.
    pub method: Method,
    /// The status of the answer, if there was one.
    pub status: Option<StatusCode>,
    /// When it began.
    pub started: SystemTime,
    /// How long it took until the answer began.
    pub duration: Duration,
    /// What else is known, by the names of the semantic conventions where they have one.
    pub attributes: Vec<(&'static str, String)>,
}

/// What the task that sends spans gets.
#[derive(Debug)]
pub enum Item {
    /// A span to send.
    Span(Box<Span>),
    /// Send all that came before this, then say so.
    Flush(oneshot::Sender<()>),
}

/// What became of spans.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// Taken by the collector.
    pub exported: AtomicU64,
    /// Not taken by the collector.
    pub failed: AtomicU64,
    /// Too many waited.
    pub dropped: AtomicU64,
}

/// Decides which traces are recorded, and takes their spans.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    queue: mpsc::Sender<Item>,
    outcomes: Arc<Outcomes>,
}

impl Tracer {
    /// As the settings say, with the other end of the queue.
    pub fn new(settings: &Settings) -> (Self, mpsc::Receiver<Item>) {
        let (queue, items) = mpsc::channel(settings.queue_length_max);
        (Self { sampler: settings.sampler, queue, outcomes: Arc::default() }, items)
    }

    /// What became of spans so far.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        self.outcomes.clone()
    }

    /// Whether the trace is recorded, which came in as this or began here.
    pub fn samples(&self, trace: TraceContext, has_parent: bool) -> bool {
        self.sampler.samples(trace.trace_id.get(), has_parent.then_some(trace.sampled))
    }

    /// Takes a span, or drops it.
    pub fn record(&self, span: Span) {
        if self.queue.try_send(Item::Span(Box::new(span))).is_err() {
            self.outcomes.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all spans that were taken are sent, but not for longer than this.
    pub async fn flush(&self, time: Duration) {
        let flushed = async {
            let (done, is_done) = oneshot::channel();
            if self.queue.send(Item::Flush(done)).await.is_ok() {
                // The task may have ended.
                let _ = is_done.await;
            }
        };
        if tokio::time::timeout(time, flushed).await.is_err() {
            tracing::warn!("the host stops before all spans of its traces were sent");
        }
    }
}

/// When something began that has taken since `started`.
pub fn began(started: Instant) -> (SystemTime, Duration) {
    let duration = started.elapsed();
    (SystemTime::now().checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH), duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span() -> Span {
        Span {
            trace: TraceContext::generate(),
            parent: None,
            kind: Kind::Server,
            name: "GET /".to_owned(),
            method: Method::GET,
            status: Some(StatusCode::OK),
            started: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            attributes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_span_too_many_is_dropped_and_counted_and_nobody_waits() {
        let settings = Settings { queue_length_max: 2, ..Settings::of("http://localhost/v1/traces") };
        let (tracer, mut items) = Tracer::new(&settings);
        (0..5).for_each(|_| tracer.record(span()));
        assert_eq!(tracer.outcomes().dropped.load(Ordering::Relaxed), 3);
        assert!(matches!(items.recv().await, Some(Item::Span(_))));
        tracer.record(span());
        assert_eq!(tracer.outcomes().dropped.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_was_taken_and_not_for_ever() {
        let (tracer, mut items) = Tracer::new(&Settings::of("http://localhost/v1/traces"));
        tracer.record(span());
        tracer.flush(Duration::from_millis(10)).await;
        tokio::spawn(async move {
            while let Some(item) = items.recv().await {
                if let Item::Flush(done) = item {
                    let _ = done.send(());
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(10), tracer.flush(Duration::from_secs(60))).await.unwrap();
    }
}
