//! Requests from within the application: of a component to another one, or to the application itself.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use wasmtime_wasi_http::WasiBody;

use super::report::{Answered, Asked};
use super::worker::{Arrival, absolute};
use super::{Origin, Worker};
use crate::engine::outbound_client::OutboundClient;
use crate::engine::outbound_http::ServiceChain;
use crate::router::{CHAINED_ROUTE, Match, RequestFacts};
use crate::telemetry::request_context::{REQUEST_ID, RequestContext};
use crate::telemetry::spans::Tracer;

/// Where a request that one component sends to another by name seems to come from, as in Spin.
const CHAIN_PEER: &str = "0.0.0.0:0";
/// Where a request of a component to the application itself seems to come from: in Spin it comes over a connection.
const SELF_PEER: &str = "127.0.0.1:0";

impl Worker {
    /// The answer to a request of a component to the application itself, which does not come through the gateway.
    async fn answer(&self, arrival: Arrival, mut context: Arc<RequestContext>) -> Response<WasiBody> {
        let asked = Asked::new(&arrival.request);
        let (mut response, answered) = self.answer_by_route(arrival, None, &mut context, &mut None).await;
        response.headers_mut().insert(REQUEST_ID, context.request_id_header());
        self.report(asked, context, answered, response)
    }
}

impl ServiceChain for Worker {
    fn call(
        self: Arc<Self>,
        id: &str,
        request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        let place = self.app.place_of(id)?;
        Some(Box::pin(async move {
            let request = chained(request, &context);
            let mut context = Arc::new(context);
            // Decided where the request came in from outside, if it did.
            self.place_request(&mut context, request.headers());
            let asked = Asked::new(&request);
            let response = self.dispatch(place, request, context.clone()).await;
            self.report(
                asked,
                context,
                Answered { place: Some(place), route: CHAINED_ROUTE, ..Answered::default() },
                response,
            )
        }))
    }

    fn call_self(
        self: Arc<Self>,
        mut request: Request<WasiBody>,
        context: RequestContext,
    ) -> Option<BoxFuture<'static, Response<WasiBody>>> {
        let Origin { scheme, authority } = self.app.origin.get()?.clone();
        Some(Box::pin(async move {
            if let Some(response) = self.app.reserved(request.uri().path()) {
                return response;
            }
            if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                request.headers_mut().insert(HOST, host);
            }
            *request.uri_mut() = absolute(request.uri(), scheme.clone(), authority);
            let arrival = Arrival { request, scheme, client: HeaderValue::from_static(SELF_PEER) };
            let mut response = self.answer(arrival, Arc::new(context)).await;
            set_content_length(&mut response);
            response
        }))
    }

    fn answered(&self, head: &mut http::response::Parts) {
        self.purge(head);
    }

    fn client(&self) -> &OutboundClient {
        &self.client
    }

    fn tracer_of(&self, context: &RequestContext) -> Option<&Tracer> {
        self.app.telemetry.tracer_of(context)
    }
}

/// A request from within the application, with the headers by which a component knows it.
pub(super) fn chained(request: Request<WasiBody>, context: &RequestContext) -> Request<WasiBody> {
    let (mut parts, body) = request.into_parts();
    let host = parts.uri.authority().map(Authority::as_str).unwrap_or_default().to_owned();
    let client = HeaderValue::from_static(CHAIN_PEER);
    let facts = RequestFacts { scheme: &Scheme::HTTP, host: &host, uri: &parts.uri, client: &client };
    Match::chained(&(), parts.uri.path()).set_headers(&facts, &mut parts.headers);
    context.write_headers(&mut parts.headers);
    Request::from_parts(parts, body)
}

/// Tells the length of a body that is there as a whole, as it would on a connection.
fn set_content_length(response: &mut Response<WasiBody>) {
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    if let Some(bytes) = response.body().size_hint().exact()
        && !bodiless
    {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(bytes.into());
    }
}
