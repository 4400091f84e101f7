//! What can go wrong in any service, and the answer to each case.
//!
//! A service adds its own refusals by turning them into a [`Problem`].

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use commerce::email::EmailError;
use commerce::{IdempotencyKey, PreconditionError, Problem};
use identity::IdentityError;
use serde::Serialize;

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    field: String,
    rule: String,
}

impl Violation {
    /// The rule that `field` breaks; an empty field means the input as a whole.
    pub fn new(field: impl Into<String>, rule: impl fmt::Display) -> Self {
        Self { field: field.into(), rule: rule.to_string() }
    }

    /// The same violation, of a field inside another.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

/// Why a request gets no answer of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] sql::Error),
    /// The caller is not who it has to be.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What the caller read is no longer what is there.
    #[error(transparent)]
    Precondition(#[from] PreconditionError),
    /// A refusal with an answer of its own.
    #[error("{}", .0.to_json())]
    Refused(Problem),
    /// The store holds what this version cannot read.
    #[error("what the store holds is not what was written: {0}")]
    Corrupt(#[from] serde_json::Error),
    /// Another service did not do its part.
    #[error(transparent)]
    Peer(#[from] crate::PeerError),
    /// Nothing has this key.
    #[error("there is no {what} {key:?}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its key.
        key: String,
    },
    /// A query parameter cannot be used.
    #[error("the query parameter {name:?} is unusable: {reason}")]
    Query {
        /// The parameter.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    /// The body is of a kind that the route does not read.
    #[error("the content type {given:?} is not one of {expected}")]
    ContentType {
        /// What the request said.
        given: String,
        /// What it may say.
        expected: &'static str,
    },
    /// The body has more bytes than this.
    #[error("a body may have {0} bytes")]
    TooLarge(usize),
    /// The client went away in the middle of the body.
    #[error("the body broke off")]
    BrokenBody,
    /// The input was understood, and breaks these rules.
    #[error("{} rules are broken", .0.len())]
    Invalid(Vec<Violation>),
    /// The key belongs to something else.
    #[error("the {what} {key:?} is taken")]
    Taken {
        /// What has the key.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// An idempotency key came with another request.
    #[error("the key came with another request")]
    KeyReused,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The member `email` of an input is no address.
impl From<EmailError> for Error {
    fn from(error: EmailError) -> Self {
        Self::invalid("email", error)
    }
}

impl Error {
    /// One broken rule.
    pub fn invalid(field: impl Into<String>, rule: impl fmt::Display) -> Self {
        Self::Invalid(vec![Violation::new(field, rule)])
    }

    /// The answer.
    pub fn into_problem(self) -> Problem {
        let detail = self.to_string();
        let problem = match self {
            Self::Identity(error) => return error.into(),
            Self::Precondition(error) => return error.into(),
            Self::Refused(problem) => return problem,
            Self::KeyReused => return IdempotencyKey::reused(),
            Self::Store(sql::Error::Statement { source: spin_sdk::sqlite::Error::DatabaseFull, .. }) => {
                return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store-full", "The store is full");
            }
            Self::Store(_) | Self::Corrupt(_) => {
                // The caller can do nothing with the reason, and it may tell what is not theirs to know.
                eprintln!("the service failed: {detail}");
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed");
            }
            Self::Peer(error) => {
                eprintln!("another service failed: {error}");
                return Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "peer-failed",
                    "Another service is not available",
                )
                .detail(format!("{} did not do its part; try again", error.peer));
            }
            Self::NotFound { .. } => Problem::new(StatusCode::NOT_FOUND, "not-found", "Nothing is here"),
            Self::Query { name, .. } => {
                Problem::new(StatusCode::BAD_REQUEST, "bad-query", "A query parameter is unusable")
                    .member("parameter", name)
            }
            Self::NotJson(_) => Problem::new(StatusCode::BAD_REQUEST, "malformed-json", "The body is not JSON"),
            Self::ContentType { .. } => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "The content type is not supported",
            ),
            Self::TooLarge(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
            Self::BrokenBody => Problem::new(StatusCode::BAD_REQUEST, "broken-body", "The body broke off"),
            Self::Invalid(violations) => {
                let errors = serde_json::to_value(violations).unwrap_or_default();
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The input breaks rules")
                    .member("errors", errors)
            }
            Self::Taken { .. } => Problem::new(StatusCode::CONFLICT, "taken", "The key is taken"),
        };
        problem.detail(detail)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.into_problem().into_response()
    }
}
