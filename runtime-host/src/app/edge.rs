//! What the gateway needs of a worker thread: the keys of tokens, and answers for what it refuses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use tokio::time::timeout;
use wasmtime_wasi_http::WasiBody;

use super::Worker;
use crate::allowed_hosts::{is_service_chaining_host, service_chaining_target};
use crate::engine::outbound_http::ServiceChain as _;
use crate::gateway::{KeySource, Refusal};
use crate::problem::Problem;
use crate::telemetry::metrics::HOST;
use crate::telemetry::request_context::RequestContext;

/// How long the keys of tokens may take to come, and how many bytes they may be.
const KEYS_TIMEOUT: Duration = Duration::from_secs(5);
const KEYS_BYTES_MAX: usize = 64 << 10;

impl KeySource for Worker {
    fn fetch(self: Arc<Self>, url: Uri) -> BoxFuture<'static, Result<Bytes, String>> {
        Box::pin(async move {
            let fetched = timeout(KEYS_TIMEOUT, keys(self, url)).await;
            fetched.unwrap_or_else(|_| Err(format!("there is no answer within {} s", KEYS_TIMEOUT.as_secs())))
        })
    }
}

/// Asks a component, or anybody, for the keys of tokens.
async fn keys(worker: Arc<Worker>, url: Uri) -> Result<Bytes, String> {
    let host = url.host().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *request.uri_mut() = url;
    let (status, body) = match service_chaining_target(&host) {
        None if is_service_chaining_host(&host) => return Err(format!("there is no component at {host}")),
        Some(component) => {
            let answer = worker.call(component, request, RequestContext::default());
            let answer = answer.ok_or_else(|| format!("there is no component `{component}`"))?.await;
            (answer.status(), Limited::new(answer.into_body(), KEYS_BYTES_MAX).collect().await)
        }
        None => {
            let answer = worker.client().send(HOST, request, None).await.map_err(|error| error.to_string())?;
            (answer.status(), Limited::new(answer.into_body(), KEYS_BYTES_MAX).collect().await)
        }
    };
    if !status.is_success() {
        return Err(format!("the answer is {status}"));
    }
    body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

/// The answer to what goes no further.
pub(super) fn refused(refusal: Refusal, context: &RequestContext) -> Response<WasiBody> {
    let problem = match refusal {
        Refusal::Preflight => return empty(StatusCode::NO_CONTENT),
        Refusal::Redirect(status) => return empty(status),
        Refusal::ContentTooLarge => Problem::ContentTooLarge,
        Refusal::AmbiguousPath => Problem::AmbiguousPath,
        Refusal::NoToken | Refusal::BadToken => Problem::Unauthenticated,
        Refusal::Forbidden => Problem::Forbidden,
        Refusal::RateLimited => Problem::RateLimited,
        Refusal::KeysUnavailable => Problem::KeysUnavailable,
        Refusal::Busy | Refusal::Shed => Problem::Overloaded,
        Refusal::BreakerOpen => Problem::Unavailable,
    };
    problem.response(context.request_id())
}

fn empty(status: StatusCode) -> Response<WasiBody> {
    let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}
