//! Requests to Stripe, with the same key for every repeat of one.

use axum::body::Bytes;
use axum::http::{Method, Request, header};
use commerce::unix_ms;
use form_urlencoded::Serializer;
use service::Transport;

use super::answer::{Answer, is_passing};

/// The version of the API that the requests and answers here are of.
const VERSION: &str = "2024-06-20";
/// Requests that one attempt makes at most.
const REQUESTS_MAX: u32 = 3;
/// A repeat starts within this time, so that one attempt never waits for two time-outs; later the sweep asks again.
const REPEAT_WITHIN_MS: i64 = 3_000;
/// How long one attempt takes at the most, in milliseconds: what came before the last request, then its waits for the
/// connection, the head and the body of the answer, of 10 s each.
pub(super) const ATTEMPT_MS_MAX: i64 = REPEAT_WITHIN_MS + 3 * 10_000;

/// An account at Stripe.
pub(super) struct Api {
    url: String,
    secret_key: String,
    transport: Transport,
}

impl Api {
    pub(super) fn new(url: &str, secret_key: &str, transport: Transport) -> Self {
        Self { url: url.trim_end_matches('/').to_owned(), secret_key: secret_key.to_owned(), transport }
    }

    /// Asks for `path` with a query.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let query = Serializer::new(String::new()).extend_pairs(query).finish();
        let separator = if query.is_empty() { "" } else { "?" };
        self.send(Method::GET, &format!("{path}{separator}{query}"), None, Bytes::new()).await
    }

    /// Posts a form to `path` under an idempotency key.
    pub(super) async fn post(&self, path: &str, key: &str, form: &[(&str, String)]) -> Result<Answer, String> {
        let form = Serializer::new(String::new()).extend_pairs(form).finish();
        self.send(Method::POST, path, Some(key), form.into()).await
    }

    /// Sends a request, again if that is safe and may help. What is left then is for a later attempt.
    async fn send(&self, method: Method, path: &str, key: Option<&str>, body: Bytes) -> Result<Answer, String> {
        let started_ms = unix_ms();
        let mut requests = 0;
        loop {
            requests += 1;
            let request = self.request(method.clone(), path, key, body.clone())?;
            let answer = (self.transport)(request).await;
            let may_repeat = requests < REQUESTS_MAX && unix_ms() - started_ms < REPEAT_WITHIN_MS;
            match answer {
                Ok(answer) if may_repeat && is_passing(answer.status()) => {}
                Err(_) if may_repeat => {}
                Ok(answer) => return Ok(Answer::new(answer.status(), answer.into_body())),
                Err(reason) => return Err(reason),
            }
        }
    }

    fn request(&self, method: Method, path: &str, key: Option<&str>, body: Bytes) -> Result<Request<Bytes>, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.secret_key))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("stripe-version", VERSION);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        // The reason could quote the key.
        request
            .body(body)
            .map_err(|_| "the request cannot be written; look at stripe_url and stripe_secret_key".to_owned())
    }
}
