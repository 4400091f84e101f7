//! Error answers of the host itself, as RFC 9457 problem documents.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

/// What went wrong, with a stable type that clients may compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No route matches the path.
    NotFound,
    /// The request's host is missing or malformed, is not the same in URI and `Host`, or is one of a component's.
    BadRequest,
    /// The request body is coded in a way that the host does not know.
    UnknownTransferCoding,
    /// The host is one for testers, and the request does not show that it may.
    NoPreview,
    /// The request body is larger than the listener allows.
    ContentTooLarge,
    /// The path and query are longer than the listener allows.
    UriTooLong,
    /// The client stopped sending the request body.
    BodyTimeout,
    /// The request body is not framed as it has to be, or ends early.
    BrokenBody,
    /// The component trapped or broke its protocol.
    ComponentFailed,
    /// The component's queue is full.
    Overloaded,
    /// The path may be read in more than one way.
    AmbiguousPath,
    /// The rule for this request asks for a token, and there is none that counts.
    Unauthenticated,
    /// The token's bearer may not.
    Forbidden,
    /// The client has asked more often than it may.
    RateLimited,
    /// The keys by which tokens are verified cannot be had.
    KeysUnavailable,
    /// The client wants only what is stored, and it is not.
    NotCached,
    /// The component did not answer in time.
    DeadlineExceeded,
    /// A service outside of the host did not answer, or not as HTTP has it.
    BadGateway,
    /// The answer is not what the gateway could make the one for clients of.
    UnfitAnswer,
    /// There is nobody who could be asked.
    Unavailable,
}

impl Problem {
    /// The HTTP status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest | Self::AmbiguousPath | Self::BrokenBody => StatusCode::BAD_REQUEST,
            Self::UnknownTransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::NoPreview => StatusCode::FORBIDDEN,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ComponentFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway | Self::UnfitAnswer => StatusCode::BAD_GATEWAY,
            Self::Overloaded | Self::KeysUnavailable | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::DeadlineExceeded | Self::NotCached => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn name_and_title(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => ("no-such-route", "No route matches this path"),
            Self::BadRequest => ("bad-request", "The request does not name one host that it may ask"),
            Self::UnknownTransferCoding => (
                "unknown-transfer-coding",
                "The body may be sent with `transfer-encoding: chunked`, once, and no other",
            ),
            Self::NoPreview => ("no-preview", "This host is for testers, who have a token"),
            Self::ContentTooLarge => ("content-too-large", "The request body is too large"),
            Self::UriTooLong => ("uri-too-long", "The path and query are too long"),
            Self::BodyTimeout => ("body-timeout", "The request body did not come in time"),
            Self::BrokenBody => ("broken-body", "The request body is malformed or ends early"),
            Self::ComponentFailed => ("component-failed", "The service failed while it worked on the request"),
            Self::Overloaded => ("overloaded", "The service has too many requests waiting; try again later"),
            Self::DeadlineExceeded => ("deadline-exceeded", "The service did not answer in time"),
            Self::BadGateway => ("bad-gateway", "The service behind this one could not be reached or broke off"),
            Self::UnfitAnswer => ("unfit-answer", "The service answered with what cannot be passed on"),
            Self::Unavailable => ("unavailable", "The service is out of order for now; try again later"),
            Self::NotCached => ("not-cached", "There is no stored answer, and the request asks for no other"),
            Self::AmbiguousPath => {
                ("ambiguous-path", "The path has empty, `.` or `..` segments, or encoded slashes; write it plainly")
            }
            Self::Unauthenticated => ("unauthenticated", "This needs a valid access token"),
            Self::Forbidden => ("forbidden", "Who holds this token may not do this"),
            Self::RateLimited => ("rate-limited", "Too many requests; try again later"),
            Self::KeysUnavailable => ("keys-unavailable", "Tokens cannot be verified now; try again later"),
        }
    }

    /// The whole answer. It never tells more than the kind of the failure; the details are in the log under the request id.
    pub fn response(self, request_id: &str) -> Response<WasiBody> {
        let (name, title) = self.name_and_title();
        let status = self.status();
        let document = serde_json::json!({
            "type": format!("urn:bodega:problem:{name}"),
            "title": title,
            "status": status.as_u16(),
            "request_id": request_id,
        });
        let body = Full::new(Bytes::from(document.to_string())).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
