//! The body of an answer that holds places until it has ended, and has to end in time.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::gateway::{Chosen, Places};

struct Held {
    body: WasiBody,
    timer: Option<Pin<Box<Sleep>>>,
    _places: Places,
    /// The request counts as under way at its server.
    _server: Option<Chosen>,
}

/// Has the body end by the `deadline`, and hold what it is given until it has.
pub(super) fn hold(body: WasiBody, deadline: Option<Instant>, places: Places, server: Option<Chosen>) -> WasiBody {
    let timer = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
    Held { body, timer, _places: places, _server: server }.boxed_unsync()
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // First, or a body that always has more would never be late.
        if self.timer.as_mut().is_some_and(|timer| timer.poll_unpin(cx).is_ready()) {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
