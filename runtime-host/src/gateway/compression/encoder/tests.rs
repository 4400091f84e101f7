//! What was compressed is the same when it is read again, and nothing that came is kept back.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Read as _;

use futures::task::noop_waker;
use http::HeaderMap;
use proptest::prelude::*;
use tokio::sync::Semaphore;

use super::*;

/// Pieces that come one by one; at a `None` nothing comes until it is taken away.
struct Pieces(VecDeque<Option<Bytes>>, Option<HeaderMap>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.front() == Some(&None) {
            return Poll::Pending;
        }
        match self.0.pop_front().flatten() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None => Poll::Ready(self.1.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }
}

fn compressed(encoding: Encoding, body: Pieces) -> Compressed<Pieces> {
    let places: &'static Semaphore = Box::leak(Box::new(Semaphore::new(1)));
    let leave = Leave { encoding, place: places.try_acquire().unwrap() };
    Compressed::new(body, leave, |error| panic!("{error}"))
}

/// All that can be read of what was sent so far.
fn decompressed(encoding: Encoding, sent: &[u8]) -> Vec<u8> {
    let mut reader: Box<dyn io::Read + '_> = match encoding {
        Encoding::Zstd => Box::new(zstd::stream::read::Decoder::new(sent).unwrap()),
        Encoding::Brotli => Box::new(brotli::Decompressor::new(sent, 4096)),
        Encoding::Gzip => Box::new(flate2::read::GzDecoder::new(sent)),
    };
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    // Where the rest is missing, it ends with an error.
    while let Ok(bytes @ 1..) = reader.read(&mut buffer) {
        read.extend_from_slice(&buffer[..bytes]);
    }
    read
}

fn is_whole(encoding: Encoding, sent: &[u8]) -> bool {
    let mut read = Vec::new();
    match encoding {
        Encoding::Zstd => zstd::stream::copy_decode(sent, &mut read).is_ok(),
        Encoding::Brotli => brotli::Decompressor::new(sent, 4096).read_to_end(&mut read).is_ok(),
        Encoding::Gzip => flate2::read::GzDecoder::new(sent).read_to_end(&mut read).is_ok(),
    }
}

/// Polls until nothing comes at once; whether that is the end.
fn drain(body: &mut Compressed<Pieces>, sent: &mut Vec<u8>) -> bool {
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => sent.extend_from_slice(&frame.into_data().unwrap()),
            Poll::Ready(None) => return true,
            Poll::Pending => return false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_has_come_can_be_read_before_more_does(
        pieces in prop::collection::vec((0..8_u8, 0..3000_usize, any::<bool>()), 0..12),
        which in 0..3_usize,
    ) {
        let (_, encoding) = Encoding::ALL[which];
        let mut queue = VecDeque::new();
        for (seed, bytes, waits) in pieces {
            let piece: Vec<u8> = (0..bytes).map(|at| (at * usize::from(seed) % 251) as u8).collect();
            queue.push_back(Some(Bytes::from(piece)));
            if waits {
                queue.push_back(None);
            }
        }
        let mut came = Vec::new();
        let mut expected = queue.clone().into_iter();
        let (mut body, mut sent) = (compressed(encoding, Pieces(queue, None)), Vec::new());
        loop {
            let is_end = drain(&mut body, &mut sent);
            // All pieces up to the next time in which nothing comes.
            for piece in expected.by_ref() {
                match piece {
                    Some(piece) => came.extend_from_slice(&piece),
                    None => break,
                }
            }
            prop_assert_eq!(decompressed(encoding, &sent), came.clone());
            if is_end {
                break;
            }
            body.body.0.pop_front();
        }
        prop_assert!(is_whole(encoding, &sent));
        prop_assert!(body.is_end_stream());
    }
}

#[test]
fn a_large_piece_leaves_others_their_turn_and_is_sent_bit_by_bit() {
    for (_, encoding) in Encoding::ALL {
        let plain: Vec<u8> = (0..4_000_000_u32).flat_map(|n| (n / 3).to_le_bytes()).take(4 << 20).collect();
        let mut body = compressed(encoding, Pieces([Some(Bytes::from(plain.clone()))].into(), None));
        let (mut sent, mut turns) = (Vec::new(), 1);
        while !drain(&mut body, &mut sent) {
            turns += 1;
        }
        assert!(decompressed(encoding, &sent) == plain, "{encoding:?}");
        assert!(sent.len() < plain.len() / 2, "{encoding:?}: {}", sent.len());
        assert!(body.place.is_none(), "its place is free for another");
        println!("{encoding:?}: {} bytes in {turns} turns", sent.len());
    }
    let zeros = Bytes::from(vec![0; 4 << 20]);
    let mut body = compressed(Encoding::Zstd, Pieces([Some(zeros)].into(), None));
    let waker = noop_waker();
    assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)).is_pending(), "one turn is not all of it");
}

#[test]
fn what_is_there_as_a_whole_is_given_as_a_whole_and_the_rest_follows_what_has_begun() {
    for (_, encoding) in Encoding::ALL {
        let piece = |text: &'static str| Some(Bytes::from(text));
        let mut whole = compressed(encoding, Pieces([piece("a"), piece("b")].into(), None));
        let sent = whole.at_once().unwrap();
        assert!(is_whole(encoding, &sent), "{encoding:?}");
        assert_eq!(decompressed(encoding, &sent), b"ab");

        let mut begun = compressed(encoding, Pieces([piece("a"), None, piece("b")].into(), None));
        assert_eq!(begun.at_once(), None);
        let mut sent = Vec::new();
        assert!(!drain(&mut begun, &mut sent));
        assert_eq!(decompressed(encoding, &sent), b"a");
        begun.body.0.pop_front();
        assert!(drain(&mut begun, &mut sent) && is_whole(encoding, &sent));
        assert_eq!(decompressed(encoding, &sent), b"ab");
    }
}

#[test]
fn nothing_is_something_and_trailers_come_last() {
    for (_, encoding) in Encoding::ALL {
        let trailers = HeaderMap::from_iter([(http::header::ETAG, "\"7\"".parse().unwrap())]);
        let mut body = compressed(encoding, Pieces(VecDeque::new(), Some(trailers.clone())));
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut next = || match Pin::new(&mut body).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            _ => panic!("{encoding:?}: nothing more"),
        };
        let sent = next().into_data().unwrap();
        assert!(is_whole(encoding, &sent) && decompressed(encoding, &sent).is_empty(), "{encoding:?}");
        assert_eq!(next().into_trailers().unwrap(), trailers);
        assert!(body.is_end_stream());
    }
}
