//! What can go wrong in the catalog, and the answer to each case: the one place that maps errors to HTTP.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use commerce::{IdempotencyKey, PreconditionError, Problem};
use identity::IdentityError;
use serde::Serialize;

/// One thing that is wrong with an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Violation {
    field: String,
    rule: String,
}

impl Violation {
    pub(crate) fn new(field: impl Into<String>, rule: impl fmt::Display) -> Self {
        Self { field: field.into(), rule: rule.to_string() }
    }

    /// The same violation, of a field inside another.
    pub(crate) fn within(self, outer: &str) -> Self {
        Self { field: format!("{outer}.{}", self.field), ..self }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.rule)
    }
}

/// A SKU of which less is left than was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Short {
    pub(crate) sku: String,
    pub(crate) requested: u32,
    pub(crate) available: u32,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Store(#[from] sql::Error),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Precondition(#[from] PreconditionError),
    /// The request itself is unusable, which a convention shared by all services decides.
    #[error("{}", .0.to_json())]
    Convention(Problem),
    #[error("what the store holds is not what was written: {0}")]
    Corrupt(#[from] serde_json::Error),
    #[error("there is no {what} {key:?}")]
    NotFound { what: &'static str, key: String },
    #[error("the query parameter {name:?} is unusable: {reason}")]
    Query { name: String, reason: String },
    #[error("the body is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("the content type {given:?} is not one of {expected}")]
    ContentType { given: String, expected: &'static str },
    #[error("a body may have {0} bytes")]
    TooLarge(usize),
    #[error("the body broke off")]
    BrokenBody,
    #[error("{} rules are broken", .0.len())]
    Invalid(Vec<Violation>),
    #[error("the {what} {key:?} is taken")]
    Taken { what: &'static str, key: String },
    #[error("units of {0:?} are reserved by open orders")]
    Reserved(String),
    #[error("only {available} of {sku:?} can be taken away")]
    StockShort { sku: String, available: u32 },
    #[error("{} SKUs are short", .0.len())]
    OutOfStock(Vec<Short>),
    #[error("the order {0:?} reserved other lines")]
    ReservationDiffers(String),
    #[error("the reservation is {0} and cannot become {1}")]
    ReservationClosed(String, &'static str),
    #[error("the key came with another request")]
    KeyReused,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Convention(problem)
    }
}

impl Error {
    fn problem(self) -> Problem {
        let detail = self.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let problem = match self {
            Self::Identity(error) => return error.into(),
            Self::Precondition(error) => return error.into(),
            Self::Convention(problem) => return problem,
            Self::KeyReused => return IdempotencyKey::reused(),
            Self::Store(sql::Error::Statement { source: spin_sdk::sqlite::Error::DatabaseFull, .. }) => {
                return Problem::new(StatusCode::INSUFFICIENT_STORAGE, "store-full", "The store is full");
            }
            Self::Store(_) | Self::Corrupt(_) => {
                // The caller can do nothing with the reason, and it may tell what is not theirs to know.
                eprintln!("the catalog failed: {detail}");
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The catalog failed");
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
            Self::Taken { .. } => conflict("taken", "The key is taken"),
            Self::Reserved(_) => conflict("stock-reserved", "Stock is reserved"),
            Self::StockShort { available, .. } => {
                conflict("stock-short", "There is not that much stock").member("available", available)
            }
            Self::OutOfStock(short) => conflict("out-of-stock", "Not enough stock")
                .member("short", serde_json::to_value(short).unwrap_or_default()),
            Self::ReservationDiffers(_) => conflict("reservation-differs", "The order has another reservation"),
            Self::ReservationClosed(state, _) => {
                conflict("reservation-closed", "The reservation has ended").member("state", state)
            }
        };
        problem.detail(detail)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}
