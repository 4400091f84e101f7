//! A request body that fails once it is larger than the limit, or when the client stops sending it or breaks its framing.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::activity::Activity;
use super::gathering::{Piece, SMALL_PIECES_MAX, gather, is_small};
use super::{Limits, Refusal};

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
    /// The client went away or broke the protocol; the listener answers 400 to who is still there, or cuts the answer.
    #[error("the request body could not be read")]
    Transport(#[source] hyper::Error),
}

/// A request body on its way in.
#[derive(Debug)]
pub struct IncomingBody {
    source: Source,
    small_pieces: u32,
    bytes_max: u64,
    bytes_left: u64,
    read_to_end: bool,
    read_timeout: Duration,
    /// Runs while the reader waits for the client.
    timer: Option<Pin<Box<Sleep>>>,
    stall: Option<Arc<Stall>>,
    activity: Arc<Activity>,
}

/// Where a body is read from.
#[derive(Debug)]
enum Source {
    Connection(Incoming),
    /// A task that puts small pieces together.
    Gathered(mpsc::Receiver<Piece>),
}

impl IncomingBody {
    pub(super) fn new(inner: Incoming, limits: &Limits, activity: Arc<Activity>) -> Self {
        let bytes_max = limits.body_bytes_max.unwrap_or(u64::MAX);
        let stall = (!inner.is_end_stream()).then(Arc::default);
        let read_timeout = limits.body_read_timeout;
        Self {
            source: Source::Connection(inner),
            small_pieces: 0,
            bytes_max,
            bytes_left: bytes_max,
            read_to_end: false,
            read_timeout,
            timer: None,
            stall,
            activity,
        }
    }

    /// Fails already beyond this size, if that is less than what the listener allows.
    pub fn bound(&mut self, bytes_max: u64) {
        if bytes_max < self.bytes_max {
            let read = self.bytes_max - self.bytes_left;
            (self.bytes_max, self.bytes_left) = (bytes_max, bytes_max.saturating_sub(read));
        }
    }

    /// Has small pieces put together once there are many.
    fn expect_more_like(&mut self, frame: &Option<Result<Frame<Bytes>, hyper::Error>>) {
        let is_small = frame.as_ref().is_some_and(|frame| frame.as_ref().is_ok_and(is_small));
        self.small_pieces = if is_small { self.small_pieces.saturating_add(1) } else { 0 };
        if self.small_pieces == SMALL_PIECES_MAX && matches!(self.source, Source::Connection(_)) {
            let (sender, pieces) = mpsc::channel(1);
            if let Source::Connection(body) = std::mem::replace(&mut self.source, Source::Gathered(pieces)) {
                tokio::spawn(gather(body, sender));
            }
        }
    }

    /// Tells when the rest does not come; `None` when there is nothing to send.
    pub(super) fn stall(&self) -> Option<Arc<Stall>> {
        self.stall.clone()
    }

    /// The next frame. Only a reader that waits lets the time run: a client may be held up by a slow reader.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Connection(body) => Pin::new(body).poll_frame(cx),
            // The task says so when it has come to the end. If it is gone without a word, nobody knows what is missing.
            Source::Gathered(pieces) => match pieces.poll_recv(cx) {
                Poll::Ready(None) => return Poll::Ready(Some(Err(self.stop()))),
                piece => piece.map(Option::flatten),
            },
        };
        if let Poll::Ready(frame) = frame {
            self.timer = None;
            self.expect_more_like(&frame);
            if let (Some(Err(_)), Some(stall)) = (&frame, &self.stall) {
                stall.happen(Refusal::BrokenBody);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Transport)));
        }
        let timeout = self.read_timeout;
        ready!(self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout))).as_mut().poll(cx));
        Poll::Ready(Some(Err(self.stop())))
    }

    /// Nothing more comes.
    fn stop(&self) -> BodyError {
        if let Some(stall) = &self.stall {
            stall.happen(Refusal::BodyTimeout);
        }
        BodyError::TimedOut
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if !self.read_to_end && !self.is_end_stream() {
            self.activity.leave_body_unread();
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.read_to_end {
            return Poll::Ready(None);
        }
        let frame = match ready!(self.poll_client(cx)) {
            Some(frame) => frame?,
            None => {
                self.read_to_end = true;
                return Poll::Ready(None);
            }
        };
        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
        let Some(left) = self.bytes_left.checked_sub(bytes) else {
            // No later, smaller frame may pass as if nothing were missing before it.
            self.bytes_left = 0;
            return Poll::Ready(Some(Err(BodyError::TooLarge { bytes_max: self.bytes_max })));
        };
        self.bytes_left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Connection(body) => body.is_end_stream(),
            Source::Gathered(_) => self.read_to_end,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Connection(body) => body.size_hint(),
            Source::Gathered(_) => SizeHint::new(),
        }
    }
}

/// Tells the task that answers a request that the rest of the request's body does not come; the body itself may be read elsewhere.
#[derive(Debug, Default)]
pub(super) struct Stall {
    happened: OnceLock<Refusal>,
    answering: AtomicWaker,
}

impl Stall {
    fn happen(&self, why: Refusal) {
        // The first reason is the reason.
        let _ = self.happened.set(why);
        self.answering.wake();
    }

    /// Why the rest does not come, if it does not.
    pub(super) fn has_happened(&self) -> Option<Refusal> {
        self.happened.get().copied()
    }

    /// Ready once the rest does not come, with the reason.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Refusal> {
        self.answering.register(cx.waker());
        self.has_happened().map_or(Poll::Pending, Poll::Ready)
    }
}
