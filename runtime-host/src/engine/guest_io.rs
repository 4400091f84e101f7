//! A guest's standard output and error as wasmtime-wasi streams that end in the log, line by line.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::requests::Requests;
use crate::telemetry::guest_output::GuestLines;

/// Bytes that a guest may write in one call.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One of an instance's output streams. All handles that the guest opens on it write into the same lines.
#[derive(Clone)]
pub(super) struct GuestStream {
    lines: Arc<Mutex<GuestLines>>,
    requests: Arc<Requests>,
}

impl GuestStream {
    /// A stream of the instance that works on `requests`.
    pub(super) fn new(lines: GuestLines, requests: Arc<Requests>) -> Self {
        Self { lines: Arc::new(Mutex::new(lines)), requests }
    }

    fn take(&self, bytes: &[u8]) {
        // Which task writes is not known here, so a line can be told to be a request's only while that is the only one.
        let request = self.requests.of(None);
        // The lines are whole after every write, so a panic elsewhere does not spoil them.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).write(bytes, request);
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}
