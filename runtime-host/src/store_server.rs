//! Serves SQLite databases to other hosts, by Hrana over HTTP: the other side of `stores::libsql`, and of any libSQL client.
//!
//! | route | answer |
//! |---|---|
//! | `POST /{label}/v2/pipeline`, `/{label}/v3/pipeline` | runs a pipeline on the database of the label; needs the token |
//! | `GET /{label}/v2` | 200: the version is spoken. Version 3 is but for its cursors, so it is not said to be |
//! | `GET /livez`, `/readyz`, `/startupz` | health |
//!
//! Transactions are held by the database's own writer, which bounds how long one may stay open. A stream is a handle on the database; its
//! client names it by a baton, which is another one after each pipeline.

mod pipeline;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use subtle::ConstantTimeEq as _;

use self::streams::{Streams, Unavailable};
use crate::listener::{ConnectionInfo, Handler, IncomingBody, Refusal};
use crate::stores::libsql::protocol::{self, Pipeline, STANDSTILL, TRANSACTION_LOST};
use crate::stores::sqlite::Database;
use crate::telemetry::Telemetry;

pub use self::streams::STREAM_IDLE_TIME_MAX;

/// Size of a pipeline, in bytes.
pub const PIPELINE_BYTES_MAX: u64 = 64 << 20;

/// The databases and who may use them.
pub struct StoreServer {
    databases: BTreeMap<String, Arc<Database>>,
    token: String,
    streams: Streams,
    telemetry: Arc<Telemetry>,
}

impl StoreServer {
    /// Serves these databases, by label, to those who show the token.
    pub fn new(databases: BTreeMap<String, Arc<Database>>, token: String, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self { databases, token, streams: Streams::default(), telemetry })
    }

    /// Streams that are open between two pipelines.
    pub fn streams_open(&self) -> usize {
        self.streams.count()
    }

    /// Closes, again and again, the streams that nobody has used for `STREAM_IDLE_TIME_MAX`.
    pub async fn close_idle_streams(&self) -> ! {
        self.streams.close_idle().await
    }

    async fn answer(&self, request: Request<IncomingBody>) -> Response<Full<Bytes>> {
        if let Some(answer) = self.telemetry.reserved(request.uri().path()) {
            return answer;
        }
        let Some((label, what)) = split(request.uri().path()) else {
            return problem(StatusCode::NOT_FOUND, "there is no such endpoint");
        };
        // Who shows no token does not learn which labels there are.
        if !carries(request.headers(), &self.token) {
            let mut refused = problem(StatusCode::UNAUTHORIZED, "this needs the stores' token");
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        let Some(database) = self.databases.get(label) else {
            return problem(StatusCode::NOT_FOUND, &format!("no database `{label}` is served here"));
        };
        match (request.method(), what) {
            (&Method::GET, "v2") => json(StatusCode::OK, &serde_json::json!({})),
            (&Method::POST, "v2/pipeline" | "v3/pipeline") => {
                let (label, database) = (label.to_owned(), database.clone());
                self.run(&label, &database, request).await
            }
            (_, "v2" | "v2/pipeline" | "v3/pipeline") => {
                problem(StatusCode::METHOD_NOT_ALLOWED, "the endpoint has no such method")
            }
            _ => problem(StatusCode::NOT_FOUND, "there is no such endpoint"),
        }
    }

    async fn run(
        &self,
        label: &str,
        database: &Arc<Database>,
        request: Request<IncomingBody>,
    ) -> Response<Full<Bytes>> {
        let stands_still = request.headers().contains_key(STANDSTILL);
        let Ok(body) = request.into_body().collect().await else {
            return problem(StatusCode::BAD_REQUEST, "the request body broke off");
        };
        let pipeline: Pipeline = match serde_json::from_slice(&body.to_bytes()) {
            Ok(pipeline) => pipeline,
            Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("the pipeline is not understood: {error}")),
        };
        let stream = match self.streams.take(label, database, pipeline.baton.as_deref()) {
            Ok(stream) => stream,
            Err(unavailable) => return refusal(unavailable),
        };
        // If the client goes away, this is dropped, and the stream with it: its transaction is rolled back.
        let (stream, results) = pipeline::run(stream, pipeline.requests, stands_still).await;
        // What was done is done, so it is told; without room for the stream there is none any more, and with it no transaction.
        let baton = stream.and_then(|stream| self.streams.keep(stream).ok());
        json(StatusCode::OK, &protocol::Answers { baton, base_url: None, results })
    }
}

/// The handler of one worker.
#[derive(Clone)]
pub struct Serving(pub Arc<StoreServer>);

impl Handler for Serving {
    type Body = Full<Bytes>;

    async fn handle(&self, request: Request<IncomingBody>, _: &ConnectionInfo) -> Response<Full<Bytes>> {
        self.0.answer(request).await
    }

    fn refuse(&self, _: &Request<()>, refusal: Refusal) -> Response<Full<Bytes>> {
        let (status, message) = match refusal {
            Refusal::BadHost => (StatusCode::BAD_REQUEST, "the request does not name one host"),
            Refusal::UnknownTransferCoding => (StatusCode::NOT_IMPLEMENTED, "the transfer coding is not known"),
            Refusal::ContentTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the pipeline is too large"),
            Refusal::UriTooLong => (StatusCode::URI_TOO_LONG, "the path is too long"),
            Refusal::BrokenBody => (StatusCode::BAD_REQUEST, "the request body is broken off or malformed"),
            Refusal::BodyTimeout => (StatusCode::REQUEST_TIMEOUT, "the request body did not come in time"),
        };
        problem(status, message)
    }
}

/// The label and what follows it.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

/// Whether the request carries `token`; takes as long for a nearly right one as for a wrong one.
fn carries(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}

fn refusal(unavailable: Unavailable) -> Response<Full<Bytes>> {
    let message = unavailable.to_string();
    match unavailable {
        Unavailable::Unknown => error(StatusCode::NOT_FOUND, &message, Some(TRANSACTION_LOST)),
        Unavailable::TooMany => {
            let mut refused = error(StatusCode::SERVICE_UNAVAILABLE, &message, None);
            refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            refused
        }
        Unavailable::Random => error(StatusCode::INTERNAL_SERVER_ERROR, &message, None),
    }
}

/// An error as Hrana has it.
fn problem(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    error(status, message, None)
}

fn error(status: StatusCode, message: &str, code: Option<&str>) -> Response<Full<Bytes>> {
    json(status, &protocol::Error { message: message.to_owned(), code: code.map(str::to_owned) })
}

fn json(status: StatusCode, document: &impl serde::Serialize) -> Response<Full<Bytes>> {
    // Texts and finite numbers always serialize.
    let body = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
