//! The body of an answer on its way to the client.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::activity::OpenRequest;
use super::body::Stall;
use super::stream::Pace;

/// Bytes that an HTTP/2 stream is handed at once, which is the usual size of a frame. With the last piece the stream
/// counts as done, so this is also what a client may leave lying without a timeout.
const HTTP2_PIECE_BYTES_MAX: usize = 16 << 10;

/// A body that keeps its request open until it has been handed over.
pub(super) struct AnswerBody<B> {
    body: B,
    /// What is left of the body's last frame; only for HTTP/2.
    rest: Bytes,
    pace: Option<Arc<Pace>>,
    /// The request's body, as long as it may still be on its way.
    upload: Option<Arc<Stall>>,
    _open: OpenRequest,
}

impl<B> AnswerBody<B> {
    /// To be called in the task that serves the request.
    pub(super) fn new(body: B, upload: Option<Arc<Stall>>, open: OpenRequest) -> Self {
        Self { body, rest: Bytes::new(), pace: Pace::of_this_stream(), upload, _open: open }
    }

    /// Keeps back what is too large for one piece.
    fn piece(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        if self.pace.is_some()
            && let Some(data) = frame.data_mut()
            && data.len() > HTTP2_PIECE_BYTES_MAX
        {
            self.rest = data.split_off(HTTP2_PIECE_BYTES_MAX);
        }
        frame
    }
}

impl<B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.upload.as_ref().is_some_and(|upload| upload.poll(cx).is_ready()) {
            return Poll::Ready(Some(Err("the rest of the request's body does not come".into())));
        }
        let rest = std::mem::take(&mut self.rest);
        let frame = if rest.is_empty() {
            Pin::new(&mut self.body).poll_frame(cx)
        } else {
            Poll::Ready(Some(Ok(Frame::data(rest))))
        };
        if let Some(pace) = &self.pace {
            if frame.is_ready() { pace.piece_ready() } else { pace.client_waits() }
        }
        frame.map(|frame| frame.map(|frame| frame.map(|frame| self.piece(frame)).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
