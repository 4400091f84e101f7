//! Connections to servers. Each worker thread has its own, and uses them again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{Server, TlsSource, headers};

/// An error of any kind.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// What is sent to a server, and what it answers.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How long a connection is kept that nobody uses. Servers give up theirs after 5 seconds (Node, Apache) or more, and a request that
/// is sent just then is lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Connections kept for each server and worker thread.
const IDLE_MAX: usize = 64;
/// Names of protocols in TLS.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How often a server of HTTP/2 is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

thread_local! {
    static KEPT: RefCell<HashMap<usize, Kept>> = RefCell::default();
}

/// The connections of this thread to one server.
struct Kept {
    server: Weak<Server>,
    http1: Vec<(http1::SendRequest<Body>, Instant)>,
    http2: Option<http2::SendRequest<Body>>,
}

/// A connection that takes a request.
pub struct Connection(Kind);

enum Kind {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// A connection to this server that is there and idle.
pub(super) fn idle(server: &Arc<Server>) -> Option<Connection> {
    with_kept(server, |kept| {
        if let Some(http2) = kept.http2.clone() {
            if !http2.is_closed() {
                return Some(Connection(Kind::Http2(http2)));
            }
            kept.http2 = None;
        }
        let now = Instant::now();
        kept.http1.retain(|(connection, since)| !connection.is_closed() && now - *since < IDLE_TIMEOUT);
        // One whose last answer has just ended may need another moment.
        let ready = kept.http1.iter().rposition(|(connection, _)| connection.is_ready())?;
        Some(Connection(Kind::Http1(kept.http1.swap_remove(ready).0)))
    })
}

/// A new connection to this server.
pub(super) async fn open(server: &Arc<Server>, speaks_http2: bool, tls: &TlsSource) -> Result<Connection, BoxError> {
    let tcp = TcpStream::connect((server.origin.host.as_str(), server.origin.port)).await?;
    tcp.set_nodelay(true)?;
    if !server.origin.is_tls {
        return handshake(server, tcp, speaks_http2).await;
    }
    let name = server.found_name();
    let mut settings = tls(name);
    settings.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    let name = ServerName::try_from(name.to_owned())?;
    let stream = TlsConnector::from(Arc::new(settings)).connect(name, tcp).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(ALPN[0]);
    handshake(server, stream, is_http2).await
}

async fn handshake(
    server: &Arc<Server>,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    is_http2: bool,
) -> Result<Connection, BoxError> {
    let stream = TokioIo::new(stream);
    if is_http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(PING_EVERY);
        builder.keep_alive_timeout(PING_TIMEOUT).keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(stream).await?;
        // It ends when nobody can send any more, or with an error that the requests on it are told.
        tokio::spawn(connection);
        with_kept(server, |kept| kept.http2 = Some(sender.clone()));
        return Ok(Connection(Kind::Http2(sender)));
    }
    let (sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(Connection(Kind::Http1(sender)))
}

impl Connection {
    /// Has the server answer. A request that was not begun is given back: the server has just closed an idle connection.
    pub(super) async fn send(
        self,
        server: &Arc<Server>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, (BoxError, Option<Request<Body>>)> {
        headers::address(&mut request, &server.origin, matches!(self.0, Kind::Http2(_)));
        let given_back = |mut error: TrySendError<Request<Body>>| {
            let request = error.take_message();
            (error.into_error().into(), request)
        };
        let (mut answer, keeper) = match self.0 {
            Kind::Http1(mut sender) => {
                let answer = sender.try_send_request(request).await.map_err(given_back)?;
                (answer, Some((Arc::downgrade(server), sender)))
            }
            Kind::Http2(mut sender) => (sender.try_send_request(request).await.map_err(given_back)?, None),
        };
        headers::from_server(&mut answer);
        Ok(answer.map(|incoming| {
            let mut body = Answer { incoming, keeper };
            if body.incoming.is_end_stream() {
                body.keep();
            }
            body.boxed_unsync()
        }))
    }
}

/// The body of an answer; when it has ended, its connection is free for another request.
struct Answer {
    incoming: Incoming,
    keeper: Option<(Weak<Server>, http1::SendRequest<Body>)>,
}

impl Answer {
    fn keep(&mut self) {
        let Some((server, connection)) = self.keeper.take() else { return };
        let Some(server) = server.upgrade().filter(|_| !connection.is_closed()) else { return };
        with_kept(&server, |kept| {
            if kept.http1.len() < IDLE_MAX {
                kept.http1.push((connection, Instant::now()));
            }
        });
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.keep();
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

fn with_kept<T>(server: &Arc<Server>, act: impl FnOnce(&mut Kept) -> T) -> T {
    let place = Arc::as_ptr(server).addr();
    KEPT.with_borrow_mut(|all| {
        let is_other = |kept: &Kept| !std::ptr::eq(kept.server.as_ptr(), Arc::as_ptr(server));
        if !all.contains_key(&place) || all.get(&place).is_some_and(is_other) {
            // Servers seldom come: the time to forget those that are gone.
            all.retain(|_, kept| kept.server.strong_count() > 0);
        }
        let new = || Kept { server: Arc::downgrade(server), http1: Vec::new(), http2: None };
        act(all.entry(place).or_insert_with(new))
    })
}
