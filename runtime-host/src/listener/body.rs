//! A request body that fails once it is larger than the limit, or when the client stops sending it or breaks its framing.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::activity::Activity;
use super::{Limits, Refusal};

/// Pieces under this size are small.
const PIECE_BYTES_MIN: usize = 4 << 10;
/// After so many small pieces in a row they are put together: chunks of one byte would have the component work a thousand
/// times as much as their client.
const SMALL_PIECES_MAX: u32 = 32;

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
    Gathered(mpsc::Receiver<Result<Frame<Bytes>, hyper::Error>>),
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
            Source::Gathered(pieces) => pieces.poll_recv(cx),
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
        if let Some(stall) = &self.stall {
            stall.happen(Refusal::BodyTimeout);
        }
        Poll::Ready(Some(Err(BodyError::TimedOut)))
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

fn is_small(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| data.len() < PIECE_BYTES_MIN)
}

/// Reads a body and hands it on in larger pieces, as long as somebody takes them. What has come is not held back.
async fn gather(mut body: Incoming, pieces: mpsc::Sender<Result<Frame<Bytes>, hyper::Error>>) {
    let mut gathered = BytesMut::new();
    let mut has_waited = false;
    loop {
        let frame = if gathered.is_empty() {
            tokio::select! {
                () = pieces.closed() => return,
                frame = body.frame() => frame,
            }
        } else if let Some(frame) = body.frame().now_or_never() {
            frame
        } else if has_waited {
            match pieces.send(Ok(Frame::data(gathered.split().freeze()))).await {
                Ok(()) => continue,
                Err(_) => return,
            }
        } else {
            // The connection hands over one piece at a time, when it is its turn.
            has_waited = true;
            one_turn().await;
            continue;
        };
        has_waited = false;
        let (small, other) = match frame {
            Some(Ok(frame)) if is_small(&frame) => (frame.into_data().ok(), None),
            other => (None, Some(other)),
        };
        gathered.extend_from_slice(&small.unwrap_or_default());
        if gathered.len() >= PIECE_BYTES_MIN || (other.is_some() && !gathered.is_empty()) {
            let piece = Frame::data(gathered.split().freeze());
            if pieces.send(Ok(piece)).await.is_err() {
                return;
            }
        }
        let is_over = match other {
            None => false,
            Some(None) => true,
            Some(Some(other)) => pieces.send(other).await.is_err(),
        };
        if is_over {
            return;
        }
    }
}

/// Lets every task that can go on do so.
async fn one_turn() {
    let mut has_come = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_come, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
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
