//! Errors as RFC 9457 `application/problem+json`, one shape for every service.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Every problem type is this prefix and a stable kebab-case name.
pub const TYPE_PREFIX: &str = "urn:bodega:problem:";

/// An error answer.
///
/// Clients branch on `type`; `title` is fixed per type, `detail` is about this occurrence.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

/// Boxed, so that every `Result` that may hold a problem stays small.
#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    kind: &'static str,
    title: &'static str,
    detail: Option<String>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of the type [`TYPE_PREFIX`] + `kind`.
    pub fn new(status: StatusCode, kind: &'static str, title: &'static str) -> Self {
        Self(Box::new(Parts { status, kind, title, detail: None, members: Map::new(), headers: Vec::new() }))
    }

    /// What went wrong this time, for a human.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// An extension member that a program can use.
    #[must_use]
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header that belongs to the answer, such as `WWW-Authenticate`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Value {
        let Parts { status, kind, title, detail, members, .. } = &*self.0;
        let mut body = Map::new();
        body.insert("type".into(), format!("{TYPE_PREFIX}{kind}").into());
        body.insert("title".into(), (*title).into());
        body.insert("status".into(), status.as_u16().into());
        if let Some(detail) = detail {
            body.insert("detail".into(), detail.clone().into());
        }
        body.extend(members.clone());
        Value::Object(body)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.0.status, content_type, self.to_json().to_string()).into_response();
        response.headers_mut().extend(self.0.headers);
        response
    }
}

/// The answer where nothing is found; also the fallback of a router.
pub async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing is here")
}

/// The answer to a method that a path does not have.
pub async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path does not have this method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::new(StatusCode::CONFLICT, "out-of-stock", "Not enough stock")
            .detail("1 SKU is short")
            .member("short", vec!["BOOT-42"]);
        assert_eq!(
            problem.to_json(),
            serde_json::json!({
                "type": "urn:bodega:problem:out-of-stock",
                "title": "Not enough stock",
                "status": 409,
                "detail": "1 SKU is short",
                "short": ["BOOT-42"],
            })
        );
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
