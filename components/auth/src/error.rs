//! What only accounts refuse, and the answer to each case.

use axum::http::{HeaderValue, StatusCode, header};
use commerce::Problem;
use service::Error;

use crate::password::HashError;
use crate::secret::RandomError;

/// Why a request about an account is turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// The same words whether the account, the password or a verified address is missing.
    #[error("the email address or the password is wrong, or the address has yet to be verified")]
    Credentials,
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("too many attempts failed; wait {} s", wait_s(*.0))]
    TooManyAttempts(i64),
    #[error("the refresh token is unknown, spent or expired; log in again")]
    RefreshToken,
    #[error("the token is unknown, used or expired; ask for a new one")]
    MailedToken,
    #[error("the token belongs to no account of this shop")]
    NoAccount,
    #[error("this is the last admin; make another one first")]
    LastAdmin,
    #[error("an account has at most {0} API keys; revoke one first")]
    TooManyKeys(u32),
    #[error("the login was not begun here, is too old, or was finished already; begin again")]
    LoginState,
    #[error("the issuer refused the login: {0}")]
    LoginRefused(String),
    #[error("the issuer's answer proves nothing: {0}")]
    LoginUnproven(&'static str),
    #[error("the issuer vouches for no email address")]
    LoginWithoutEmail,
    #[error("an account has this address and never verified it; log in with its password and verify it first")]
    AddressUnverified,
    #[error("the issuer does not answer as it should: {0}")]
    Issuer(String),
    #[error("there is no signing key")]
    NoKey,
    #[error("the seed of the signing key {0} is damaged; replace the keys")]
    DamagedKey(String),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let problem = match refusal {
            Refusal::Credentials => unauthorized("invalid-credentials", "Email address or password is wrong"),
            Refusal::RefreshToken => unauthorized("invalid-refresh-token", "The refresh token is not valid"),
            Refusal::NoAccount => unauthorized("no-account", "There is no such account"),
            Refusal::WrongPassword => {
                Problem::new(StatusCode::FORBIDDEN, "wrong-password", "The current password is wrong")
            }
            Refusal::TooManyAttempts(wait_ms) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts failed")
                    .header(header::RETRY_AFTER, HeaderValue::from(wait_s(wait_ms)))
            }
            Refusal::MailedToken => Problem::new(StatusCode::BAD_REQUEST, "invalid-token", "The token is not valid"),
            Refusal::LastAdmin => Problem::new(StatusCode::CONFLICT, "last-admin", "There must be an admin"),
            Refusal::TooManyKeys(_) => Problem::new(StatusCode::CONFLICT, "too-many-keys", "There are too many keys"),
            Refusal::LoginState => Problem::new(StatusCode::BAD_REQUEST, "login-state", "The login cannot go on"),
            Refusal::LoginRefused(_) => {
                Problem::new(StatusCode::FORBIDDEN, "login-refused", "The issuer refused the login")
            }
            Refusal::LoginWithoutEmail => {
                Problem::new(StatusCode::FORBIDDEN, "login-without-email", "A verified email address is needed")
            }
            Refusal::AddressUnverified => {
                Problem::new(StatusCode::CONFLICT, "address-unverified", "The address of the account is not verified")
            }
            Refusal::LoginUnproven(_) | Refusal::Issuer(_) => {
                eprintln!("a login by another issuer failed: {detail}");
                Problem::new(StatusCode::BAD_GATEWAY, "issuer-failed", "The issuer did not do its part")
            }
            Refusal::NoKey | Refusal::DamagedKey(_) | Refusal::Hash(_) | Refusal::Random(_) => {
                eprintln!("the service failed: {detail}");
                return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed").into();
            }
        };
        problem.detail(detail).into()
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        Refusal::Hash(error).into()
    }
}

impl From<RandomError> for Error {
    fn from(error: RandomError) -> Self {
        Refusal::Random(error).into()
    }
}

fn unauthorized(kind: &'static str, title: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, kind, title)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// Whole seconds, so that whoever waits them finds the way open.
fn wait_s(wait_ms: i64) -> u64 {
    u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000)
}
