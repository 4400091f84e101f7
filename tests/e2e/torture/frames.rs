//! HTTP/2 frames byte by byte (RFC 9113), so that they can be wrong.

use std::time::Duration;

use tests::host::Host;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 32;

const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let length = u32::try_from(payload.len()).expect("a frame is short").to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The settings by which a connection begins. Without a table for headers, answers say their status in full.
pub(super) fn settings() -> Vec<u8> {
    setting(1, 0)
}

pub(super) fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// Header fields as literals that nobody has to remember (RFC 7541, 6.2.2).
pub(super) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend(text.as_bytes());
        }
    }
    block
}

/// The length of a string (RFC 7541, 5.1, with a prefix of seven bits).
pub(super) fn length(block: &mut Vec<u8>, bytes: usize) {
    let Some(mut rest) = bytes.checked_sub(127) else { return block.push(bytes as u8) };
    block.push(127);
    while rest >= 128 {
        block.push(rest as u8 | 128);
        rest >>= 7;
    }
    block.push(rest as u8);
}

/// A header section that is whole.
pub(super) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | flags, stream, block(fields))
}

pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    headers(stream, END_STREAM, &[(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "shop")])
}

/// One frame that has come.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// What it says about its stream or the connection, if anything.
    pub(super) fn tells(&self) -> Option<String> {
        let error = |at: usize| {
            let code =
                self.payload.get(at..at + 4).map_or(0, |code| u32::from_be_bytes(code.try_into().expect("four bytes")));
            ERRORS.get(code as usize).copied().unwrap_or("an unknown error")
        };
        match self.kind {
            HEADERS => Some(status(&self.payload)),
            RST_STREAM => Some(format!("reset {}", error(0))),
            GOAWAY => Some(format!("goaway {}", error(4))),
            _ => None,
        }
    }
}

/// The `:status` that a header section begins with.
fn status(block: &[u8]) -> String {
    // Changes of the table's size come first.
    let start = block.iter().position(|byte| byte & 0xe0 != 0x20).unwrap_or(block.len());
    match &block[start..] {
        [indexed @ 0x88..=0x8e, ..] => {
            ["200", "204", "206", "304", "400", "404", "500"][usize::from(indexed - 0x88)].to_owned()
        }
        // The name by its index, the value as a string.
        [_, length, rest @ ..] if length & 0x80 != 0 => digits(rest.get(..usize::from(length & 0x7f)).unwrap_or(rest)),
        [_, length, rest @ ..] => {
            String::from_utf8_lossy(rest.get(..usize::from(*length)).unwrap_or(rest)).into_owned()
        }
        _ => "no status".to_owned(),
    }
}

/// Digits in the code of RFC 7541, appendix B.
fn digits(coded: &[u8]) -> String {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |number, bit| number << 1 | bit);
    let (mut text, mut rest) = (String::new(), &bits[..]);
    while let Some(five) = rest.get(..5).map(number) {
        let (digit, taken) = match rest.get(..6).map(number) {
            _ if five < 3 => (five, 5),
            Some(six @ 0x19..=0x1f) => (six - 0x19 + 3, 6),
            _ => break,
        };
        text.push(char::from(b'0' + digit));
        rest = &rest[taken..];
    }
    text
}

/// A connection that speaks in frames.
pub(super) struct Connection(TcpStream);

impl Connection {
    /// Connects and says nothing yet.
    pub(super) async fn open(host: &Host) -> Self {
        Self(TcpStream::connect(host.address()).await.expect("somebody listens"))
    }

    /// False when the host has closed the connection.
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// The next frame within `limit`; `Ok(None)` at the end of the connection.
    pub(super) async fn next(&mut self, limit: Duration) -> Result<Option<Frame>, tokio::time::error::Elapsed> {
        timeout(limit, self.read()).await
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(Frame { kind, flags, stream: u32::from_be_bytes(stream), payload })
    }
}
