//! Why a caller is turned away, and the answer that says so.

use axum::http::{HeaderValue, StatusCode, header};
use commerce::Problem;

use crate::Role;

/// Why a caller is turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// There is no bearer token.
    #[error("send a bearer token in the Authorization header")]
    Missing,
    /// There is one, and it proves nothing. The reason holds nothing that the caller did not send.
    #[error("{0}")]
    Invalid(&'static str),
    /// The caller is known and may not do this.
    #[error("this takes the role {0:?}")]
    Forbidden(Role),
    /// The keys could not be had, so nothing can be verified now.
    #[error("the keys to verify tokens with are not available")]
    Unavailable,
}

/// 401 with the challenge of RFC 6750, 403, or 503.
impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let unauthorized = |challenge| {
            Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid token is required")
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        };
        let problem = match error {
            IdentityError::Missing => unauthorized("Bearer"),
            IdentityError::Invalid(_) => unauthorized("Bearer error=\"invalid_token\""),
            IdentityError::Forbidden(_) => {
                Problem::new(StatusCode::FORBIDDEN, "forbidden", "The role does not allow this")
            }
            IdentityError::Unavailable => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "identity-unavailable", "Tokens cannot be verified now")
                    .header(header::RETRY_AFTER, HeaderValue::from_static("10"))
            }
        };
        problem.detail(error.to_string())
    }
}
