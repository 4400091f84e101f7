//! A body that is kept, up to a number of bytes, while it is passed on.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It came to its end.
    Whole(Bytes),
    /// It is larger than what is kept, or has trailers, or failed.
    Unfit,
    /// Who read it went away before its end.
    Abandoned,
}

/// A piece of a body, or why there are no more.
pub(super) type Piece<E> = Result<Frame<Bytes>, E>;

/// What is there of a body at once.
pub enum Ready<E> {
    /// All of it.
    Whole(Bytes),
    /// The beginning.
    Begun(Vec<Piece<E>>),
}

/// A body of which the beginning was taken.
pub struct Resumed<B: Body> {
    /// The beginning.
    pub begun: std::vec::IntoIter<Piece<B::Error>>,
    /// What comes after it.
    pub rest: B,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Resumed<B>
where
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece<B::Error>>> {
        match self.begun.next() {
            Some(piece) => Poll::Ready(Some(piece)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.as_slice().is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let begun = self.begun.as_slice().iter().filter_map(|piece| piece.as_ref().ok()?.data_ref());
        let begun: u64 = begun.map(|data| data.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(begun));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(begun));
        }
        hint
    }
}

/// Passes `body` on and tells `end` what became of it.
pub struct Recording<B: Body, F: FnOnce(Recorded)> {
    body: B,
    kept: BytesMut,
    bytes_max: usize,
    end: Option<F>,
}

impl<B: Body<Data = Bytes> + Unpin, F: FnOnce(Recorded) + Unpin> Recording<B, F> {
    /// Keeps at most `bytes_max` bytes.
    pub fn new(body: B, bytes_max: usize, end: F) -> Self {
        let mut recording = Self { body, kept: BytesMut::new(), bytes_max, end: Some(end) };
        // Nothing is kept of what will not fit.
        if recording.body.size_hint().lower() > bytes_max as u64 {
            recording.ends(Recorded::Unfit);
        }
        recording
    }
}

impl<B: Body<Data = Bytes> + Unpin, F: FnOnce(Recorded) + Unpin> Recording<B, F> {
    /// Takes what is ready of the body without waiting for more.
    pub async fn ready(&mut self) -> Ready<B::Error> {
        let mut begun: Vec<Piece<B::Error>> = Vec::new();
        let is_whole = poll_fn(|cx| {
            while self.end.is_some() {
                match Pin::new(&mut *self).poll_frame(cx) {
                    Poll::Ready(Some(piece)) => begun.push(piece),
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => return Poll::Ready(false),
                }
            }
            Poll::Ready(self.is_delivered())
        });
        let is_whole = is_whole.await;
        let data = begun.iter().map(|piece| piece.as_ref().ok().and_then(Frame::data_ref));
        match data.collect::<Option<Vec<&Bytes>>>() {
            Some(pieces) if is_whole => Ready::Whole(match pieces.as_slice() {
                [piece] => (*piece).clone(),
                pieces => pieces.iter().flat_map(|piece| piece.iter().copied()).collect(),
            }),
            _ => Ready::Begun(begun),
        }
    }
}

impl<B: Body, F: FnOnce(Recorded)> Recording<B, F> {
    fn ends(&mut self, recorded: Recorded) {
        if let Some(end) = self.end.take() {
            end(recorded);
        }
        self.kept = BytesMut::new();
    }

    fn is_delivered(&self) -> bool {
        self.body.is_end_stream() || self.body.size_hint().exact() == Some(0)
    }

    fn ends_whole(&mut self) {
        let kept = std::mem::take(&mut self.kept).freeze();
        self.ends(Recorded::Whole(kept));
    }
}

impl<B: Body<Data = Bytes> + Unpin, F: FnOnce(Recorded) + Unpin> Body for Recording<B, F> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            _ if self.end.is_none() => {}
            None => self.ends_whole(),
            Some(Ok(frame)) => match frame.data_ref() {
                Some(data) if self.kept.len() + data.len() <= self.bytes_max => self.kept.extend_from_slice(data),
                _ => self.ends(Recorded::Unfit),
            },
            Some(Err(_)) => self.ends(Recorded::Unfit),
        }
        // Whoever knows the length does not ask whether there is more.
        if self.end.is_some() && self.is_delivered() {
            self.ends_whole();
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

impl<B: Body, F: FnOnce(Recorded)> Drop for Recording<B, F> {
    fn drop(&mut self) {
        match self.end.is_some() && self.is_delivered() {
            true => self.ends_whole(),
            false => self.ends(Recorded::Abandoned),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    type Piece = super::Piece<&'static str>;

    async fn recorded(pieces: &[Piece], read: usize) -> Recorded {
        let pieces: Vec<Piece> = pieces
            .iter()
            .map(|piece| piece.as_ref().map(|frame| Frame::data(frame.data_ref().unwrap().clone())).map_err(|e| *e))
            .collect();
        let told = Arc::new(Mutex::new(None));
        let tell = told.clone();
        let body = StreamBody::new(stream::iter(pieces));
        let mut recording = Recording::new(body, 8, move |recorded| *tell.lock().unwrap() = Some(recorded));
        for _ in 0..read {
            let _ = recording.frame().await;
        }
        drop(recording);
        told.lock().unwrap().take().unwrap()
    }

    #[tokio::test]
    async fn a_body_is_kept_if_it_comes_to_its_end_and_fits() {
        let piece = |text: &'static str| -> Piece { Ok(Frame::data(Bytes::from_static(text.as_bytes()))) };
        let whole = |text: &'static str| Recorded::Whole(Bytes::from_static(text.as_bytes()));
        assert_eq!(recorded(&[piece("abcd"), piece("efgh")], 3).await, whole("abcdefgh"));
        assert_eq!(recorded(&[], 1).await, whole(""));
        assert_eq!(recorded(&[piece("abcd"), piece("efghi")], 3).await, Recorded::Unfit);
        assert_eq!(recorded(&[piece("abcd"), Err("cut")], 2).await, Recorded::Unfit);
        assert_eq!(recorded(&[piece("abcd"), piece("efgh")], 1).await, Recorded::Abandoned);
    }
}
