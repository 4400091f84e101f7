//! Answers of which nobody waits for the end: stale ones that are made new, and those of which only the cache wants the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use tokio::time::timeout;
use wasmtime_wasi_http::WasiBody;

use super::cached::Visit;
use super::worker::Worker;
use crate::gateway::cache::{Boarding, Moment, Stored};
use crate::telemetry::request_context::RequestContext;

/// Answers that are made new at once without a client who waits; beyond that, stale ones are given and stay stale.
const RENEWALS_MAX: usize = 64;

/// How long an answer is read on that is only to be stored.
const READING_MAX: Duration = Duration::from_secs(30);

impl Worker {
    /// Has a stale answer made new without a client who waits.
    pub(super) fn renew(self: &Arc<Self>, visit: &Visit<'_>, stored: Arc<Stored>, context: &Arc<RequestContext>) {
        let Boarding::Lead(lead) = visit.cache.board(&visit.ask, &visit.parts.headers, Moment::now()) else { return };
        let Some(renewal) = Renewal::begin() else { return };
        let (worker, passage, mut context) = (self.clone(), visit.passage.clone(), context.clone());
        let Visit { cache, ask, parts, scheme, client, .. } = visit.clone();
        tokio::spawn(async move {
            let _renewal = renewal;
            let bytes_max = cache.body_bytes_max();
            let visit = Visit { passage: &passage, cache, ask, parts, scheme, client };
            let (response, ..) = worker.fetch(visit, lead, Some(stored), &HeaderMap::new(), &mut context).await;
            read_on(response.into_body(), bytes_max).await;
        });
    }
}

/// Reads a body that nobody but the cache wants, as long as it may be one that is stored.
pub(super) async fn read_on(mut body: WasiBody, bytes_max: usize) {
    let reading = async {
        let mut bytes = 0;
        while bytes <= bytes_max
            && let Some(Ok(frame)) = body.frame().await
        {
            bytes += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Whoever waits for it asks for itself by then.
    let _ = timeout(READING_MAX, reading).await;
}

/// An answer that is made new without a client who waits; ends when it is dropped.
struct Renewal;

static RENEWALS: AtomicUsize = AtomicUsize::new(0);

impl Renewal {
    /// `None` if there are too many.
    fn begin() -> Option<Self> {
        let renewal = (RENEWALS.fetch_add(1, Ordering::Relaxed), Self);
        (renewal.0 < RENEWALS_MAX).then_some(renewal.1)
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        RENEWALS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn what_is_too_large_is_not_read_to_its_end() {
        let piece = || Ok(Frame::data(Bytes::from_static(b"piece")));
        let endless = StreamBody::new(stream::repeat_with(piece));
        read_on(endless.boxed_unsync(), 100).await;
    }

    #[test]
    fn so_many_are_made_new_at_once_and_their_places_are_free_again() {
        let renewals: Vec<Renewal> = std::iter::from_fn(Renewal::begin).take(RENEWALS_MAX + 1).collect();
        assert_eq!(renewals.len(), RENEWALS_MAX);
        assert!(Renewal::begin().is_none());
        drop(renewals);
        assert!(Renewal::begin().is_some());
    }
}
