//! A request that a new revision has to answer before it gets any other.

use std::sync::Arc;

use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use serde::Serialize;
use wasmtime_wasi_http::Error;

use super::revision::Live;
use super::worker::chained;
use crate::telemetry::request_context::RequestContext;

/// Bytes that the answer may have.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A GET request and the answer that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Smoke {
    /// Path and query.
    pub path: String,
    /// The status that is expected; by default any from 200 to 299.
    pub status: Option<u16>,
}

impl Smoke {
    /// Asks a revision, or says what is wrong with its answer.
    pub(super) async fn ask(&self, live: &Live) -> Result<(), String> {
        let component = &live.component().id;
        let uri: Uri = format!("http://{component}.spin.internal{}", self.path)
            .parse()
            .map_err(|_| format!("the smoke request's path {:?} is none", self.path))?;
        let context = Arc::new(RequestContext::default());
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.uri_mut() = uri;
        // Any thread will do.
        let pool = live.pool(0).cloned().ok_or("the application is still starting")?;
        let named = |reason: String| format!("the smoke request for {} of component `{component}` {reason}", self.path);
        let answer = pool.handle(chained(request, &context), context).await;
        let answer = answer.map_err(|error| named(format!("has failed: {error}")))?;
        let status = answer.status();
        let ended =
            Limited::new(answer.into_body().map_err(|error: Error| error.to_string()), BODY_BYTES_MAX).collect();
        ended.await.map_err(|error| named(format!("has an answer that does not end well: {error}")))?;
        match self.status {
            Some(expected) if status.as_u16() != expected => {
                Err(named(format!("was answered {status}; expected {expected}")))
            }
            None if !status.is_success() => Err(named(format!("was answered {status}; expected success"))),
            _ => Ok(()),
        }
    }
}
