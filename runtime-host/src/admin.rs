//! The admin listener: operation, apart from the application's own port. It belongs on a private address.
//!
//! | route | answer |
//! |---|---|
//! | `GET /metrics` | everything that is counted, as OpenMetrics text |
//! | `POST /v1/backup` | copies all stores; needs the admin token |
//! | `/v1/deploy`, `/v1/rollback`, `/v1/status`, `/v1/history`, `/v1/actions` | revisions, see [`control`]; need the admin token |
//! | `/v1/promote`, `/v1/pause`, `/v1/resume`, `/v1/abort` | the rollout that goes on, see [`control`]; need the admin token |
//! | `GET /livez`, `/readyz`, `/startupz` | as on the public listener; `/readyz` also while that one takes no connections |
//!
//! Routes that change something are added with [`Routes::control`] and ask for the admin token.

pub mod backup;
pub mod control;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use subtle::ConstantTimeEq as _;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::listener::connection::Server;
use crate::listener::{ConnectionInfo, Drain, Handler, IncomingBody, Limits, ListenError, Refusal, accept};
use crate::telemetry::health::PROBES;
use crate::telemetry::{Telemetry, metrics};

/// Connections open at once.
const CONNECTIONS_MAX: u32 = 256;
/// A request's body, in bytes: the largest artifact that can be deployed. It is read only for who has shown the token.
const BODY_BYTES_MAX: u64 = 128 << 20;
/// By which a caller says who it is; what it says is written down beside the token that it showed.
pub const ACTOR: HeaderName = HeaderName::from_static("x-bodega-actor");
/// Characters of what it says.
const ACTOR_CHARS_MAX: usize = 100;
/// How long open requests may finish once the host has drained.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The routes of the admin listener.
#[derive(Default)]
pub struct Routes(Vec<Route>);

struct Route {
    method: Method,
    path: &'static str,
    /// The token that a request has to carry.
    token: Option<String>,
    answer: Box<dyn Fn(Request<IncomingBody>) -> Answer + Send + Sync>,
}

/// The routes that only tell: metrics and health.
pub fn routes(telemetry: &Arc<Telemetry>) -> Routes {
    let mut routes = Routes::default();
    for path in PROBES {
        let telemetry = telemetry.clone();
        routes = routes.open(Method::GET, path, move |_| {
            let response = telemetry.reserved(path).unwrap_or_default();
            std::future::ready(response.map(boxed))
        });
    }
    let telemetry = telemetry.clone();
    routes.open(Method::GET, "/metrics", move |_| {
        std::future::ready(answer(StatusCode::OK, metrics::CONTENT_TYPE, telemetry.metrics.render()))
    })
}

impl Routes {
    /// Adds a route that everyone who reaches the listener may use.
    pub fn open<F: Future<Output = Response<Body>> + Send + 'static>(
        self,
        method: Method,
        path: &'static str,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.add(method, path, None, answer)
    }

    /// Adds a route for those who send `token` as bearer token.
    pub fn control<F: Future<Output = Response<Body>> + Send + 'static>(
        self,
        token: &str,
        method: Method,
        path: &'static str,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.add(method, path, Some(token.to_owned()), answer)
    }

    fn add<F: Future<Output = Response<Body>> + Send + 'static>(
        mut self,
        method: Method,
        path: &'static str,
        token: Option<String>,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        let route = Route { method, path, token, answer: Box::new(move |request| Box::pin(answer(request))) };
        self.0.push(route);
        self
    }

    fn answer(&self, request: Request<IncomingBody>) -> Answer {
        let at_path: Vec<&Route> = self.0.iter().filter(|route| route.path == request.uri().path()).collect();
        let refused = match at_path.iter().find(|route| route.method == *request.method()) {
            Some(route) if route.token.as_deref().is_none_or(|token| carries(request.headers(), token)) => {
                return (route.answer)(request);
            }
            Some(_) => {
                let mut refused = problem(StatusCode::UNAUTHORIZED, "This needs the admin token");
                refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                refused
            }
            None if at_path.is_empty() => problem(StatusCode::NOT_FOUND, "There is no such endpoint"),
            None => {
                let mut refused = problem(StatusCode::METHOD_NOT_ALLOWED, "The endpoint has no such method");
                for route in at_path {
                    // Methods are valid in every header.
                    refused
                        .headers_mut()
                        .extend(HeaderValue::from_str(route.method.as_str()).map(|method| (ALLOW, method)));
                }
                refused
            }
        };
        Box::pin(std::future::ready(refused))
    }
}

impl Handler for Arc<Routes> {
    type Body = Body;

    async fn handle(&self, mut request: Request<IncomingBody>, connection: &ConnectionInfo) -> Response<Body> {
        request.extensions_mut().insert(Caller { peer: connection.peer });
        self.answer(request).await
    }

    fn refuse(&self, _: &Request<()>, refusal: Refusal) -> Response<Body> {
        match refusal {
            Refusal::ContentTooLarge => problem(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"),
            Refusal::UriTooLong => problem(StatusCode::URI_TOO_LONG, "The path and query are too long"),
            Refusal::BodyTimeout => problem(StatusCode::REQUEST_TIMEOUT, "The request body did not come in time"),
        }
    }
}

/// Where a request came from.
#[derive(Clone)]
struct Caller {
    peer: SocketAddr,
}

impl Caller {
    /// Who sent a request that showed the admin token, as it is written down: nothing a log could be forged with.
    fn of<B>(request: &Request<B>) -> String {
        let named = request.headers().get(ACTOR).and_then(|name| name.to_str().ok());
        let named =
            named.map(|name| name.chars().filter(|c| !c.is_control()).take(ACTOR_CHARS_MAX).collect::<String>());
        let peer = request.extensions().get::<Self>().map(|caller| caller.peer.to_string());
        format!(
            "admin-token ({}) from {}",
            named.as_deref().unwrap_or("unnamed"),
            peer.as_deref().unwrap_or("an unknown address")
        )
    }
}

/// The open admin port.
pub struct Admin {
    socket: TcpListener,
    local_addr: SocketAddr,
}

impl Admin {
    /// Opens the port.
    pub async fn bind(address: SocketAddr) -> Result<Self, ListenError> {
        let bind_error = |source| ListenError::Bind { address, source };
        let socket = TcpListener::bind(address).await.map_err(bind_error)?;
        let local_addr = socket.local_addr().map_err(bind_error)?;
        Ok(Self { socket, local_addr })
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers on the runtime that polls it until `drain` has ended, so that the drain itself can be watched.
    pub async fn run(self, routes: Routes, drain: Drain) {
        let own_drain = Drain::new();
        let limits = Limits { body_bytes_max: Some(BODY_BYTES_MAX), ..Limits::default() };
        let server = Server {
            handler: Arc::new(routes),
            limits,
            tls: None,
            drain: own_drain.clone(),
            busy_poll: Arc::default(),
        };
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        let serve = |accepted: accept::Accepted| {
            let server = server.clone();
            tokio::spawn(async move {
                let _place = accepted.place;
                server.serve(accepted.socket, accepted.peer).await;
            });
        };
        tokio::select! {
            () = accept::run(|| self.socket.accept(), places.clone(), serve) => {}
            () = drain.ended() => {}
        }
        own_drain.begin();
        // All places are free again once all connections are done.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, places.acquire_many(CONNECTIONS_MAX)).await;
    }
}

/// An answer with a body of the media type `content_type`.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(boxed(Full::new(body.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An RFC 9457 problem document without a type of its own.
pub fn problem(status: StatusCode, title: &str) -> Response<Body> {
    let document = serde_json::json!({ "title": title, "status": status.as_u16() });
    answer(status, "application/problem+json", document.to_string())
}

/// The same with the words that say what is wrong.
pub fn detailed_problem(status: StatusCode, title: &str, detail: &str) -> Response<Body> {
    let document = serde_json::json!({ "title": title, "status": status.as_u16(), "detail": detail });
    answer(status, "application/problem+json", document.to_string())
}

fn boxed(body: Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// Whether the request carries `token`; takes as long for a nearly right one as for a wrong one.
fn carries(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

#[cfg(test)]
mod tests;
