//! Calls to the shop's other services over HTTP, with every wait and size bounded.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use identity::INTERNAL_SECRET_HEADER;
use serde::Serialize;
use serde::de::DeserializeOwned;
use spin_sdk::wasip3::http::types::RequestOptions;
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// How long connecting, and then each wait for the answer, may take.
const TIMEOUT_NS: u64 = 10_000_000_000;

/// How requests get to a peer.
pub type Transport = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, String>> + Send + Sync>;

/// Another service of the shop.
#[derive(Clone)]
pub struct Peer {
    name: &'static str,
    url: String,
    internal_secret: String,
    transport: Transport,
}

/// Another service did not do its part: there was no answer, or one that nobody expects.
#[derive(Debug, thiserror::Error)]
#[error("{peer}: {reason}")]
pub struct PeerError {
    /// The service.
    pub peer: &'static str,
    /// What happened, for the log.
    pub reason: String,
}

/// A peer's answer.
#[derive(Debug)]
pub struct Reply {
    peer: &'static str,
    /// Its status.
    pub status: StatusCode,
    /// Its entity tag, if it has one.
    pub etag: Option<HeaderValue>,
    /// Its body.
    pub body: Bytes,
}

impl Peer {
    /// The service at `url`, such as `http://catalog.spin.internal`; `internal_secret` is shown with every request.
    pub fn new(name: &'static str, url: &str, internal_secret: &str, transport: Transport) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        Self { name, url, internal_secret: internal_secret.to_owned(), transport }
    }

    /// Asks for `path`, with its query.
    pub async fn get(&self, path: &str) -> Result<Reply, PeerError> {
        self.send(Method::GET, path, Bytes::new(), None).await
    }

    /// Asks for `path`, unless it still has the entity tag that is known; then the answer is 304.
    pub async fn get_unless(&self, path: &str, known: Option<HeaderValue>) -> Result<Reply, PeerError> {
        self.send(Method::GET, path, Bytes::new(), known).await
    }

    /// Posts JSON to `path`.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<Reply, PeerError> {
        let body = serde_json::to_vec(body).map_err(|error| self.failed(error))?;
        self.send(Method::POST, path, body.into(), None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        known: Option<HeaderValue>,
    ) -> Result<Reply, PeerError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/json");
        if !self.internal_secret.is_empty() {
            request = request.header(INTERNAL_SECRET_HEADER, &self.internal_secret);
        }
        if let Some(etag) = known {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let request = request.body(body).map_err(|error| self.failed(error))?;
        let (parts, body) = (self.transport)(request).await.map_err(|reason| self.failed(reason))?.into_parts();
        Ok(Reply { peer: self.name, status: parts.status, etag: parts.headers.get(header::ETAG).cloned(), body })
    }

    fn failed(&self, reason: impl ToString) -> PeerError {
        PeerError { peer: self.name, reason: reason.to_string() }
    }
}

impl Reply {
    /// The body as its type; any other status than success is a failure of the peer.
    pub fn expect<T: DeserializeOwned>(self) -> Result<T, PeerError> {
        if !self.status.is_success() {
            return Err(self.unexpected());
        }
        serde_json::from_slice(&self.body).map_err(|error| PeerError { peer: self.peer, reason: error.to_string() })
    }

    /// The `type` of a problem document, without its prefix.
    pub fn problem(&self) -> Option<String> {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(problem.get("type")?.as_str()?.strip_prefix(commerce::TYPE_PREFIX)?.to_owned())
    }

    /// An answer that the caller has no use for.
    pub fn unexpected(self) -> PeerError {
        let problem = self.problem().unwrap_or_default();
        PeerError { peer: self.peer, reason: format!("it answered {} {problem}", self.status) }
    }
}

/// Requests over `wasi:http`.
pub fn wasi_http() -> Transport {
    Arc::new(|request| {
        Box::pin(async move {
            let options = RequestOptions::new();
            // A host that does not take a timeout keeps its own.
            let _ = options.set_connect_timeout(Some(TIMEOUT_NS));
            let _ = options.set_first_byte_timeout(Some(TIMEOUT_NS));
            let _ = options.set_between_bytes_timeout(Some(TIMEOUT_NS));
            let mut request = request.map(Full::new);
            request.extensions_mut().insert(RequestOptionsExtension(options));
            let response = spin_sdk::http::send(request).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        })
    })
}
