//! The body of a request on its way to whoever answers, watched by who waits for the answer: a client that is slow, or breaks off, is
//! not to be blamed on the service.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::problem::Problem;

/// How far a body has come.
#[derive(Clone)]
pub(super) struct Upload(Arc<Mutex<Progress>>);

struct Progress {
    /// When it last moved, or was asked for in vain.
    moved: Instant,
    waits_for_client: bool,
    failed: Option<Problem>,
}

/// A body that notes how far it has come.
pub(super) struct Uploaded {
    body: WasiBody,
    upload: Upload,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// Whoever was asked let us wait.
    Service,
    /// The client did.
    Client,
}

impl Upload {
    /// Watches a body.
    pub(super) fn watch(body: WasiBody) -> (Uploaded, Self) {
        let progress = Progress { moved: Instant::now(), waits_for_client: false, failed: None };
        let upload = Self(Arc::new(Mutex::new(progress)));
        (Uploaded { body, upload: upload.clone() }, upload)
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        // Each of its parts is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with the body, if that has come to light.
    pub(super) fn failed(&self) -> Option<Problem> {
        self.lock().failed
    }

    /// Waits for an answer that may begin `limit` after the body has last moved, and not after the `deadline`. While it is the client
    /// that lets us wait, the time does not run; how long that may be is the listener's business.
    pub(super) async fn answer<T>(
        &self,
        limit: Duration,
        deadline: Option<Instant>,
        answering: impl Future<Output = T>,
    ) -> Result<T, Late> {
        let mut answering = std::pin::pin!(answering);
        loop {
            let (moved, waits_for_client) = {
                let progress = self.lock();
                (progress.moved, progress.waits_for_client)
            };
            let from = if waits_for_client { moved.max(Instant::now()) } else { moved };
            let due = deadline.map_or(from + limit, |deadline| deadline.min(from + limit));
            let timer = std::pin::pin!(sleep_until(due));
            if let Either::Left((answer, _)) = select(&mut answering, timer).await {
                return Ok(answer);
            }
            let progress = self.lock();
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            match progress.waits_for_client {
                true if is_over => return Err(Late::Client),
                true => {}
                false if is_over || progress.moved + limit <= Instant::now() => return Err(Late::Service),
                false => {}
            }
        }
    }
}

impl Drop for Uploaded {
    fn drop(&mut self) {
        // Nobody reads on: from now on it is not the client that lets us wait.
        let mut progress = self.upload.lock();
        progress.waits_for_client = false;
        progress.moved = Instant::now();
    }
}

/// What a client is told whose body cannot be read.
pub(super) fn problem(error: &Error) -> Problem {
    match error {
        Error::HttpRequestBodySize(_) => Problem::ContentTooLarge,
        Error::ConnectionReadTimeout => Problem::BodyTimeout,
        _ => Problem::BadRequest,
    }
}

impl Body for Uploaded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        let mut progress = self.upload.lock();
        progress.moved = Instant::now();
        progress.waits_for_client = frame.is_pending();
        if let Poll::Ready(Some(Err(error))) = &frame {
            progress.failed = Some(problem(error));
        }
        drop(progress);
        frame
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
    use std::future::pending;

    use futures::SinkExt as _;
    use futures::channel::mpsc;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    type Sender = mpsc::Sender<Result<Frame<Bytes>, Error>>;

    fn body() -> (Sender, WasiBody) {
        let (sender, receiver) = mpsc::channel(1);
        (sender, StreamBody::new(receiver).boxed_unsync())
    }

    fn piece() -> Result<Frame<Bytes>, Error> {
        Ok(Frame::data(Bytes::from_static(b"x")))
    }

    #[tokio::test]
    async fn the_time_of_a_slow_client_does_not_run() {
        let (mut sender, body) = body();
        let (mut uploaded, upload) = Upload::watch(body);
        let client = async {
            for _ in 0..5 {
                tokio::time::sleep(LIMIT * 3).await;
                sender.send(piece()).await.unwrap();
            }
            drop(sender);
        };
        let service = async {
            while uploaded.frame().await.is_some() {}
            tokio::time::sleep(LIMIT / 2).await;
        };
        let (answer, ()) = tokio::join!(upload.answer(LIMIT, None, service), client);
        assert_eq!(answer, Ok(()));
        assert_eq!(upload.failed(), None);
    }

    #[tokio::test]
    async fn the_time_of_a_service_that_neither_reads_nor_answers_does() {
        let (_sender, body) = body();
        let (_uploaded, upload) = Upload::watch(body);
        let began = Instant::now();
        assert_eq!(upload.answer(LIMIT, None, pending::<()>()).await, Err(Late::Service));
        assert!(began.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn the_time_of_a_service_that_leaves_the_body_does_too() {
        let (_sender, body) = body();
        let (mut uploaded, upload) = Upload::watch(body);
        let leaving = async move {
            assert!(tokio::time::timeout(LIMIT / 4, uploaded.frame()).await.is_err());
            drop(uploaded);
            pending::<()>().await;
        };
        assert_eq!(upload.answer(LIMIT, None, leaving).await, Err(Late::Service));
    }

    #[tokio::test]
    async fn the_deadline_holds_whoever_is_slow() {
        let deadline = Some(Instant::now() + LIMIT * 4);
        let (_sender, body) = body();
        let (mut uploaded, upload) = Upload::watch(body);
        let reading = async move { while uploaded.frame().await.is_some() {} };
        assert_eq!(upload.answer(LIMIT, deadline, reading).await, Err(Late::Client));
        let (mut sender, body) = self::body();
        sender.send(piece()).await.unwrap();
        let (_uploaded, upload) = Upload::watch(body);
        assert_eq!(upload.answer(LIMIT * 9, deadline, pending::<()>()).await, Err(Late::Service));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_body_is_known() {
        let (mut sender, body) = body();
        let (mut uploaded, upload) = Upload::watch(body);
        sender.send(Err(Error::HttpRequestBodySize(Some(1)))).await.unwrap();
        assert!(uploaded.frame().await.is_some_and(|frame| frame.is_err()));
        assert_eq!(upload.failed(), Some(Problem::ContentTooLarge));
    }
}
