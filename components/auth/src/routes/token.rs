//! Tokens for machines: the client credentials grant (RFC 6749 section 4.4), with an API key as the secret.
//!
//! What OAuth says of errors (section 5.2) stands in place of problem documents here, because its clients read that.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use identity::Role;
use serde_json::json;
use service::Error;
use service::request::{media_type, read_body};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::Reply;
use crate::app::App;
use crate::keyring::ACCESS_LIFETIME_S;
use crate::secret::digest;
use crate::store::api_keys::ApiKey;
use crate::store::{accounts, api_keys};
use crate::tokens::{Issuer, uncached};

/// What OAuth calls the ways in which this can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OauthError {
    InvalidRequest(&'static str),
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
}

/// `POST /api/auth/token`
pub(crate) async fn token(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    match grant(&app, &headers, body).await? {
        Ok(response) => Ok(response),
        Err(error) => Ok(error.into_response()),
    }
}

async fn grant(app: &App, headers: &HeaderMap, body: Body) -> Result<Result<Response, OauthError>, Error> {
    let body = read_body(body).await?;
    let request = match Request::read(headers, &body) {
        Ok(request) => request,
        Err(error) => return Ok(Err(error)),
    };
    let now_ms = app.now_ms();
    let found = api_keys::find(&app.database, &request.client_id).await?;
    let Some(key) = found.filter(|key| is_good(key, &request.client_secret, now_ms)) else {
        return Ok(Err(OauthError::InvalidClient));
    };
    let Some(owner) = accounts::find(&app.database, &key.account_id).await? else {
        return Ok(Err(OauthError::InvalidClient));
    };
    // An owner who lost a role has lost it for their keys as well.
    let most = key.role.min(owner.role);
    let role = match request.scope {
        None => most,
        Some(scope) => match serde_json::from_value::<Role>(scope.into()) {
            Ok(role) if role <= most => role,
            _ => return Ok(Err(OauthError::InvalidScope)),
        },
    };
    api_keys::used(&app.database, &key.id, now_ms).await?;
    let body = json!({
        "access_token": Issuer::new(app).await?.access_token(&owner, role),
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFETIME_S,
        "scope": role,
    });
    Ok(Ok(uncached(service::answer::json(body.to_string()))))
}

fn is_good(key: &ApiKey, secret: &str, now_ms: i64) -> bool {
    let expired = key.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms);
    bool::from(digest(secret).as_bytes().ct_eq(key.digest.as_bytes())) && !expired
}

struct Request {
    client_id: String,
    client_secret: String,
    scope: Option<String>,
}

impl Request {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, OauthError> {
        if media_type(headers) != "application/x-www-form-urlencoded" {
            return Err(OauthError::InvalidRequest("the body is application/x-www-form-urlencoded"));
        }
        let mut form = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(body) {
            if form.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(OauthError::InvalidRequest("a parameter occurs twice"));
            }
        }
        let basic = headers.get(header::AUTHORIZATION).map(basic_credentials);
        let in_body = (form.remove("client_id"), form.remove("client_secret"));
        let (client_id, client_secret) = match (basic, in_body) {
            (Some(credentials), (None, None)) => credentials.ok_or(OauthError::InvalidClient)?,
            (None, (Some(id), Some(secret))) => (id, secret),
            (None, _) => return Err(OauthError::InvalidClient),
            (Some(_), _) => return Err(OauthError::InvalidRequest("the client authenticates in two ways")),
        };
        match form.get("grant_type").map(String::as_str) {
            Some("client_credentials") => {}
            Some(_) => return Err(OauthError::UnsupportedGrantType),
            None => return Err(OauthError::InvalidRequest("grant_type is missing")),
        }
        Ok(Self { client_id, client_secret, scope: form.remove("scope").filter(|scope| !scope.is_empty()) })
    }
}

/// Ids and keys are letters, digits and underscores, which stay as they are in the form encoding of section 2.3.1.
fn basic_credentials(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

impl IntoResponse for OauthError {
    fn into_response(self) -> Response {
        let (status, error, description) = match self {
            Self::InvalidRequest(reason) => (StatusCode::BAD_REQUEST, "invalid_request", reason),
            Self::InvalidClient => {
                (StatusCode::UNAUTHORIZED, "invalid_client", "the client id or the key is wrong, revoked or expired")
            }
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "the grant is client_credentials")
            }
            Self::InvalidScope => {
                (StatusCode::BAD_REQUEST, "invalid_scope", "the scope is a role that the key and its owner have")
            }
        };
        let body = json!({ "error": error, "error_description": description });
        let mut response = uncached(service::answer::json(body.to_string()));
        *response.status_mut() = status;
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"bodega\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
