//! Response bodies of guests: sent in one piece where they are ready at once, watched where they are not.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error, WasiBody};

use super::body_end::{BodyEnd, Cut};
use super::job::{Job, Lost};
use super::patience::Patience;

/// What a guest had ready of a body when its response was.
pub(super) enum Gathered {
    /// All of it, in at most one piece.
    Whole(Bytes),
    /// The beginning, and what is still to come.
    Begun(Vec<Frame<Bytes>>, WasiBody),
}

/// Takes what the guest has ready of `body` until `patience` ends; then it leaves as a stream.
///
/// Time is the measure, not turns of the guest: with many requests on an instance, each waits for the turns of the others.
/// A whole body leaves with a `content-length`, which spares it the chunked coding and a second system call.
pub(super) async fn gather(mut body: WasiBody, patience: &Patience) -> Gathered {
    let mut begun = Vec::new();
    let mut patience = pin!(patience.end());
    loop {
        match next_frame_soon(&mut body, patience.as_mut()).await {
            Some(None) if begun.is_empty() => return Gathered::Whole(Bytes::new()),
            Some(None) => return one_piece(begun, body),
            Some(Some(Ok(frame))) if begun.is_empty() => begun.push(frame),
            Some(Some(Ok(frame))) => {
                begun.push(frame);
                return Gathered::Begun(begun, body);
            }
            // The error comes to light when the rest is read.
            Some(Some(Err(error))) => {
                return Gathered::Begun(begun, Failed(Some(error)).boxed_unsync());
            }
            None => return Gathered::Begun(begun, body),
        }
    }
}

fn one_piece(mut frames: Vec<Frame<Bytes>>, ended: WasiBody) -> Gathered {
    match frames.pop().map(Frame::into_data) {
        Some(Ok(data)) => Gathered::Whole(data),
        // Trailers need a body that can carry them.
        Some(Err(trailers)) => Gathered::Begun(vec![trailers], ended),
        None => Gathered::Whole(Bytes::new()),
    }
}

/// The next frame of `body` unless `patience` ends before it comes.
async fn next_frame_soon(
    body: &mut WasiBody,
    mut patience: Pin<&mut impl Future<Output = ()>>,
) -> Option<Option<Result<Frame<Bytes>, Error>>> {
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => patience.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// A request's place in the instance, where the guest goes on with the body; given back on drop.
pub(super) type Held = Option<oneshot::Sender<Infallible>>;

/// A body that only fails.
struct Failed(Option<Error>);

impl Body for Failed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

impl Gathered {
    /// Whether the guest goes on with it.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::Begun(..))
    }

    /// The body for the client of the request that `job` is.
    pub(super) fn into_body(self, job: Arc<Job>, stall_timeout: Duration, end: BodyEnd, held: Held) -> WasiBody {
        match self {
            Self::Whole(data) => {
                let mut end = end;
                end.reached();
                Full::new(data).map_err(|never| match never {}).boxed_unsync()
            }
            Self::Begun(begun, rest) => StreamedBody {
                begun: begun.into_iter(),
                rest: Paced::new(rest, stall_timeout, Error::HttpResponseTimeout),
                job,
                end,
                _held: held,
            }
            .boxed_unsync(),
        }
    }

    /// As it is for an answer to HEAD: the length of nothing is not that of the body that GET would get.
    pub(super) fn of_unknown_length(self) -> Self {
        match self {
            Self::Whole(data) if data.is_empty() => Self::Begun(Vec::new(), Failed(None).boxed_unsync()),
            other => other,
        }
    }
}

/// A guest's body on its way to the client.
struct StreamedBody {
    begun: std::vec::IntoIter<Frame<Bytes>>,
    rest: Paced,
    job: Arc<Job>,
    end: BodyEnd,
    _held: Held,
}

impl StreamedBody {
    /// Whether the instance is gone that the rest would come from. wasmtime ends its body as if it were whole.
    fn is_lost(&self) -> bool {
        self.job.lost.get().is_some()
    }

    fn is_delivered(&self) -> bool {
        self.is_end_stream() || self.size_hint().exact() == Some(0)
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.begun.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = ready!(Pin::new(&mut self.rest).poll_frame(cx));
        if let Some(activity) = self.job.activity.get() {
            activity.touch();
        }
        let frame = match frame {
            None if self.is_lost() => Some(Err(Error::HttpResponseIncomplete)),
            frame => frame,
        };
        match &frame {
            Some(Ok(_)) => {}
            Some(Err(Error::HttpResponseTimeout)) => self.end.cut(Cut::Stalled),
            Some(Err(_)) => match self.job.lost.get() {
                Some(Lost::WithInstance(_)) => self.end.cut(Cut::Trapped),
                Some(Lost::Cut) => self.end.cut(Cut::Drained),
                None => self.end.cut(Cut::Failed),
            },
            None => self.end.reached(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.begun.as_slice().is_empty() && self.rest.is_end_stream() && !self.is_lost()
    }

    fn size_hint(&self) -> SizeHint {
        let begun: u64 = self.begun.as_slice().iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(begun.saturating_add(rest.lower()));
        if let Some(upper) = rest.upper() {
            hint.set_upper(begun.saturating_add(upper));
        }
        hint
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        // Whoever knows the length does not ask whether there is more.
        if self.is_delivered() {
            self.end.reached();
        }
    }
}

/// A body that fails when its sender stands still, so that nobody waits for it forever.
pub struct Paced {
    body: WasiBody,
    timeout: Duration,
    late: Option<Error>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// Fails with `late` when a frame takes longer than `timeout`.
    pub fn new(body: WasiBody, timeout: Duration, late: Error) -> Self {
        Self { body, timeout, late: Some(late), timer: None }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.timer = None;
            return Poll::Ready(frame);
        }
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(self.late.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
