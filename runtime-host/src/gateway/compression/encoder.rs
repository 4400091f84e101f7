//! A body that is compressed while it passes.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::sync::SemaphorePermit;

use super::{Encoding, Leave};

/// Levels for speed: of JSON each makes about a quarter, at 60 to 200 MB a second; the next ones up win 5 % for twice the time.
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 1;
const GZIP_LEVEL: u32 = 3;
/// Windows, as powers of two: what an encoder takes of memory.
const ZSTD_WINDOW_LOG: u32 = 19;
const BROTLI_WINDOW_LOG: u32 = 18;
/// Compressed without a pause, which takes about a millisecond; then others on the thread have their turn.
pub const BYTES_PER_TURN: usize = 64 << 10;
/// Once there is as much, it is sent.
const PIECE_BYTES: usize = 16 << 10;

/// A body that is compressed while it passes. What has come is sent as soon as nothing more comes.
pub struct Compressed<B: Body> {
    body: B,
    failed: fn(io::Error) -> B::Error,
    /// What is compressed and not sent yet, and the error that comes after it.
    begun: Bytes,
    error: Option<B::Error>,
    /// What is not compressed yet of the last frame.
    rest: Bytes,
    stage: Stage,
    /// Of a body that is still to be compressed.
    place: Option<SemaphorePermit<'static>>,
}

enum Stage {
    /// Nothing has come yet, so no memory is taken.
    Idle(Encoding),
    /// `is_flushed` while nothing is kept back.
    Busy {
        encoder: Encoder,
        is_flushed: bool,
    },
    Ended {
        trailers: Option<Frame<Bytes>>,
    },
}

// Nothing but the body is ever pinned.
impl<B: Body + Unpin> Unpin for Compressed<B> {}

impl<B: Body> Compressed<B> {
    /// Compresses `body`; what the encoder says went wrong, `failed` makes an error of.
    pub fn new(body: B, leave: Leave, failed: fn(io::Error) -> B::Error) -> Self {
        let Leave { encoding, place } = leave;
        Self {
            body,
            failed,
            begun: Bytes::new(),
            error: None,
            rest: Bytes::new(),
            stage: Stage::Idle(encoding),
            place: Some(place),
        }
    }

    /// Compresses what is there already. If that is all of the body, it is given as a whole, and takes no memory of an encoder.
    pub fn at_once(&mut self) -> Option<Bytes>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        // Whoever sends the body asks again for what is not there yet.
        let mut cx = Context::from_waker(Waker::noop());
        let mut begun = BytesMut::new();
        let mut is_whole = false;
        loop {
            match Pin::new(&mut *self).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => begun.extend_from_slice(&piece),
                    Err(trailers) => {
                        self.stage = Stage::Ended { trailers: Some(trailers) };
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.error = Some(error);
                    break;
                }
                Poll::Ready(None) => {
                    is_whole = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let begun = begun.freeze();
        if is_whole {
            return Some(begun);
        }
        self.begun = begun;
        None
    }

    /// Compresses what fits into one turn, and gives what is to be sent.
    fn write(&mut self) -> io::Result<Option<Bytes>> {
        if let Stage::Idle(encoding) = self.stage {
            self.stage = Stage::Busy { encoder: Encoder::new(encoding)?, is_flushed: true };
        }
        let Stage::Busy { encoder, is_flushed } = &mut self.stage else { return Ok(None) };
        let piece = self.rest.split_to(self.rest.len().min(BYTES_PER_TURN));
        encoder.write(&piece)?;
        *is_flushed = false;
        let is_enough = encoder.output().len() >= PIECE_BYTES;
        Ok(is_enough.then(|| encoder.take()))
    }

    /// Gives all that was kept back, if there is any.
    fn flush(&mut self) -> io::Result<Option<Bytes>> {
        let Stage::Busy { encoder, is_flushed } = &mut self.stage else { return Ok(None) };
        if !std::mem::replace(is_flushed, true) {
            encoder.flush()?;
        }
        Ok(Some(encoder.take()).filter(|piece| !piece.is_empty()))
    }

    /// Ends the coding; what is left is the last piece.
    fn finish(&mut self, trailers: Option<Frame<Bytes>>) -> io::Result<Bytes> {
        let stage = std::mem::replace(&mut self.stage, Stage::Ended { trailers });
        self.place = None;
        match stage {
            // Nothing at all is something in every coding, too.
            Stage::Idle(encoding) => Encoder::new(encoding)?.finish(),
            Stage::Busy { encoder, .. } => encoder.finish(),
            Stage::Ended { .. } => Ok(Bytes::new()),
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Compressed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let failed = self.failed;
        let data = |piece: io::Result<Bytes>| Poll::Ready(Some(piece.map(Frame::data).map_err(failed)));
        if !self.begun.is_empty() {
            return data(Ok(std::mem::take(&mut self.begun)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut turn = 0;
        loop {
            if let Stage::Ended { trailers } = &mut self.stage {
                return Poll::Ready(trailers.take().map(Ok));
            }
            if !self.rest.is_empty() {
                turn += self.rest.len().min(BYTES_PER_TURN);
                if let Some(piece) = self.write().transpose() {
                    return data(piece);
                }
                if turn >= BYTES_PER_TURN {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(piece) => self.rest = piece,
                    Err(trailers) => return data(self.finish(Some(trailers))),
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return data(self.finish(None)),
                Poll::Pending => {
                    return match self.flush().transpose() {
                        Some(piece) => data(piece),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.error.is_none() && matches!(self.stage, Stage::Ended { trailers: None })
    }
}

/// One of the codings, which writes into memory.
enum Encoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(encoder)
            }
            Encoding::Brotli => {
                let writer = brotli::CompressorWriter::new(Vec::new(), PIECE_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_LOG);
                Self::Brotli(Box::new(writer))
            }
            Encoding::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
        })
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(data),
            Self::Brotli(encoder) => encoder.write_all(data),
            Self::Gzip(encoder) => encoder.write_all(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }

    fn output(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Gzip(encoder) => encoder.get_mut(),
        }
    }

    /// What is written so far.
    fn take(&mut self) -> Bytes {
        std::mem::take(self.output()).into()
    }

    fn finish(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Gzip(encoder) => encoder.finish()?,
        }
        .into())
    }
}

#[cfg(test)]
mod tests;
