//! Connects to hosts outside of the app, within the bound on connections.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Waits for a place before it connects.
#[derive(Clone)]
pub(super) struct BoundedConnector {
    tcp: HttpConnector,
    /// Places for connections of the whole app; without them there is no bound.
    places: Option<Arc<Semaphore>>,
}

impl BoundedConnector {
    pub(super) fn new(places: Option<Arc<Semaphore>>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        Self { tcp, places }
    }
}

impl Service<Uri> for BoundedConnector {
    type Response = BoundedStream;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<BoundedStream, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.tcp.call(uri);
        let places = self.places.clone();
        Box::pin(async move {
            let place = match places {
                Some(places) => Some(places.acquire_owned().await?),
                None => None,
            };
            Ok(BoundedStream { tcp: connecting.await?, _place: place })
        })
    }
}

/// A connection that gives its place back when it is closed.
pub(super) struct BoundedStream {
    tcp: TokioIo<TcpStream>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection for BoundedStream {
    fn connected(&self) -> Connected {
        self.tcp.connected()
    }
}

impl Read for BoundedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buffer)
    }
}

impl Write for BoundedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }
}
