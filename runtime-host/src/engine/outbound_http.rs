//! Requests that guests send: service chaining inside the process, and HTTP to the hosts that the manifest allows.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::body::Paced;
use super::component::Component;
use crate::allowed_hosts::service_chaining_target;
use crate::telemetry::request_context::RequestContext;

/// How many components one request may pass through in a row before it is taken for a loop.
const CHAIN_DEPTH_MAX: u32 = 16;
/// How long connecting may take when the guest sets no limit.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the first byte of an answer may take when the guest sets no limit.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the next piece of an answer may take when the guest sets no limit.
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(600);
/// How long an unused connection to a host is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Unused connections kept for each host and worker thread.
const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 32;

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// Calls from component to component within the process.
pub trait ServiceChain: Send + Sync {
    /// Has the component `id` answer `request`, or `None` when the app has no such component.
    fn call(
        self: Arc<Self>,
        id: &str,
        request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Result<Response<WasiBody>, Error>>>;

    /// The address under which the app itself is reached, for requests to `self`.
    fn self_authority(&self) -> Option<Authority>;

    /// The client for hosts outside of the app.
    fn client(&self) -> &OutboundClient;
}

/// Stands for the chain of an instance that is only tried out; it is never made, so nothing can be called through it.
pub(super) enum NoChain {}

impl ServiceChain for NoChain {
    fn call(
        self: Arc<Self>,
        _: &str,
        _: Request<WasiBody>,
        _: RequestContext,
    ) -> Option<BoxFuture<'static, Result<Response<WasiBody>, Error>>> {
        match *self {}
    }

    fn self_authority(&self) -> Option<Authority> {
        match *self {}
    }

    fn client(&self) -> &OutboundClient {
        match *self {}
    }
}

/// Sends requests to hosts outside of the app; keeps its connections for reuse on its worker thread.
pub struct OutboundClient(Client<HttpsConnector<HttpConnector>, WasiBody>);

impl OutboundClient {
    /// A client without connections.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST_MAX)
            .build(connector);
        Self(client)
    }

    async fn send(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let first_byte = options.and_then(|options| options.first_byte_timeout).unwrap_or(FIRST_BYTE_TIMEOUT);
        let response = tokio::time::timeout(first_byte, self.0.request(request))
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(client_error)?;
        let between_bytes = options.and_then(|options| options.between_bytes_timeout).unwrap_or(BETWEEN_BYTES_TIMEOUT);
        Ok(response.map(|body| {
            let body = body.map_err(Error::from).boxed_unsync();
            Paced::new(body, between_bytes, Error::ConnectionReadTimeout).boxed_unsync()
        }))
    }
}

impl Default for OutboundClient {
    fn default() -> Self {
        Self::new()
    }
}

fn client_error(error: legacy::Error) -> Error {
    if !error.is_connect() {
        return Error::HttpProtocolError;
    }
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return match io.kind() {
                std::io::ErrorKind::TimedOut => Error::ConnectionTimeout,
                std::io::ErrorKind::ConnectionRefused => Error::ConnectionRefused,
                std::io::ErrorKind::InvalidData => Error::TlsCertificateError,
                _ if cause.to_string().contains("dns") || cause.to_string().contains("lookup") => {
                    Error::DnsError { rcode: None, info_code: None }
                }
                _ => Error::DestinationUnavailable,
            };
        }
        source = cause.source();
    }
    Error::DestinationNotFound
}

/// The outbound side of one instance.
pub(super) struct Outbound {
    component: Arc<Component>,
    chain: Weak<dyn ServiceChain>,
    /// The request on whose behalf the guest sends now.
    pub(super) on_behalf_of: Option<Arc<RequestContext>>,
}

impl Outbound {
    pub(super) fn new(component: Arc<Component>, chain: Weak<dyn ServiceChain>) -> Self {
        Self { component, chain, on_behalf_of: None }
    }

    fn send(
        &self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<BoxFuture<'static, Result<Sent, Error>>, Error> {
        let context = self.on_behalf_of.as_deref().map(RequestContext::child).unwrap_or_default();
        let authority = request.uri().authority().cloned().ok_or(Error::HttpRequestUriInvalid)?;
        // The worker is gone only when the process ends.
        let chain = self.chain.upgrade().ok_or(Error::ConnectionTerminated)?;
        if let Some(id) = service_chaining_target(authority.host()) {
            if !self.component.allowed_hosts.allows_component(id) {
                return Err(self.denied(request.uri()));
            }
            if context.depth() > CHAIN_DEPTH_MAX {
                tracing::warn!(component = %self.component.id, "the request passed through {CHAIN_DEPTH_MAX} components; taken for a loop");
                return Err(Error::LoopDetected);
            }
            let answer = chain.call(id, request, context).ok_or(Error::DestinationNotFound)?;
            return Ok(Box::pin(async move { Ok((answer.await?, done())) }));
        }
        if matches!(authority.host(), "self" | "self.alt") {
            if !self.component.allowed_hosts.allows_self() {
                return Err(self.denied(request.uri()));
            }
            let own = chain.self_authority().ok_or(Error::DestinationNotFound)?;
            redirect(&mut request, own)?;
        } else if !self.component.allowed_hosts.allows(request.uri()) {
            return Err(self.denied(request.uri()));
        }
        context.write_headers(request.headers_mut());
        Ok(Box::pin(async move { Ok((chain.client().send(request, options).await?, done())) }))
    }

    fn denied(&self, uri: &Uri) -> Error {
        tracing::warn!(
            component = %self.component.id,
            "a request to {}://{} was denied; to allow it, add the host to `allowed_outbound_hosts`",
            uri.scheme_str().unwrap_or_default(),
            // Without what may stand before the host: a password.
            uri.authority().map_or("", Authority::host),
        );
        Error::HttpRequestDenied
    }
}

fn redirect(request: &mut Request<WasiBody>, authority: Authority) -> Result<(), Error> {
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::HttpRequestUriInvalid)?;
    request.headers_mut().insert(http::header::HOST, host);
    Ok(())
}

fn done() -> Box<dyn Future<Output = Result<(), Error>> + Send> {
    Box::new(std::future::ready(Ok(())))
}

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let sending = self.send(request, options);
        Box::new(async move { sending?.await })
    }
}
