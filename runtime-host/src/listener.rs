//! Accepts HTTP/1.1 and HTTP/2 connections, in the clear or over TLS, and has worker threads answer their requests.
//!
//! Every connection belongs to one worker, a thread with a runtime of its own, and all of its requests are worked on
//! there: no request waits for another thread to wake up. One acceptor hands each new connection to the worker
//! that has the fewest. The handshake, the limits and the timeouts of a connection are the worker's task too.
//!
//! Nothing here knows routes or components: a [`Handler`] answers the requests.

pub(crate) mod accept;
mod activity;
mod answer;
mod body;
mod busy_poll;
mod client_name;
pub(crate) mod connection;
mod drain;
mod gathering;
mod io;
mod refusal;
mod stream;
pub(crate) mod tls;
mod worker;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use body::{BodyError, IncomingBody};
pub use client_name::{ClientName, plain_name};
pub use drain::{Drain, drain_on_signals};
pub use tls::{TlsError, TlsFiles};
pub use worker::OpenConnections;

use tls::{CERTIFICATE_CHECK_PERIOD, Certificate};
use worker::Workers;

/// Answers the requests of one worker.
pub trait Handler: Clone + Send + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static;

    /// Answers a request. The future is dropped when the client goes away or stops sending the request's body.
    fn handle(
        &self,
        request: Request<IncomingBody>,
        connection: &ConnectionInfo,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// The answer to a request that is over one of the listener's limits and is not handled, or no further.
    fn refuse(&self, request: &Request<()>, refusal: Refusal) -> Response<Self::Body>;
}

/// Which limit a request is over, or why it cannot be understood in one way only. Too large a header section is answered 431
/// before there is a request to speak of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It names no host, more than one, or one that is none: 400, and the connection ends (RFC 9112, 3.2).
    BadHost,
    /// Its body is coded in another way than `chunked`, once: 501, and the connection ends (RFC 9112, 6.1).
    UnknownTransferCoding,
    /// `Content-Length` announces more than [`Limits::body_bytes_max`]: 413.
    ContentTooLarge,
    /// Path and query are longer than [`Limits::uri_bytes_max`]: 414.
    UriTooLong,
    /// The client stopped sending the body for [`Limits::body_read_timeout`]: 408.
    BodyTimeout,
    /// The framing of the body is broken, so that nobody knows where it ends; or the client is gone: 400.
    BrokenBody,
}

/// Where a request came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's address.
    pub peer: SocketAddr,
    /// The same as it is written, once for all requests of the connection.
    pub peer_text: HeaderValue,
    /// Our address that the client connected to.
    pub local: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whom the client's own certificate is about, if it has shown one; somebody in [`TlsFiles::client_authorities`] vouches
    /// for it.
    pub client: Option<Arc<ClientName>>,
}

/// What to listen on and with which bounds.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Worker threads.
    pub workers: NonZeroUsize,
    /// Connections open at once; further ones wait in the operating system's queue.
    pub connections_max: usize,
    /// Certificate and key; without them connections are in the clear.
    pub tls: Option<TlsFiles>,
    /// How long connections may finish their requests once the drain has begun.
    pub drain_timeout: Duration,
    /// Bounds on each connection.
    pub limits: Limits,
}

impl Config {
    /// The defaults: a worker per core, no TLS.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            connections_max: 10_000,
            tls: None,
            drain_timeout: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// Bounds on one connection and its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the TLS handshake, the first bytes and each HTTP/1 header section may take from its first byte.
    pub header_read_timeout: Duration,
    /// How long a connection is kept without a request.
    pub idle_timeout: Duration,
    /// How long whoever reads a request body may wait for its next piece.
    pub body_read_timeout: Duration,
    /// How long the client may take nothing of what is ready to be sent, on a connection or on an HTTP/2 stream.
    pub write_timeout: Duration,
    /// Request line and header section, in bytes (431). At most 100 HTTP/1 header lines are taken in any case.
    pub header_bytes_max: u32,
    /// Path and query, in bytes (414).
    pub uri_bytes_max: usize,
    /// A request body, in bytes (413); `None` for no bound.
    pub body_bytes_max: Option<u64>,
    /// Requests that an HTTP/2 client may have open on one connection.
    pub concurrent_streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            // Less than a component has for its answer, so that it is not blamed for its client.
            body_read_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
            header_bytes_max: 64 << 10,
            uri_bytes_max: 8 << 10,
            body_bytes_max: Some(16 << 20),
            concurrent_streams_max: 128,
        }
    }
}

/// Why the listener could not be opened or run.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is in use, not ours, or not permitted.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A worker thread could not be started, or panicked while its handler was made.
    #[error("worker thread {index} cannot be started")]
    Worker {
        /// Which one, from 0.
        index: usize,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still at work when the time was up, and were cut.
    pub connections_cut: usize,
}

/// Opens the port of `address`, or takes the socket that was passed.
pub(crate) async fn listen(
    address: SocketAddr,
    passed: Option<std::net::TcpListener>,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let listen = async {
        let socket = match passed {
            None => TcpListener::bind(address).await?,
            Some(socket) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket)?
            }
        };
        let local_addr = socket.local_addr()?;
        Ok((socket, local_addr))
    };
    listen.await.map_err(|source| ListenError::Bind { address, source })
}

/// An open port.
pub struct Listener {
    socket: Arc<TcpListener>,
    local_addr: SocketAddr,
    config: Config,
    certificate: Option<Arc<Certificate>>,
    open: OpenConnections,
}

impl Listener {
    /// Loads the certificate and opens the port. Clients can connect from now on; they are answered once it runs.
    ///
    /// A socket that was `passed` is used as it is, and the address does not count.
    pub async fn bind(config: Config, passed: Option<std::net::TcpListener>) -> Result<Self, ListenError> {
        let certificate = config.tls.clone().map(Certificate::load).transpose()?;
        let (socket, local_addr) = listen(config.address, passed).await?;
        let open = OpenConnections::new(config.workers);
        Ok(Self { socket: Arc::new(socket), local_addr, config, certificate, open })
    }

    /// The socket, for as long as it takes connections, so that another process can get it.
    pub fn socket(&self) -> Weak<TcpListener> {
        Arc::downgrade(&self.socket)
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Counts the open connections, also while the listener runs.
    pub fn open_connections(&self) -> OpenConnections {
        self.open.clone()
    }

    /// Serves until `drain` has begun and every connection is done, or the drain timeout has passed.
    ///
    /// `make_handler` is called once on each worker thread, inside its runtime, with the worker's number from 0; `on_serving`
    /// once, before the first connection is taken.
    pub async fn run<H: Handler>(
        self,
        make_handler: impl Fn(usize) -> H + Send + Sync + 'static,
        drain: Drain,
        on_serving: impl FnOnce(),
    ) -> Result<Drained, ListenError> {
        let Self { socket, config, certificate, open, .. } = self;
        let tls = certificate.as_ref().map(|certificate| certificate.acceptor());
        let reload =
            certificate.map(|certificate| tokio::spawn(certificate.reload_on_change(CERTIFICATE_CHECK_PERIOD)));
        // The workers follow a drain of their own, so that what is cut can be counted before it is.
        let own_drain = Drain::new();
        let started = Workers::start(make_handler, config.limits, tls, open.clone(), own_drain.clone()).await;
        // Those that did start would wait for the end of a drain that nobody begins.
        let mut workers = started.inspect_err(|_| own_drain.end())?;
        on_serving();
        let room = Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS)));
        {
            let mut accepting = pin!(accept::run(|| socket.accept(), room, |connection| workers.dispatch(connection)));
            tokio::select! {
                biased;
                () = drain.begun() => {
                    own_drain.begin_as(&drain);
                    // Polled once more: those who wait in the queue came before the end began.
                    let _ = tokio::time::timeout(Duration::ZERO, accepting).await;
                }
                () = &mut accepting => {}
            }
        }
        drop(socket);
        if let Some(reload) = reload {
            reload.abort();
        }
        tracing::info!(connections = open.count(), "draining: no new connections, open requests finish");
        workers.close();
        tokio::select! {
            () = workers.done() => {}
            () = tokio::time::sleep(config.drain_timeout) => {}
            () = drain.ended() => {}
        }
        let connections_cut = open.count();
        own_drain.end();
        drain.end();
        Ok(Drained { connections_cut })
    }
}
