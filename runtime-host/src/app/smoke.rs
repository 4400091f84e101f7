//! A request that a new revision has to answer before it gets any other.

use std::sync::Arc;

use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use wasmtime_wasi_http::Error;

use super::chain::chained;
use super::revision::Live;
use crate::manifest::Smoke;
use crate::telemetry::request_context::RequestContext;

/// Bytes that the answer may have.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Asks a revision, or says what is wrong with its answer.
pub(super) async fn ask(smoke: &Smoke, live: &Live) -> Result<(), String> {
    let component = &live.component().id;
    let uri: Uri = format!("http://{component}.spin.internal{}", smoke.path)
        .parse()
        .map_err(|_| format!("the smoke request's path {:?} is none", smoke.path))?;
    let context = Arc::new(RequestContext::default());
    let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *request.method_mut() = smoke.method.clone();
    *request.uri_mut() = uri;
    // Any thread will do.
    let pool = live.pool(0).cloned().ok_or("the application is still starting")?;
    let named = |reason: String| format!("the smoke request for {} of component `{component}` {reason}", smoke.path);
    let answer = pool.instances.handle(chained(request, &context), context).await;
    let answer = answer.map_err(|error| named(format!("has failed: {error}")))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body().map_err(|error: Error| error.to_string()), BODY_BYTES_MAX).collect();
    let body = body.await.map_err(|error| named(format!("has an answer that does not end well: {error}")))?.to_bytes();
    match smoke.status {
        Some(expected) if status != expected => {
            return Err(named(format!("was answered {status}; expected {expected}")));
        }
        None if !status.is_success() => return Err(named(format!("was answered {status}; expected success"))),
        _ => {}
    }
    match &smoke.body_contains {
        Some(text) if !String::from_utf8_lossy(&body).contains(text) => {
            Err(named(format!("has an answer without {text:?}")))
        }
        _ => Ok(()),
    }
}
