//! Logging in, staying logged in, logging out.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::email;
use serde::Deserialize;
use service::request::{parse, read_body};

use super::Reply;
use crate::app::App;
use crate::error::Refusal;
use crate::events::{self, SESSION_REVOKED};
use crate::guard::Confirmed;
use crate::store::accounts;
use crate::store::sessions::{self, Rotation};
use crate::tokens::Issuer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RefreshToken {
    refresh_token: String,
}

/// `POST /api/auth/login`
pub(crate) async fn login(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let credentials: Credentials = parse(&read_body(body).await?)?;
    let email_key = email::key(&credentials.email);
    let found = accounts::find_by_email(&app.database, &email_key).await?;
    let confirmed = Confirmed::check(&app, &headers, &email_key, found.as_ref(), &credentials.password).await?;
    let usable = found.filter(|account| account.email_verified || !app.verified_only);
    let (Some(account), Some(confirmed)) = (usable, confirmed) else { return Err(Refusal::Credentials.into()) };
    let issuer = Issuer::new(&app).await?;
    let transaction = app.database.begin().await?;
    // As it is now: the password may have been changed, or the account deleted, while this one was hashed.
    let account = accounts::load(&transaction, &account.id).await?.ok_or(Refusal::Credentials)?;
    if !confirmed.settle(&transaction, &account).await? {
        return Err(Refusal::Credentials.into());
    }
    issuer.log_in(transaction, &account).await
}

/// `POST /api/auth/refresh`: the next pair of tokens. A token that comes a second time ends the session, because
/// one of the two who have it is not the owner.
pub(crate) async fn refresh(State(app): State<Arc<App>>, body: Body) -> Reply {
    let given: RefreshToken = parse(&read_body(body).await?)?;
    let now_ms = app.now_ms();
    let issuer = Issuer::new(&app).await?;
    let transaction = app.database.begin().await?;
    match sessions::rotate(&transaction, &given.refresh_token, now_ms).await? {
        Rotation::Next { account_id, refresh } => {
            let account = accounts::load(&transaction, &account_id).await?.ok_or(Refusal::RefreshToken)?;
            transaction.commit().await?;
            Ok(issuer.pair(&account, &refresh))
        }
        Rotation::Reused { account_id, session } => {
            eprintln!("a spent refresh token came back; the session {session} of the account {account_id} is over");
            if let Some(account) = accounts::load(&transaction, &account_id).await? {
                events::notify(&transaction, SESSION_REVOKED, &account, now_ms).await?;
            }
            transaction.commit().await?;
            Err(Refusal::RefreshToken.into())
        }
        Rotation::Over => {
            transaction.commit().await?;
            Err(Refusal::RefreshToken.into())
        }
        Rotation::Unknown => Err(Refusal::RefreshToken.into()),
    }
}

/// `POST /api/auth/logout`: the session is over, or was never one. Access tokens of it are good until they expire.
pub(crate) async fn logout(State(app): State<Arc<App>>, body: Body) -> Reply {
    let given: RefreshToken = parse(&read_body(body).await?)?;
    let transaction = app.database.begin().await?;
    sessions::end(&transaction, &given.refresh_token).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
