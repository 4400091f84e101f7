//! The way to a server: one HTTP request per pipeline.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

use super::protocol::{self, Answers, PIPELINE, Pipeline, STANDSTILL};

/// How long connecting to the server may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// How long an answer may take. A write may wait for the transactions of others, and a read may be long.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);
/// How long what was sent may stay unacknowledged before the connection counts as lost: a server whose machine is gone says nothing.
const UNACKNOWLEDGED_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an unused connection is kept; less than servers keep them, so that none is used that is just being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Size of an answer, in bytes. It is JSON, so a result takes more room than in memory.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Characters of a foreign answer that an error shows.
const SHOWN_CHARS_MAX: usize = 200;

/// No answer came.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server was not reached, so nothing was done.
    Unreached(String),
    /// It was sent, and nobody knows whether it was done.
    Unanswered(String),
    /// The server refused the whole pipeline.
    Refused(protocol::Error),
}

/// A client of one server. `Debug` does not show the token.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// The database's, without a slash at its end.
    url: String,
    authorization: HeaderValue,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Http {
    pub(super) fn new(url: &str, authorization: HeaderValue) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIME_MAX));
        // Mozilla's authorities, and those that the operating system trusts, among which a cluster's own may be.
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME_MAX)
            .build(connector);
        Self { client, url: url.to_owned(), authorization }
    }

    /// Sends a pipeline, to the stream's own URL if it has one.
    pub(super) async fn send(
        &self,
        base_url: Option<&str>,
        pipeline: &Pipeline,
        stands_still: bool,
    ) -> Result<Answers, Failure> {
        // What is sent is made of texts and finite numbers.
        let body = serde_json::to_vec(pipeline).map_err(|error| Failure::Unreached(error.to_string()))?;
        let url = format!("{}{PIPELINE}", base_url.unwrap_or(&self.url).trim_end_matches('/'));
        let uri: Uri = url.parse().map_err(|_| Failure::Unreached("its address is no URL".to_owned()))?;
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, self.authorization.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if stands_still {
            headers.insert(STANDSTILL, HeaderValue::from_static("1"));
        }
        let (status, body) = timeout(CALL_TIME_MAX, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(Failure::Unanswered(format!("no answer in {} s", CALL_TIME_MAX.as_secs()))))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| Failure::Unanswered(error.to_string()));
        }
        Err(Failure::Refused(serde_json::from_slice(&body).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(&body).chars().take(SHOWN_CHARS_MAX).collect();
            protocol::Error { message: format!("{status}: {text}"), code: None }
        })))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let answer = self.client.request(request).await.map_err(|error| {
            let why = innermost(&error);
            if error.is_connect() { Failure::Unreached(why) } else { Failure::Unanswered(why) }
        })?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::Unanswered(innermost(&*error)))?;
        Ok((parts.status, body.to_bytes()))
    }
}

/// The last cause, which says it best.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
