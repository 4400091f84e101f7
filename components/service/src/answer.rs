//! An answer with what belongs to it, in a form that can be kept and given again.

use axum::body::Body;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// A JSON answer to a write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    body: String,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: impl Into<String>) -> Self {
        Self { status: 200, etag: None, location: None, body: body.into() }
    }

    /// 201 with the path of what was made; characters beyond ASCII are percent-encoded.
    pub fn created(path: &str, body: impl Into<String>) -> Self {
        let location = utf8_percent_encode(path, CONTROLS).to_string();
        Self { status: 201, location: Some(location), ..Self::ok(body) }
    }

    /// The entity tag of what the body shows.
    #[must_use]
    pub fn etag(self, etag: String) -> Self {
        Self { etag: Some(etag), ..self }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = json(self.body);
        // A status that was written down as a number is one that was sent before.
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or_default();
        for (name, value) in [(header::ETAG, self.etag), (header::LOCATION, self.location)] {
            set(&mut response, name, value);
        }
        response
    }
}

/// 200 with JSON that is sent as it is.
pub fn json(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

fn set(response: &mut Response, name: HeaderName, value: Option<String>) {
    // Entity tags are digits and locations percent-encoded, so both are always header values.
    if let Some(value) = value.and_then(|value| value.parse().ok()) {
        response.headers_mut().insert(name, value);
    }
}
