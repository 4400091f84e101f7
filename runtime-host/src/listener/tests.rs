//! The listener as clients meet it, over real sockets.

mod drain;
mod limits;
mod protocols;
mod shortage;
mod stalled_bodies;
mod timeouts;
mod tls;

use std::convert::Infallible;
use std::time::Instant;

use futures::StreamExt as _;
use http::StatusCode;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

/// Long enough for a busy machine; nothing that works takes as long.
const PATIENCE: Duration = Duration::from_secs(10);
/// The timeout under test.
const SHORT: Duration = Duration::from_millis(150);

/// Answers by path.
#[derive(Clone)]
struct Paths {
    worker: usize,
}

impl Handler for Paths {
    type Body = UnsyncBoxBody<Bytes, Infallible>;

    async fn handle(&self, request: Request<IncomingBody>, connection: &ConnectionInfo) -> Response<Self::Body> {
        let text = match request.uri().path() {
            "/slow" => {
                tokio::time::sleep(2 * SHORT).await;
                "slow".to_owned()
            }
            "/echo" => match request.into_body().collect().await {
                Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
                Err(BodyError::TooLarge { .. }) => return response(StatusCode::PAYLOAD_TOO_LARGE, "too large".into()),
                Err(error) => error.to_string(),
            },
            "/endless" => {
                let chunk = Bytes::from(vec![b'x'; 64 << 10]);
                let chunks = std::iter::repeat_with(move || Ok(Frame::data(chunk.clone())));
                return Response::new(StreamBody::new(Chunks(chunks)).boxed_unsync());
            }
            "/patient" => {
                // Begins its answer at once and goes on when the request's body is complete.
                let reading = tokio::spawn(request.into_body().collect());
                let end = futures::stream::once(async move {
                    let _ = reading.await;
                    futures::future::pending().await
                });
                let begin = futures::stream::iter([Ok(Frame::data("begun ".into()))]);
                return Response::new(StreamBody::new(begin.chain(end)).boxed_unsync());
            }
            "/panic" => panic!("as the test asked"),
            "/worker" => self.worker.to_string(),
            "/tls" => connection.tls.to_string(),
            path => path.to_owned(),
        };
        response(StatusCode::OK, text)
    }

    fn refuse(&self, _: &Request<()>, refusal: Refusal) -> Response<Self::Body> {
        match refusal {
            Refusal::BadHost | Refusal::BrokenBody => response(StatusCode::BAD_REQUEST, "refused".into()),
            Refusal::UnknownTransferCoding => response(StatusCode::NOT_IMPLEMENTED, "refused".into()),
            Refusal::ContentTooLarge => response(StatusCode::PAYLOAD_TOO_LARGE, "refused".into()),
            Refusal::UriTooLong => response(StatusCode::URI_TOO_LONG, "refused".into()),
            Refusal::BodyTimeout => response(StatusCode::REQUEST_TIMEOUT, "refused".into()),
        }
    }
}

fn response(status: StatusCode, text: String) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// A body of chunks that are always ready.
struct Chunks<I>(I);

impl<I: Iterator<Item = Result<Frame<Bytes>, Infallible>> + Unpin> futures::Stream for Chunks<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// A listener that runs.
struct Running {
    address: SocketAddr,
    open: OpenConnections,
    drain: Drain,
    task: JoinHandle<Result<Drained, ListenError>>,
}

impl Running {
    async fn start(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap());
        config.workers = NonZeroUsize::new(2).unwrap();
        change(&mut config);
        let listener = Listener::bind(config, None).await.unwrap();
        let (address, open, drain) = (listener.local_addr(), listener.open_connections(), Drain::new());
        let task = tokio::spawn(listener.run(|worker| Paths { worker }, drain.clone(), || ()));
        Self { address, open, drain, task }
    }

    async fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        Self::start(|config| change(&mut config.limits)).await
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn connect_http2(&self) -> http2::SendRequest<Full<Bytes>> {
        self.connect_http2_as(|builder| builder).await
    }

    async fn connect_http2_as<B>(
        &self,
        change: impl FnOnce(&mut http2::Builder<TokioExecutor>) -> &mut http2::Builder<TokioExecutor>,
    ) -> http2::SendRequest<B>
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        change(&mut builder);
        let (sender, connection) = builder.handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    /// Waits until the drain is over.
    async fn drained(self) -> Drained {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap()
    }

    async fn until_open(&self, count: usize) {
        let waiting = async {
            while self.open.count() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }
}

/// An HTTP/1 client that sends what it is told, byte for byte.
struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn get(&mut self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        self.answer().await
    }

    /// One answer with a `Content-Length`.
    async fn answer(&mut self) -> String {
        let mut text = String::new();
        let reading = async {
            loop {
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if length.is_none_or(|length| body.len() == length.parse::<usize>().unwrap()) {
                        return;
                    }
                }
                text.push(self.0.read_u8().await.unwrap().into());
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("half an answer: {text}"));
        text
    }

    /// Everything until the end of the connection.
    async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.unwrap().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Waits for the connection's end, at which nothing may come any more, and says when it came.
    async fn closed_after(&mut self, started: Instant) -> Duration {
        assert_eq!(self.rest().await, "");
        started.elapsed()
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("http://a{path}")).body(Full::default()).unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}
