//! One connection from its first byte to its end: handshake, protocol, limits, timeouts, drain.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Expired, Watchdog};
use super::answer::AnswerBody;
use super::body::{IncomingBody, Stall};
use super::busy_poll::BusyPoll;
use super::drain::Drain;
use super::io::{ConnectionIo, Stream};
use super::stream::Streams;
use super::{ClientName, ConnectionInfo, Handler, Limits, refusal};

/// How HTTP/2 begins (RFC 9113, section 3.4); no request line does, because `PRI` is reserved for this.
const HTTP2_PREFACE_START: &[u8] = b"PRI ";
/// Bytes that are asked for when a connection begins: most requests fit.
const FIRST_READ_BYTES: usize = 2 << 10;
/// Bytes of a body that an HTTP/1 connection reads or writes ahead.
const HTTP1_BUFFER_BYTES: usize = 128 << 10;
/// Bytes of a response that an HTTP/2 stream takes ahead of its client.
const HTTP2_SEND_BUFFER_BYTES: usize = 128 << 10;
/// How often an HTTP/2 client is asked whether it is still there, and how long its answer may take.
const HTTP2_PING_PERIOD: Duration = Duration::from_secs(20);
/// How long a connection that has sent nothing yet may still do so once the drain has begun.
const DRAIN_GRACE: Duration = Duration::from_millis(50);

/// What serves the connections of one worker.
#[derive(Clone)]
pub(crate) struct Server<H> {
    pub(crate) handler: H,
    pub(crate) limits: Limits,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) drain: Drain,
    pub(crate) busy_poll: Arc<BusyPoll>,
}

impl<H: Handler> Server<H> {
    /// Serves one connection until its end.
    pub(crate) async fn serve(self, socket: TcpStream, peer: SocketAddr) {
        let too_late = too_late(self.drain.clone(), self.limits.header_read_timeout);
        let opened = tokio::select! {
            opened = open(socket, self.tls.as_ref()) => opened,
            () = too_late => Err(io::Error::new(io::ErrorKind::TimedOut, "no request has begun in time")),
        };
        let ended = match opened {
            Ok(opened) => self.serve_http(opened, peer).await,
            Err(error) => Err(error.to_string()),
        };
        // Clients that go away in the middle are everyday life on a public port.
        if let Err(reason) = ended {
            tracing::debug!(%peer, reason, "connection closed early");
        }
    }

    async fn serve_http(self, opened: Opened, peer: SocketAddr) -> Result<(), String> {
        let Self { handler, limits, tls, drain, busy_poll } = self;
        // An address is valid in every header.
        let peer_text = HeaderValue::try_from(peer.to_string()).unwrap_or(HeaderValue::from_static(""));
        let connection = Arc::new(ConnectionInfo {
            peer,
            peer_text,
            local: opened.local,
            tls: tls.is_some(),
            client: opened.stream.client_certificate().map(|shown| Arc::new(ClientName::of(&shown))),
        });
        let activity = Arc::new(Activity::default());
        let noting = activity.clone();
        // With HTTP/2 the connection itself says so.
        let closes = (!opened.http2).then(|| drain.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let open = noting.request_started();
            let mut request = request.map(|body| IncomingBody::new(body, &limits, noting.clone()));
            let (handler, connection, busy_poll) = (handler.clone(), connection.clone(), busy_poll.clone());
            let closes = closes.clone();
            async move {
                let upload = request.body().stall();
                let scheme = if connection.tls { Scheme::HTTPS } else { Scheme::HTTP };
                let refusal = refusal::of(&mut request, &limits, &scheme);
                let mut response = match (refusal, &upload) {
                    (Some(refusal), _) => handler.refuse(&request.map(drop), refusal),
                    (None, None) => handler.handle(request, &connection).await,
                    (None, Some(upload)) => answer_upload(handler, request, &connection, upload).await,
                };
                // What has happened by now is what the answer says.
                let upload = upload.filter(|upload| upload.has_happened().is_none());
                busy_poll.answered();
                if closes.is_some_and(|drain| drain.has_begun() || refusal.is_some_and(refusal::ends_connection)) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| AnswerBody::new(body, upload, open)))
            }
        });
        let io = TokioIo::new(ConnectionIo::new(opened.stream, opened.first_bytes, activity.clone()));
        let watchdog = Watchdog::new(limits, !opened.http2);
        if opened.http2 {
            let connection = http2_builder(&limits).serve_connection(io, service);
            drive(connection, http2::Connection::graceful_shutdown, drain.begun(), &activity, watchdog).await
        } else {
            let connection = http1_builder(&limits).keep_alive(!drain.has_begun()).serve_connection(io, service);
            drive(connection, http1::Connection::graceful_shutdown, time_to_close(drain), &activity, watchdog).await
        }
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Hyper's own timer covers idle time and header section in one, and is made anew for every request: ours is not.
    // Its `pipeline_flush` stays off: it holds an answer back while half of the next request has come.
    builder
        .header_read_timeout(None)
        .max_header_size(limits.header_bytes_max as usize)
        .max_buf_size(HTTP1_BUFFER_BYTES.max(limits.header_bytes_max as usize));
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(Streams { write_timeout: limits.write_timeout });
    // The bounds on floods of resets stay at their defaults: 20 resets that we have not seen yet, 1024 that we caused.
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(HTTP2_PING_PERIOD)
        .keep_alive_timeout(HTTP2_PING_PERIOD)
        .max_concurrent_streams(limits.concurrent_streams_max)
        .max_header_list_size(limits.header_bytes_max)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES);
    builder
}

/// Waits until an HTTP/1 connection without a request is to be closed. What it is asked until then is answered, and says that it
/// was the last.
async fn time_to_close(drain: Drain) {
    drain.begun().await;
    if drain.is_handed_over() {
        tokio::time::sleep(drain.grace()).await;
    }
}

/// Waits as long as a connection may take to send its first bytes; only a moment once the drain has begun.
async fn too_late(drain: Drain, timeout: Duration) {
    let draining = async {
        drain.begun().await;
        tokio::time::sleep(DRAIN_GRACE.max(drain.grace())).await;
    };
    tokio::select! {
        () = tokio::time::sleep(timeout) => {}
        () = draining => {}
    }
}

/// A connection whose protocol is known.
struct Opened {
    stream: Stream,
    first_bytes: Bytes,
    http2: bool,
    local: SocketAddr,
}

/// Shakes hands and reads until the protocol can be told. ALPN only tells the client what it may speak.
async fn open(socket: TcpStream, tls: Option<&TlsAcceptor>) -> io::Result<Opened> {
    // Without this the last part of an answer waits for the client's delayed acknowledgement, some 40 ms.
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let mut stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => Stream::Tls(Box::new(tls.accept(socket).await?)),
    };
    let mut first_bytes = BytesMut::with_capacity(FIRST_READ_BYTES);
    loop {
        let read = stream.read_buf(&mut first_bytes).await?;
        let decided = first_bytes.len() >= HTTP2_PREFACE_START.len() || !HTTP2_PREFACE_START.starts_with(&first_bytes);
        if decided || read == 0 {
            let http2 = first_bytes.starts_with(HTTP2_PREFACE_START);
            return Ok(Opened { stream, first_bytes: first_bytes.freeze(), http2, local });
        }
    }
}

/// Works on a connection until it ends by itself, or by its watchdog.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    graceful_shutdown: fn(Pin<&mut C>),
    drain_begun: impl Future<Output = ()>,
    activity: &Activity,
    mut watchdog: Watchdog,
) -> Result<(), String> {
    let mut connection = pin!(connection);
    let mut drain_begun = pin!(drain_begun);
    let mut closing = false;
    poll_fn(|cx| {
        loop {
            // Before the drain is looked at: a request that has come already is answered.
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended.map_err(|error| error.to_string()));
            }
            if closing || drain_begun.as_mut().poll(cx).is_pending() {
                match ready!(watchdog.poll(cx, activity)) {
                    Expired::Idle if !closing => {}
                    expired => return Poll::Ready(Err(format!("timed out: {expired:?}"))),
                }
            }
            closing = true;
            graceful_shutdown(connection.as_mut());
            watchdog.hasten();
        }
    })
    .await
}

/// Answers a request with a body, for the handler when its rest does not come: that is no failure of who reads it.
async fn answer_upload<H: Handler>(
    handler: H,
    request: Request<IncomingBody>,
    connection: &ConnectionInfo,
    upload: &Stall,
) -> Response<H::Body> {
    let (head, body) = request.into_parts();
    let kept = Request::from_parts(head.clone(), ());
    tokio::select! {
        biased;
        refusal = poll_fn(|cx| upload.poll(cx)) => handler.refuse(&kept, refusal),
        response = handler.handle(Request::from_parts(head, body), connection) => {
            // A handler that reads the body itself learns of it first.
            upload.has_happened().map_or(response, |refusal| handler.refuse(&kept, refusal))
        }
    }
}
