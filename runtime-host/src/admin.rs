//! The admin listener: operation, apart from the application's own port. It belongs on a private address.
//!
//! | route | answer |
//! |---|---|
//! | `GET /metrics` | everything that is counted, as OpenMetrics text |
//! | `POST /v1/backup` | copies all stores; needs the admin token |
//! | `/v1/deploy`, `/v1/rollback`, `/v1/status`, `/v1/history`, `/v1/actions` | revisions, see [`control`]; need the admin token |
//! | `/v1/promote`, `/v1/pause`, `/v1/resume`, `/v1/abort` | the rollout that goes on, see [`control`]; need the admin token |
//! | `POST /v1/upgrade` | has a new process take over, see [`upgrade`]; needs the host's own token |
//! | `GET /livez`, `/readyz`, `/startupz` | as on the public listener; `/readyz` also while that one takes no connections |
//!
//! Routes that change something are added with [`Routes::control`] and ask for the admin token; where certificate authorities for clients
//! are named, for a certificate of theirs instead. The other routes tell no secrets and stay open, as probes and scrapers have no
//! certificate.

pub mod backup;
mod caller;
pub mod control;
pub mod gateway;
pub mod upgrade;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

pub use self::caller::ACTOR;
use self::caller::{Caller, Certificates, Who};
use crate::listener::connection::Server;
use crate::listener::tls::{CERTIFICATE_CHECK_PERIOD, Certificate};
use crate::listener::{
    self, ConnectionInfo, Drain, Handler, IncomingBody, Limits, ListenError, Refusal, TlsFiles, accept,
};
use crate::telemetry::health::PROBES;
use crate::telemetry::{Telemetry, metrics};

/// Connections open at once.
const CONNECTIONS_MAX: u32 = 256;
/// A request's body, in bytes: the largest artifact that can be deployed. It is read only for who has shown the token.
const BODY_BYTES_MAX: u64 = 128 << 20;
/// How long open requests may finish once the host has drained.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The routes of the admin listener.
#[derive(Default)]
pub struct Routes(Vec<Route>);

/// Who may use a route.
enum Access {
    /// Everyone who reaches the listener.
    Open,
    /// Who has this token, or a certificate where those are asked for.
    Operator(String),
    /// Who has this token; where certificates are asked for, one as well.
    Host(String),
}

struct Route {
    method: Method,
    path: &'static str,
    access: Access,
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
        self.add(method, path, Access::Open, answer)
    }

    /// Adds a route for those who send `token` as bearer token, or who show a certificate where those are asked for.
    pub fn control<F: Future<Output = Response<Body>> + Send + 'static>(
        self,
        token: &str,
        method: Method,
        path: &'static str,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.add(method, path, Access::Operator(token.to_owned()), answer)
    }

    /// Adds a route for those who send the host's own `token` as bearer token, and show a certificate too where those are asked for.
    pub fn own<F: Future<Output = Response<Body>> + Send + 'static>(
        self,
        token: &str,
        method: Method,
        path: &'static str,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.add(method, path, Access::Host(token.to_owned()), answer)
    }

    fn add<F: Future<Output = Response<Body>> + Send + 'static>(
        mut self,
        method: Method,
        path: &'static str,
        access: Access,
        answer: impl Fn(Request<IncomingBody>) -> F + Send + Sync + 'static,
    ) -> Self {
        let route = Route { method, path, access, answer: Box::new(move |request| Box::pin(answer(request))) };
        self.0.push(route);
        self
    }

    fn answer(&self, mut request: Request<IncomingBody>, caller: Caller) -> Answer {
        let at_path: Vec<&Route> = self.0.iter().filter(|route| route.path == request.uri().path()).collect();
        let refused = match at_path.iter().find(|route| route.method == *request.method()) {
            Some(route) => match caller.may_use(&route.access, request.headers()) {
                Ok(who) => {
                    request.extensions_mut().insert(who);
                    return (route.answer)(request);
                }
                Err(missing) => missing.response(),
            },
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

/// What answers requests.
#[derive(Clone)]
struct Answering {
    routes: Arc<Routes>,
    asks_for_certificates: bool,
}

impl Handler for Answering {
    type Body = Body;

    async fn handle(&self, request: Request<IncomingBody>, connection: &ConnectionInfo) -> Response<Body> {
        let certificates = match (self.asks_for_certificates, &connection.client) {
            (false, _) => Certificates::NotAskedFor,
            (true, None) => Certificates::None,
            (true, Some(name)) => Certificates::Of(name.shown()),
        };
        self.routes.answer(request, Caller { peer: connection.peer, certificates }).await
    }

    fn refuse(&self, _: &Request<()>, refusal: Refusal) -> Response<Body> {
        match refusal {
            Refusal::BadHost => problem(StatusCode::BAD_REQUEST, "The request does not name one host"),
            Refusal::UnknownTransferCoding => problem(StatusCode::NOT_IMPLEMENTED, "The transfer coding is not known"),
            Refusal::ContentTooLarge => problem(StatusCode::PAYLOAD_TOO_LARGE, "The request body is too large"),
            Refusal::UriTooLong => problem(StatusCode::URI_TOO_LONG, "The path and query are too long"),
            Refusal::BrokenBody => problem(StatusCode::BAD_REQUEST, "The request body is broken off or malformed"),
            Refusal::BodyTimeout => problem(StatusCode::REQUEST_TIMEOUT, "The request body did not come in time"),
        }
    }
}

/// The open admin port.
pub struct Admin {
    socket: Arc<TcpListener>,
    local_addr: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    asks_for_certificates: bool,
}

impl Admin {
    /// Opens the port, unless a socket was passed that is open already. With `tls`, connections are encrypted.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<TlsFiles>,
        passed: Option<std::net::TcpListener>,
    ) -> Result<Self, ListenError> {
        let asks_for_certificates = tls.as_ref().is_some_and(|files| files.client_authorities.is_some());
        let certificate = tls.map(Certificate::load).transpose()?;
        let (socket, local_addr) = listener::listen(address, passed).await?;
        Ok(Self { socket: Arc::new(socket), local_addr, certificate, asks_for_certificates })
    }

    /// The socket, for as long as it takes connections, so that another process can get it.
    pub fn socket(&self) -> Weak<TcpListener> {
        Arc::downgrade(&self.socket)
    }

    /// The address with the real port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Answers on the runtime that polls it until `drain` has ended, so that the drain itself can be watched; or until another process
    /// answers here.
    pub async fn run(self, routes: Routes, drain: Drain) {
        let own_drain = Drain::new();
        let limits = Limits { body_bytes_max: Some(BODY_BYTES_MAX), ..Limits::default() };
        let server = Server {
            handler: Answering { routes: Arc::new(routes), asks_for_certificates: self.asks_for_certificates },
            limits,
            tls: self.certificate.as_ref().map(|certificate| certificate.acceptor()),
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
        let reload = async {
            match self.certificate {
                Some(certificate) => certificate.reload_on_change(CERTIFICATE_CHECK_PERIOD).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // It ends only with the runtime.
            () = reload => {}
            () = accept::run(|| self.socket.accept(), places.clone(), serve) => {}
            () = drain.ended() => {}
            () = drain.handed_over() => {}
        }
        drop(self.socket);
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

#[cfg(test)]
mod tests;
