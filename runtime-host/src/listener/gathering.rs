//! Puts small pieces of a request body together.

use std::future::poll_fn;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures::FutureExt as _;
use http_body::Frame;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;

/// Pieces under this size are small.
const PIECE_BYTES_MIN: usize = 4 << 10;
/// After so many small pieces in a row they are put together: chunks of one byte would have the component work a thousand
/// times as much as their client.
pub(super) const SMALL_PIECES_MAX: u32 = 32;

/// What comes next of a body; `None` is its end.
pub(super) type Piece = Option<Result<Frame<Bytes>, hyper::Error>>;

/// Whether a frame is a small piece.
pub(super) fn is_small(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(|data| data.len() < PIECE_BYTES_MIN)
}

/// Reads a body and hands it on in larger pieces, as long as somebody takes them. What has come is not held back.
pub(super) async fn gather(mut body: Incoming, pieces: mpsc::Sender<Piece>) {
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
            match pieces.send(Some(Ok(Frame::data(gathered.split().freeze())))).await {
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
            if pieces.send(Some(Ok(piece))).await.is_err() {
                return;
            }
        }
        if let Some(other) = other {
            let is_last = other.is_none();
            if pieces.send(other).await.is_err() || is_last {
                return;
            }
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
