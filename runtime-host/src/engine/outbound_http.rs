//! Requests that guests send: service chaining inside the process, and HTTP to the hosts that the manifest allows.

use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::uri::Authority;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::component::Component;
use super::outbound_client::OutboundClient;
use crate::allowed_hosts::service_chaining_target;
use crate::telemetry::request_context::RequestContext;

/// The host of requests that name none, which are requests to the app itself, as in Spin.
pub(super) const SELF_ALT: &str = "self.alt";
/// How many components one request may pass through in a row before it is taken for a loop.
const CHAIN_DEPTH_MAX: u32 = 16;

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

    /// Has the app answer `request` as if it had come in on the public listener, or `None` before there is one.
    fn call_self(
        self: Arc<Self>,
        request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>>;

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

    fn call_self(
        self: Arc<Self>,
        _: Request<WasiBody>,
        _: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        match *self {}
    }

    fn client(&self) -> &OutboundClient {
        match *self {}
    }
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
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<BoxFuture<'static, Result<Sent, Error>>, Error> {
        let context = self.on_behalf_of.take().as_deref().map(RequestContext::child).unwrap_or_default();
        let authority = request.uri().authority().cloned().ok_or(Error::HttpRequestUriInvalid)?;
        let allowed_hosts = &self.component.allowed_hosts;
        let destination = Destination::of(authority.host());
        let allowed = match destination {
            Destination::Component(id) => allowed_hosts.allows_component(id),
            Destination::Own => allowed_hosts.allows_self(),
            Destination::Outside => allowed_hosts.allows(request.uri()),
        };
        if !allowed {
            return Err(self.denied(request.uri()));
        }
        // The worker is gone only when the process ends.
        let chain = self.chain.upgrade().ok_or(Error::ConnectionTerminated)?;
        let is_head = request.method() == Method::HEAD;
        let answer = match destination {
            Destination::Outside => {
                context.write_headers(request.headers_mut());
                let component = self.component.clone();
                return Ok(Box::pin(async move {
                    Ok((chain.client().send(&component.id, request, options).await?, done()))
                }));
            }
            _ if context.depth() > CHAIN_DEPTH_MAX => {
                tracing::warn!(component = %self.component.id, "the request passed through {CHAIN_DEPTH_MAX} components; taken for a loop");
                return Err(Error::LoopDetected);
            }
            Destination::Component(id) => chain.call(id, request, context),
            Destination::Own => chain.call_self(request, context).map(|answer| answer.map(Ok).boxed()),
        };
        let answer = answer.ok_or(Error::DestinationNotFound)?;
        Ok(Box::pin(async move {
            let response = answer.await?;
            // Over a connection, nothing would follow the head.
            let response = if is_head { response.map(|_| nothing()) } else { response };
            Ok((response, done()))
        }))
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

/// Where a request goes, by its host.
#[derive(Clone, Copy)]
enum Destination<'h> {
    /// A component of the app, by its id.
    Component(&'h str),
    /// The app's own routes.
    Own,
    /// Any other host.
    Outside,
}

impl<'h> Destination<'h> {
    fn of(host: &'h str) -> Self {
        match service_chaining_target(host) {
            Some(id) => Self::Component(id),
            None if matches!(host, "self" | SELF_ALT) => Self::Own,
            None => Self::Outside,
        }
    }
}

fn nothing() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
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
