//! Changing a password, and resetting one that is forgotten. Both end every session; a reset revokes the API keys too, since
//! whoever had the account before may have made them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::email::{self, Email};
use serde::Deserialize;
use serde_json::json;
use service::request::{parse, read_body};
use service::{Error, Violation};
use sql::Transaction;

use super::Reply;
use crate::account::Account;
use crate::app::App;
use crate::error::Refusal;
use crate::events::{self, PASSWORD_CHANGED};
use crate::guard::Confirmed;
use crate::password::Password;
use crate::store::mailed_tokens::{self, Purpose};
use crate::store::{accounts, api_keys, sessions, throttle};
use crate::throttle::{MAIL_PAUSE_MS, account as attempts_of, mail};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    current_password: String,
    new_password: String,
    /// Whether the API keys of the account are to go as well.
    #[serde(default)]
    revoke_api_keys: bool,
}

/// `POST /api/auth/password`
pub(crate) async fn change(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let change: Change = parse(&read_body(body).await?)?;
    let account = app.account(&principal).await?;
    let chosen = choose(&change.new_password, &account)?;
    let key = email::key(&account.email);
    let confirmed = Confirmed::check(&app, &headers, &key, Some(&account), &change.current_password).await?;
    let confirmed = confirmed.ok_or(Refusal::WrongPassword)?;
    let hash = chosen.hash()?;
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, &account.id).await?.ok_or(Refusal::NoAccount)?;
    if !confirmed.settle(&transaction, &account).await? {
        return Err(Refusal::WrongPassword.into());
    }
    if change.revoke_api_keys {
        api_keys::revoke_all(&transaction, &account.id).await?;
    }
    replace(&app, transaction, &account, &hash).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetRequest {
    email: String,
}

/// `POST /api/auth/password/reset-requests`: the same answer whether or not there is such an account.
pub(crate) async fn request_reset(State(app): State<Arc<App>>, body: Body) -> Reply {
    let request: ResetRequest = parse(&read_body(body).await?)?;
    let email_key = Email::parse(&request.email)?.key();
    let now_ms = app.now_ms();
    let transaction = app.database.begin().await?;
    let may_mail = throttle::pause(&transaction, &mail("reset", &email_key), MAIL_PAUSE_MS, now_ms).await?;
    let account = accounts::load_by_email(&transaction, &email_key).await?;
    if let Some(account) = account.filter(|_| may_mail) {
        events::mail_token(&transaction, Purpose::PasswordReset, &account, now_ms).await?;
    }
    transaction.commit().await?;
    let body = json!({ "status": "accepted" }).to_string();
    Ok((StatusCode::ACCEPTED, [("content-type", "application/json")], body).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    token: String,
    new_password: String,
}

/// `POST /api/auth/password/resets`: a new password by the token of a mail, which also verifies its address
/// and revokes the API keys.
pub(crate) async fn reset(State(app): State<Arc<App>>, body: Body) -> Reply {
    let reset: Reset = parse(&read_body(body).await?)?;
    let purpose = Purpose::PasswordReset;
    // Looked at first and taken last: a password that may not be chosen must not cost the token.
    let addressee = mailed_tokens::peek(&app.database, purpose, &reset.token, app.now_ms()).await?;
    let addressee = addressee.ok_or(Refusal::MailedToken)?;
    let account = accounts::find(&app.database, &addressee.account_id).await?.ok_or(Refusal::MailedToken)?;
    let hash = choose(&reset.new_password, &account)?.hash()?;
    let transaction = app.database.begin().await?;
    let taken = mailed_tokens::take(&transaction, purpose, &reset.token, app.now_ms()).await?;
    let addressee = taken.ok_or(Refusal::MailedToken)?;
    let account = accounts::load(&transaction, &addressee.account_id).await?.ok_or(Refusal::MailedToken)?;
    accounts::verify_email(&transaction, &account.id, &addressee.email).await?;
    api_keys::revoke_all(&transaction, &account.id).await?;
    throttle::forget(&transaction, &attempts_of(&email::key(&account.email))).await?;
    replace(&app, transaction, &account, &hash).await
}

fn choose(text: &str, account: &Account) -> Result<Password, Error> {
    let email = Email::parse(&account.email)?;
    Password::choose(text, &email).map_err(|rule| Error::Invalid(vec![Violation::new("new_password", rule)]))
}

/// Keeps the new password; whoever got in by the old one is out.
async fn replace(app: &App, transaction: Transaction, account: &Account, hash: &str) -> Reply {
    accounts::set_password(&transaction, &account.id, hash).await?;
    sessions::end_all(&transaction, &account.id).await?;
    mailed_tokens::drop_all(&transaction, Purpose::PasswordReset, &account.id).await?;
    events::notify(&transaction, PASSWORD_CHANGED, account, app.now_ms()).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
