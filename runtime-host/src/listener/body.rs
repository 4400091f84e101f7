//! A request body that fails once it is larger than the limit, or when the client stops sending it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::Limits;
use super::activity::Activity;

/// Why a request body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More came than the limit allows; the fitting answer is 413.
    #[error("the request body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The client stopped sending; the listener answers 408, or cuts the answer that has begun.
    #[error("the client stopped sending the request body")]
    TimedOut,
    /// The client went away or broke the protocol.
    #[error("the request body could not be read")]
    Transport(#[source] hyper::Error),
}

/// A request body on its way in.
#[derive(Debug)]
pub struct IncomingBody {
    inner: Incoming,
    bytes_max: u64,
    bytes_left: u64,
    read_to_end: bool,
    read_timeout: Duration,
    /// Runs while the reader waits for the client.
    timer: Option<Pin<Box<Sleep>>>,
    stall: Option<Arc<Stall>>,
    activity: Arc<Activity>,
}

impl IncomingBody {
    pub(super) fn new(inner: Incoming, limits: &Limits, activity: Arc<Activity>) -> Self {
        let bytes_max = limits.body_bytes_max.unwrap_or(u64::MAX);
        let stall = (!inner.is_end_stream()).then(Arc::default);
        let read_timeout = limits.body_read_timeout;
        Self { inner, bytes_max, bytes_left: bytes_max, read_to_end: false, read_timeout, timer: None, stall, activity }
    }

    /// Fails already beyond this size, if that is less than what the listener allows.
    pub fn bound(&mut self, bytes_max: u64) {
        if bytes_max < self.bytes_max {
            let read = self.bytes_max - self.bytes_left;
            (self.bytes_max, self.bytes_left) = (bytes_max, bytes_max.saturating_sub(read));
        }
    }

    /// Tells when the client stops sending; `None` when there is nothing to send.
    pub(super) fn stall(&self) -> Option<Arc<Stall>> {
        self.stall.clone()
    }

    /// The next frame. Only a reader that waits lets the time run: a client may be held up by a slow reader.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Transport)));
        }
        let timeout = self.read_timeout;
        ready!(self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout))).as_mut().poll(cx));
        if let Some(stall) = &self.stall {
            stall.happen();
        }
        Poll::Ready(Some(Err(BodyError::TimedOut)))
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if !self.read_to_end && !self.inner.is_end_stream() {
            self.activity.leave_body_unread();
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match ready!(self.poll_client(cx)) {
            Some(frame) => frame?,
            None => {
                self.read_to_end = true;
                return Poll::Ready(None);
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            // No later, smaller frame may pass as if nothing were missing before it.
            self.bytes_left = 0;
            return Poll::Ready(Some(Err(BodyError::TooLarge { bytes_max: self.bytes_max })));
        };
        self.bytes_left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Tells the task that answers a request that the request's body does not come; the body itself may be read elsewhere.
#[derive(Debug, Default)]
pub(super) struct Stall {
    happened: AtomicBool,
    answering: AtomicWaker,
}

impl Stall {
    fn happen(&self) {
        self.happened.store(true, Ordering::Release);
        self.answering.wake();
    }

    /// Whether the client has stopped sending.
    pub(super) fn has_happened(&self) -> bool {
        self.happened.load(Ordering::Acquire)
    }

    /// Ready once the client has stopped sending.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.answering.register(cx.waker());
        if self.has_happened() { Poll::Ready(()) } else { Poll::Pending }
    }
}
