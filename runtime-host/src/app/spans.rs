//! Sends the spans of traces to the collector that the environment names: OTLP over HTTP, in batches, from a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use wasmtime_wasi_http::Error;

use super::App;
use crate::engine::outbound_client::OutboundClient;
use crate::telemetry::metrics::HOST;
use crate::telemetry::spans::settings::Settings;
use crate::telemetry::spans::{Item, Outcomes, Span, Tracer, encode};

/// How often one batch is sent until it is given up.
const ATTEMPTS_MAX: u32 = 4;
/// How long the second attempt waits; each one after it twice as long.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// How long a host that stops waits for the collector.
const LAST_SPANS_TIMEOUT: Duration = Duration::from_secs(5);

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const BODEGA: HeaderValue = HeaderValue::from_static(concat!("bodega/", env!("CARGO_PKG_VERSION")));

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the collector answered {0}")]
    Status(StatusCode),
    #[error("the collector did not answer in time")]
    Timeout,
    #[error("{0}")]
    Unreachable(#[from] Error),
}

impl App {
    /// Begins to record traces and to send them.
    pub fn export_spans(&self, settings: Settings) {
        let (tracer, items) = Tracer::new(&settings);
        let outcomes = tracer.outcomes();
        let metrics = &self.telemetry.metrics;
        let count = |name, help, count: fn(&Outcomes) -> &AtomicU64| {
            let outcomes = outcomes.clone();
            metrics.counter(name, help, move || count(&outcomes).load(Ordering::Relaxed));
        };
        count("bodega_spans_exported", "Spans that the collector took", |outcomes| &outcomes.exported);
        count("bodega_spans_failed", "Spans that the collector did not take", |outcomes| &outcomes.failed);
        count("bodega_spans_dropped", "Spans that were too many", |outcomes| &outcomes.dropped);
        tracing::info!(
            collector = settings.endpoint.authority().map_or("", |authority| authority.host()),
            "traces are recorded and sent"
        );
        let client = OutboundClient::new(self.outbound.clone());
        tokio::spawn(Exporter { settings, client, outcomes, is_failing: false }.run(items));
        self.telemetry.trace_with(tracer);
    }

    /// Waits until all spans have been sent, for a host that stops; not for long.
    pub async fn spans_sent(&self) {
        if let Some(tracer) = self.telemetry.tracer() {
            tracer.flush(LAST_SPANS_TIMEOUT).await;
        }
    }
}

struct Exporter {
    settings: Settings,
    client: OutboundClient,
    outcomes: Arc<Outcomes>,
    /// Told once in the log until it goes well again.
    is_failing: bool,
}

/// Why a batch ends.
enum End {
    /// It is as large as it may be, or as old.
    Whole,
    /// Somebody waits for it.
    Flush(oneshot::Sender<()>),
    /// There will be no more.
    Over,
}

impl Exporter {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) {
        loop {
            let (spans, end) = self.batch(&mut items).await;
            if !spans.is_empty() {
                self.send(&spans).await;
            }
            match end {
                End::Whole => {}
                // Who does not wait any more needs no answer.
                End::Flush(done) => drop(done.send(())),
                End::Over => return,
            }
        }
    }

    /// The next spans: as many as there are until the batch is large or old enough.
    async fn batch(&self, items: &mut mpsc::Receiver<Item>) -> (Vec<Span>, End) {
        let mut spans = Vec::new();
        let mut deadline = None;
        while spans.len() < self.settings.batch_length_max {
            let next = match deadline {
                // The first one may take its time.
                None => items.recv().await,
                Some(deadline) => match timeout_at(deadline, items.recv()).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            match next {
                Some(Item::Span(span)) => {
                    deadline.get_or_insert_with(|| Instant::now() + self.settings.delay);
                    spans.push(*span);
                }
                Some(Item::Flush(done)) => return (spans, End::Flush(done)),
                None => return (spans, End::Over),
            }
        }
        (spans, End::Whole)
    }

    async fn send(&mut self, spans: &[Span]) {
        let body = Bytes::from(encode(&self.settings.resource, spans));
        let mut delay = RETRY_DELAY;
        let mut sent = self.attempt(body.clone()).await;
        for _ in 1..ATTEMPTS_MAX {
            if !sent.as_ref().is_err_and(Failure::may_pass) {
                break;
            }
            sleep(delay).await;
            delay *= 2;
            sent = self.attempt(body.clone()).await;
        }
        let count = if sent.is_ok() { &self.outcomes.exported } else { &self.outcomes.failed };
        count.fetch_add(spans.len() as u64, Ordering::Relaxed);
        match &sent {
            Err(failure) if !self.is_failing => tracing::warn!("the spans of traces are not taken: {failure}"),
            Ok(()) if self.is_failing => tracing::info!("the spans of traces are taken again"),
            _ => {}
        }
        self.is_failing = sent.is_err();
    }

    async fn attempt(&self, body: Bytes) -> Result<(), Failure> {
        let mut request = Request::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.settings.endpoint.clone();
        *request.headers_mut() = self.settings.headers.clone();
        request.headers_mut().extend([(CONTENT_TYPE, PROTOBUF), (USER_AGENT, BODEGA)]);
        let sending = async {
            let answer = self.client.send(HOST, request, None).await?;
            let status = answer.status();
            // Read to its end, so that the connection is used again.
            let _ = answer.into_body().collect().await;
            Ok::<_, Error>(status)
        };
        match timeout(self.settings.timeout, sending).await.map_err(|_| Failure::Timeout)?? {
            status if status.is_success() => Ok(()),
            status => Err(Failure::Status(status)),
        }
    }
}

impl Failure {
    /// Whether another attempt may succeed, as OTLP says.
    fn may_pass(&self) -> bool {
        match self {
            Self::Status(status) => matches!(status.as_u16(), 429 | 502 | 503 | 504),
            Self::Timeout | Self::Unreachable(_) => true,
        }
    }
}
