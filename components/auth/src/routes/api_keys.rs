//! API keys: how a machine gets tokens in the name of an account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::parse_rfc3339;
use identity::Role;
use serde::Deserialize;
use serde_json::json;
use service::request::{Segments, parse, read_body};
use service::{Answer, Error, Violation, answer};

use super::Reply;
use crate::account::NAME_CHARS_MAX;
use crate::app::App;
use crate::error::Refusal;
use crate::secret::{digest, random, secret};
use crate::store::api_keys::{self, ApiKey};
use crate::tokens::uncached;

/// Keys that one account may have.
const API_KEYS_MAX: u32 = 50;
/// Every key begins with this, so that scanners for leaked secrets can find it.
const KEY_PREFIX: &str = "bdg";
/// Bytes of a key's public id.
const ID_BYTES: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    #[serde(default = "customer")]
    role: Role,
    expires_at: Option<String>,
}

fn customer() -> Role {
    Role::Customer
}

/// `GET /api/auth/api-keys`
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let keys = api_keys::of_account(&app.database, principal.subject()).await?;
    let items: Vec<_> = keys.iter().map(ApiKey::to_json).collect();
    Ok(answer::json(json!({ "items": items, "next_cursor": null }).to_string()))
}

/// `POST /api/auth/api-keys`: the one time that the key is shown. Repeating the request makes another key.
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let input: Input = parse(&read_body(body).await?)?;
    // By the token and not the account: what a key with fewer rights was given for must not make one with more.
    principal.require(input.role)?;
    let now_ms = app.now_ms();
    let (name, expires_at_ms) = check(&input, now_ms)?;
    let account = app.account(&principal).await?;
    let id = hex::encode(random::<ID_BYTES>()?);
    let shown = format!("{KEY_PREFIX}_{id}_{}", secret()?);
    let key = ApiKey {
        id,
        account_id: account.id,
        name,
        role: input.role,
        digest: digest(&shown),
        created_at_ms: now_ms,
        expires_at_ms,
        last_used_at_ms: None,
    };
    let transaction = app.database.begin().await?;
    if api_keys::count(&transaction, &key.account_id).await? >= API_KEYS_MAX {
        return Err(Refusal::TooManyKeys(API_KEYS_MAX).into());
    }
    api_keys::add(&transaction, &key).await?;
    transaction.commit().await?;
    let mut body = key.to_json();
    body["key"] = shown.into();
    let answer = Answer::created(&format!("/api/auth/api-keys/{}", key.id), body.to_string());
    Ok(uncached(answer.into_response()))
}

/// `DELETE /api/auth/api-keys/{id}`: tokens that it gave are good until they expire.
pub(crate) async fn revoke(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    let principal = app.access.principal(&headers).await?;
    match api_keys::revoke(&app.database, principal.subject(), &id).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(Error::NotFound { what: "API key", key: id }),
    }
}

fn check(input: &Input, now_ms: i64) -> Result<(String, Option<i64>), Error> {
    let mut wrong = Vec::new();
    let name = input.name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        wrong.push(Violation::new("name", format!("1 to {NAME_CHARS_MAX} characters on one line")));
    }
    let expires_at_ms = input.expires_at.as_deref().map(parse_rfc3339);
    if expires_at_ms.is_some_and(|time| time.is_none_or(|time_ms| time_ms <= now_ms)) {
        wrong.push(Violation::new("expires_at", "a time to come, such as 2030-01-31T12:00:00Z"));
    }
    match wrong.is_empty() {
        true => Ok((name.to_owned(), expires_at_ms.flatten())),
        false => Err(Error::Invalid(wrong)),
    }
}
