//! A connection without an HTTP library, for tests of the protocol itself.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, ToSocketAddrs};
use tokio::time::timeout;

use crate::host::{Host, PATIENCE};

/// A plain connection to the public listener.
pub struct RawConnection(TcpStream);

impl RawConnection {
    /// Connects to `host`.
    pub async fn open(host: &Host) -> Self {
        Self::open_at(host.address()).await
    }

    /// Connects to an address at which somebody listens.
    pub async fn open_at(address: impl ToSocketAddrs) -> Self {
        Self(TcpStream::connect(address).await.expect("somebody listens"))
    }

    /// Ends the connection at once, with a reset in place of an orderly end.
    pub fn reset(self) {
        // Where the option is not taken, the client ends in order; the host has to bear both.
        let _ = self.0.set_zero_linger();
    }

    /// Sends bytes as they are; false when the host has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads up to and including `end`, or to the end of the connection.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&read).contains(end) {
            match timeout(PATIENCE, self.0.read(&mut buffer)).await.expect("the host goes on") {
                Ok(0) | Err(_) => break,
                Ok(bytes) => read.extend_from_slice(&buffer[..bytes]),
            }
        }
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads to the end of the connection, which must come within `limit`.
    pub async fn read_to_end(&mut self, limit: Duration) -> String {
        let mut read = Vec::new();
        // A reset is an end as well; what came before it counts.
        let _ = timeout(limit, self.0.read_to_end(&mut read)).await.expect("the host closes in time");
        String::from_utf8_lossy(&read).into_owned()
    }

    /// Reads to the end of the connection, but no longer than `limit`; says whether the end has come.
    pub async fn read_for(&mut self, limit: Duration) -> (String, bool) {
        let mut read = Vec::new();
        let is_closed = timeout(limit, self.0.read_to_end(&mut read)).await.is_ok();
        (String::from_utf8_lossy(&read).into_owned(), is_closed)
    }
}

/// The status of an answer's first line.
pub fn status(answer: &str) -> u16 {
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"))
}
