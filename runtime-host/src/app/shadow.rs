//! Copies of GET requests for a revision that is tried out: its answers are compared with those that clients get, and thrown
//! away.

use std::hash::{DefaultHasher, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::{Semaphore, oneshot};
use wasmtime_wasi_http::{Error, WasiBody};

use super::revision::Pool;
use crate::rollout::Count;
use crate::telemetry::request_context::RequestContext;

/// Copies that are on their way at once; of what comes meanwhile there is none.
const COPIES_MAX: usize = 64;
/// Bytes of an answer that are compared.
const COMPARED_BYTES_MAX: u64 = 1 << 20;
/// How long both answers may take to their end, together with who reads them, for them to be compared.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Compares the answers of two revisions.
pub(super) struct Shadow {
    copies: Arc<Semaphore>,
    compared: AtomicU64,
    different: AtomicU64,
}

/// What is compared of an answer: nothing of it is kept.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    status: StatusCode,
    body_hash: u64,
    body_bytes: u64,
}

/// A copy that is to be sent once the original is on its way.
pub(super) struct Copy {
    request: Request<WasiBody>,
    place: tokio::sync::OwnedSemaphorePermit,
    shadow: Arc<Shadow>,
}

impl Default for Shadow {
    fn default() -> Self {
        Self { copies: Arc::new(Semaphore::new(COPIES_MAX)), compared: AtomicU64::new(0), different: AtomicU64::new(0) }
    }
}

impl Shadow {
    /// Answers that were compared, and those that differed.
    pub(super) fn count(&self) -> Count {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Count { events: load(&self.different), of: load(&self.compared) }
    }

    /// A copy of `request`, if it is one to copy: without a body, and safe to repeat (RFC 9110, 9.2.1).
    pub(super) fn copy(self: &Arc<Self>, request: &Request<WasiBody>) -> Option<Copy> {
        if *request.method() != Method::GET || request.body().size_hint().exact() != Some(0) {
            return None;
        }
        let place = self.copies.clone().try_acquire_owned().ok()?;
        let mut copy = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        Some(Copy { request: copy, place, shadow: self.clone() })
    }
}

impl Copy {
    /// Has the revision behind `pool` answer the copy, and compares that with what the client gets of `original`.
    pub(super) fn compare(
        self,
        original: Response<WasiBody>,
        pool: Arc<Pool>,
        context: Arc<RequestContext>,
    ) -> Response<WasiBody> {
        let (told, original_print) = oneshot::channel();
        let status = original.status();
        let original = original.map(|body| Watched::new(body, status, Some(told)).boxed_unsync());
        tokio::spawn(async move {
            let Self { request, place: _place, shadow } = self;
            let (answer, _) = pool.answer(request, context).await;
            let (told, print) = oneshot::channel();
            let Ok(answer) = answer else {
                // That it failed is counted; there is nothing to compare.
                return;
            };
            let status = answer.status();
            let body = Watched::new(answer.into_body(), status, Some(told));
            if let Some((original, copy)) = fingerprints(body, original_print, print, READ_TIMEOUT).await {
                shadow.compared.fetch_add(1, Ordering::Relaxed);
                if original != copy {
                    shadow.different.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        original
    }
}

/// The fingerprints of both answers once both have ended, if that is well and in time. Of `copy` nothing is kept.
async fn fingerprints(
    mut copy: Watched,
    original_print: oneshot::Receiver<Fingerprint>,
    copy_print: oneshot::Receiver<Fingerprint>,
    patience: Duration,
) -> Option<(Fingerprint, Fingerprint)> {
    let prints = async {
        while let Some(frame) = copy.frame().await {
            frame.ok()?;
        }
        Some((original_print.await.ok()?, copy_print.await.ok()?))
    };
    tokio::time::timeout(patience, prints).await.ok().flatten()
}

/// A body that tells its fingerprint when it has ended well.
struct Watched {
    body: WasiBody,
    status: StatusCode,
    hasher: DefaultHasher,
    bytes: u64,
    told: Option<oneshot::Sender<Fingerprint>>,
}

impl Watched {
    fn new(body: WasiBody, status: StatusCode, told: Option<oneshot::Sender<Fingerprint>>) -> Self {
        let mut watched = Self { body, status, hasher: DefaultHasher::new(), bytes: 0, told };
        if watched.body.is_end_stream() {
            watched.tell();
        }
        watched
    }

    fn take(&mut self, data: &Bytes) {
        let left = COMPARED_BYTES_MAX.saturating_sub(self.bytes).min(data.len() as u64);
        self.hasher.write(&data[..left as usize]);
        self.bytes += data.len() as u64;
    }

    fn tell(&mut self) {
        if let Some(told) = self.told.take() {
            let (status, body_hash, body_bytes) = (self.status, self.hasher.finish(), self.bytes);
            // Who does not wait any more compares nothing.
            let _ = told.send(Fingerprint { status, body_hash, body_bytes });
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.take(data);
                }
                // Whoever knows the length does not ask whether there is more.
                if self.body.is_end_stream() {
                    self.tell();
                }
            }
            Some(Err(_)) => self.told = None,
            None => self.tell(),
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::StreamExt as _;
    use http_body_util::{Full, StreamBody};

    use super::*;

    fn body(text: &'static str) -> WasiBody {
        Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {}).boxed_unsync()
    }

    async fn print(status: StatusCode, text: &'static str) -> Fingerprint {
        let (told, print) = oneshot::channel();
        Watched::new(body(text), status, Some(told)).collect().await.unwrap();
        print.await.unwrap()
    }

    #[tokio::test]
    async fn answers_are_alike_by_status_and_body() {
        let ok = StatusCode::OK;
        assert_eq!(print(ok, "a").await, print(ok, "a").await);
        assert_ne!(print(ok, "a").await, print(ok, "b").await);
        assert_ne!(print(ok, "a").await, print(StatusCode::ACCEPTED, "a").await);
        assert_eq!(print(ok, "").await.body_bytes, 0);
    }

    #[test]
    fn only_what_is_safe_and_has_no_body_is_copied() {
        let shadow = Arc::new(Shadow::default());
        let request = |method: Method, text| {
            let mut request = Request::new(body(text));
            *request.method_mut() = method;
            request
        };
        assert!(shadow.copy(&request(Method::GET, "")).is_some());
        assert!(shadow.copy(&request(Method::POST, "")).is_none());
        assert!(shadow.copy(&request(Method::GET, "x")).is_none());
        let held: Vec<_> = (0..COPIES_MAX).map(|_| shadow.copy(&request(Method::GET, "")).unwrap()).collect();
        assert!(shadow.copy(&request(Method::GET, "")).is_none(), "{} are on their way", held.len());
    }

    /// A piece of a body, which counts those that are in memory.
    struct Piece(Arc<AtomicUsize>);

    impl AsRef<[u8]> for Piece {
        fn as_ref(&self) -> &[u8] {
            b"more"
        }
    }

    impl Drop for Piece {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A body of so many pieces, and the most that were in memory at once.
    fn pieces(count: usize) -> (WasiBody, Arc<AtomicUsize>) {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let told = most.clone();
        let pieces = futures::stream::iter(0..count).then(move |_| {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let piece = Bytes::from_owner(Piece(now.clone()));
            async {
                tokio::task::yield_now().await;
                Ok(Frame::data(piece))
            }
        });
        (StreamBody::new(pieces).boxed_unsync(), told)
    }

    /// Compares an answer with a copy of so many pieces.
    async fn compare(count: usize, patience: Duration) -> (Option<(Fingerprint, Fingerprint)>, usize) {
        let (told, original) = oneshot::channel();
        Watched::new(pieces(10).0, StatusCode::OK, Some(told)).collect().await.unwrap();
        let (told, print) = oneshot::channel();
        let (body, most) = pieces(count);
        let copy = Watched::new(body, StatusCode::OK, Some(told));
        let prints = fingerprints(copy, original, print, patience).await;
        (prints, most.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_copy_is_compared_and_not_kept_and_one_without_end_is_given_up() {
        let (prints, most) = compare(10, READ_TIMEOUT).await;
        let (original, copy) = prints.unwrap();
        assert_eq!((original, most), (copy, 1));
        let (prints, most) = compare(usize::MAX, Duration::from_millis(50)).await;
        assert_eq!((prints, most), (None, 1));
    }
}
