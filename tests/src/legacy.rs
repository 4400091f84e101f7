//! A service outside of the host, of the kind that a shop moves away from: it answers with what it was asked, and can be ill.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// Where it is asked whether it is well.
pub const HEALTH_PATH: &str = "/health";

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers.
    Well,
    /// Answers with this status.
    Fails(u16),
    /// Closes the connection instead of an answer.
    BreaksOff,
    /// Takes this long.
    Slow(Duration),
}

/// An answer that a test has made up.
#[derive(Clone, Debug)]
pub struct Script {
    /// The status.
    pub status: u16,
    /// The headers, of which no length is one.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body: whole with its length if it is one piece, else streamed.
    pub pieces: Vec<Bytes>,
    /// How long it takes before each further piece.
    pub pause: Duration,
}

/// A running service, with HTTP/1 and HTTP/2.
#[derive(Clone)]
pub struct Legacy(Arc<State>);

struct State {
    name: String,
    port: u16,
    mood: Mutex<Mood>,
    script: Mutex<Option<Script>>,
    requests: AtomicUsize,
    connections: AtomicUsize,
    bodies: Mutex<Vec<String>>,
}

impl Script {
    /// An answer 200 of this type, in one piece.
    pub fn of(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", content_type)],
            pieces: vec![body.into()],
            pause: Duration::ZERO,
        }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn answer(self) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
        let body = match <[Bytes; 1]>::try_from(self.pieces) {
            Ok([whole]) => Full::new(whole).boxed_unsync(),
            Err(pieces) => {
                let pieces = pieces.into_iter().enumerate();
                let body = futures::stream::unfold((pieces, self.pause), async |(mut pieces, pause)| {
                    let (place, piece) = pieces.next()?;
                    if place > 0 {
                        sleep(pause).await;
                    }
                    Some((Ok(Frame::data(piece)), (pieces, pause)))
                });
                StreamBody::new(body).boxed_unsync()
            }
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::from_u16(self.status).expect("a status");
        for (name, value) in self.headers {
            answer.headers_mut().append(name, value.parse().expect("a value"));
        }
        answer
    }
}

impl Legacy {
    /// Starts one on a port of its own.
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let state = State {
            name: name.to_owned(),
            port,
            mood: Mutex::new(Mood::Well),
            script: Mutex::default(),
            requests: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            bodies: Mutex::default(),
        };
        let legacy = Self(Arc::new(state));
        let served = legacy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                served.0.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(served.clone().serve(stream));
            }
        });
        legacy
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.0.port)
    }

    /// Has it behave so from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.0.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Has it answer so from now on, while it is well.
    pub fn set_script(&self, script: Script) {
        *self.0.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    /// Requests that it has got, without those for its health.
    pub fn requests(&self) -> usize {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// The bodies of the requests that it has read to the end, without those for its health.
    pub fn bodies(&self) -> Vec<String> {
        self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::SeqCst)
    }

    async fn serve(self, stream: TcpStream) {
        let service = service_fn(move |request| self.clone().answer(request));
        // A client that goes away is no matter.
        let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
            Err(error) => return Err(std::io::Error::other(error)),
        };
        if head.uri.path() != HEALTH_PATH {
            self.0.requests.fetch_add(1, Ordering::SeqCst);
            self.0.bodies.lock().unwrap_or_else(PoisonError::into_inner).push(body.clone());
        }
        let mood = *self.0.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let status = match mood {
            Mood::Well => StatusCode::OK,
            Mood::Fails(status) => StatusCode::from_u16(status).expect("a status"),
            Mood::BreaksOff => return Err(std::io::Error::other("it breaks off")),
            Mood::Slow(time) => {
                sleep(time).await;
                StatusCode::OK
            }
        };
        let script = self.0.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(script) = script.filter(|_| mood == Mood::Well && head.uri.path() != HEALTH_PATH) {
            return Ok(script.answer());
        }
        Ok(self.describe(&head, &body, status).map(BodyExt::boxed_unsync))
    }

    fn describe(&self, head: &Parts, body: &str, status: StatusCode) -> Response<Full<Bytes>> {
        let mut headers = Map::new();
        for (name, value) in &head.headers {
            headers.insert(name.to_string(), Value::String(String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
        let described = json!({
            "service": self.0.name,
            "method": head.method.as_str(),
            "uri": head.uri.to_string(),
            "version": format!("{:?}", head.version),
            "headers": headers,
            "body": body,
        });
        let mut answer = Response::new(Full::new(Bytes::from(described.to_string())));
        *answer.status_mut() = status;
        answer.headers_mut().insert("keep-alive", "timeout=5".parse().expect("a value"));
        answer
    }
}
