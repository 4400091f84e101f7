//! Requests that guests send: service chaining inside the process, and HTTP to the hosts that the manifest allows.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use futures::future::BoxFuture;
use http::response;
use http::uri::Authority;
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::component::Component;
use super::outbound_client::OutboundClient;
use crate::allowed_hosts::{is_service_chaining_host, service_chaining_target};
use crate::telemetry::request_context::RequestContext;
use crate::telemetry::spans::{self, Kind, Span, Tracer};

/// The host of requests that name none, which are requests to the app itself, as in Spin.
pub(super) const SELF_ALT: &str = "self.alt";
/// How many components one request may pass through in a row before it is taken for a loop.
const CHAIN_DEPTH_MAX: u32 = 16;

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// Calls from component to component within the process.
pub trait ServiceChain: Send + Sync {
    /// Has the component `id` answer `request`, or `None` when the app has no such component. The case of `id` does not
    /// matter, as it does not in the name of a host. A component that fails answers as it would to a client.
    fn call(
        self: Arc<Self>,
        id: &str,
        request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>>;

    /// Has the app answer `request` as if it had come in on the public listener, or `None` before there is one.
    fn call_self(
        self: Arc<Self>,
        request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>>;

    /// Is told of every answer before it leaves its instance, also if nobody waits for it any more.
    fn answered(&self, head: &mut response::Parts);

    /// The client for hosts outside of the app.
    fn client(&self) -> &OutboundClient;

    /// Who records the trace of a request, if it is recorded.
    fn tracer_of(&self, context: &RequestContext) -> Option<&Tracer>;
}

/// Stands for the chain of an instance that is only tried out; it is never made, so nothing can be called through it.
pub(super) enum NoChain {}

impl ServiceChain for NoChain {
    fn call(
        self: Arc<Self>,
        _: &str,
        _: Request<WasiBody>,
        _: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        match *self {}
    }

    fn call_self(
        self: Arc<Self>,
        _: Request<WasiBody>,
        _: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        match *self {}
    }

    fn answered(&self, _: &mut response::Parts) {
        match *self {}
    }

    fn client(&self) -> &OutboundClient {
        match *self {}
    }

    fn tracer_of(&self, _: &RequestContext) -> Option<&Tracer> {
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
        let host = authority.host().to_ascii_lowercase();
        let destination = Destination::of(&host);
        let allowed_hosts = &self.component.allowed_hosts;
        let allowed = match destination {
            Destination::Own => allowed_hosts.allows_self(),
            // The whole URL counts, also when it names a component: an entry speaks of one scheme and port.
            Destination::Component(_) | Destination::Nobody | Destination::Outside => {
                allowed_hosts.allows(request.uri())
            }
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
                    let Some(tracer) = chain.tracer_of(&context) else {
                        return Ok((chain.client().send(&component.id, request, options).await?, done()));
                    };
                    let (started, mut span) =
                        (Instant::now(), outbound_span(&component.id, &context, &request, &authority));
                    let answer = chain.client().send(&component.id, request, options).await;
                    span.status = answer.as_ref().ok().map(Response::status);
                    (span.started, span.duration) = spans::began(started);
                    tracer.record(span);
                    Ok((answer?, done()))
                }));
            }
            _ if context.depth() > CHAIN_DEPTH_MAX => {
                tracing::warn!(component = %self.component.id, "the request passed through {CHAIN_DEPTH_MAX} components; taken for a loop");
                return Err(Error::LoopDetected);
            }
            Destination::Nobody => None,
            Destination::Component(id) => chain.call(id, request, context),
            Destination::Own => chain.call_self(request, context),
        };
        let answer = answer.ok_or(Error::DestinationNotFound)?;
        Ok(Box::pin(async move {
            let response = answer.await;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination<'h> {
    /// A component of the app, by its id.
    Component(&'h str),
    /// The app's own routes.
    Own,
    /// A name that only a component could have, and none has: asking the network would tell others what runs here.
    Nobody,
    /// Any other host.
    Outside,
}

impl<'h> Destination<'h> {
    /// Of a host in lower case.
    fn of(host: &'h str) -> Self {
        // The same name, written so that no resolver completes it.
        let host = host.strip_suffix('.').unwrap_or(host);
        match service_chaining_target(host) {
            Some(id) => Self::Component(id),
            None if is_service_chaining_host(host) => Self::Nobody,
            // Some SDKs turn a URL without a host into one with an empty host.
            None if matches!(host, "" | SELF_ALT) => Self::Own,
            None => Self::Outside,
        }
    }
}

/// What a trace tells of a request to somebody outside: to which host, and not for what.
fn outbound_span(component: &str, context: &RequestContext, request: &Request<WasiBody>, to: &Authority) -> Span {
    let mut attributes = vec![("bodega.component", component.to_owned()), ("server.address", to.host().to_owned())];
    attributes.extend(to.port().map(|port| ("server.port", port.as_str().to_owned())));
    Span {
        trace: context.trace(),
        parent: context.parent(),
        kind: Kind::Client,
        name: request.method().to_string(),
        method: request.method().clone(),
        status: None,
        started: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        attributes,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_says_where_a_request_goes() {
        for (host, destination) in [
            ("cart.spin.internal", Destination::Component("cart")),
            ("cart.spin.internal.", Destination::Component("cart")),
            ("spin.internal", Destination::Nobody),
            ("a.cart.spin.internal", Destination::Nobody),
            ("self.alt", Destination::Own),
            ("", Destination::Own),
            // As in Spin, where only a URL without a host and `self.alt` mean the app itself.
            ("self", Destination::Outside),
            ("cart.spin.internal.example", Destination::Outside),
        ] {
            assert_eq!(Destination::of(host), destination, "{host:?}");
        }
    }
}
