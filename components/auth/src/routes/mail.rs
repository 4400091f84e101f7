//! Proving that one reads the mail to an address.

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
use crate::events;
use crate::store::mailed_tokens::{self, Purpose};
use crate::store::{accounts, throttle};
use crate::throttle::{MAIL_PAUSE_MS, mail};

/// `POST /api/auth/email/verification-requests`: one more mail, if the address has yet to be verified.
pub(crate) async fn request_verification(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let now_ms = app.now_ms();
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, principal.subject()).await?.ok_or(Refusal::NoAccount)?;
    let key = mail("register", &email::key(&account.email));
    if !account.email_verified && throttle::pause(&transaction, &key, MAIL_PAUSE_MS, now_ms).await? {
        events::mail_token(&transaction, Purpose::EmailVerification, &account, now_ms).await?;
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verification {
    token: String,
}

/// `POST /api/auth/email/verifications`: by the token of the mail, which is proof enough.
pub(crate) async fn verify(State(app): State<Arc<App>>, body: Body) -> Reply {
    let verification: Verification = parse(&read_body(body).await?)?;
    let transaction = app.database.begin().await?;
    let taken =
        mailed_tokens::take(&transaction, Purpose::EmailVerification, &verification.token, app.now_ms()).await?;
    let addressee = taken.ok_or(Refusal::MailedToken)?;
    accounts::verify_email(&transaction, &addressee.account_id, &addressee.email).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
