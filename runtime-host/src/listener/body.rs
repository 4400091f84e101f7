//! A request body that fails once it is larger than the limit.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

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
    activity: Arc<Activity>,
}

impl IncomingBody {
    pub(super) fn new(inner: Incoming, bytes_max: Option<u64>, activity: Arc<Activity>) -> Self {
        let bytes_max = bytes_max.unwrap_or(u64::MAX);
        Self { inner, bytes_max, bytes_left: bytes_max, read_to_end: false, activity }
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
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(frame) => frame.map_err(BodyError::Transport)?,
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
