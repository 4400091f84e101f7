//! Registering.
//!
//! The answer is the same whether or not the address has an account: its owner is told by mail. Where an account
//! may be used before its address is verified, trying to log in tells all the same, at the price of that mail.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use commerce::email;
use identity::Role;
use serde_json::json;
use service::request::{parse, read_body};
use sql::Transaction;

use super::Reply;
use crate::account::{Account, Registration};
use crate::app::App;
use crate::events::{self, REGISTRATION_REPEATED};
use crate::store::mailed_tokens::Purpose;
use crate::store::{accounts, throttle};
use crate::throttle::{MAIL_PAUSE_MS, mail};

/// `POST /api/auth/register`
pub(crate) async fn register(State(app): State<Arc<App>>, body: Body) -> Reply {
    let registration: Registration = parse(&read_body(body).await?)?;
    let (email, password, profile) = registration.check()?;
    // Hashed before it is known whether the address is free, and outside of the transaction, which others wait for.
    let password = Some(password.hash()?);
    let now_ms = app.now_ms();
    let account = Account::new(&email, password, profile, Role::Customer, now_ms);
    let transaction = app.database.begin().await?;
    let may_mail = throttle::pause(&transaction, &mail("register", &email.key()), MAIL_PAUSE_MS, now_ms).await?;
    if accounts::add(&transaction, &account).await? {
        events::mail_token(&transaction, Purpose::EmailVerification, &account, now_ms).await?;
    } else if may_mail {
        repeated(&transaction, &account, now_ms).await?;
    }
    transaction.commit().await?;
    let body = json!({ "status": "accepted" }).to_string();
    Ok((StatusCode::ACCEPTED, [("content-type", "application/json")], body).into_response())
}

/// Somebody registered with the address of an account that is there. Neither its password nor its profile changes.
/// An account whose address nobody has shown to be theirs is for the owner of the address to take over: by a reset.
async fn repeated(transaction: &Transaction, attempt: &Account, now_ms: i64) -> Result<(), service::Error> {
    match accounts::load_by_email(transaction, &email::key(&attempt.email)).await? {
        Some(account) if account.email_verified => {
            events::notify(transaction, REGISTRATION_REPEATED, &account, now_ms).await
        }
        // Who registered first may be somebody else, whose password must not come to be good by the owner's mail.
        Some(account) => events::mail_token(transaction, Purpose::PasswordReset, &account, now_ms).await,
        None => Ok(()),
    }
}
