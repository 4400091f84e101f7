//! One's own account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::{Precondition, email};
use identity::Role;
use serde::Deserialize;
use service::request::{parse, read_body};
use service::{Answer, Error};

use super::Reply;
use crate::account::{Account, ProfilePatch};
use crate::app::App;
use crate::error::Refusal;
use crate::events::{self, DELETED};
use crate::guard::Confirmed;
use crate::store::mailed_tokens::{self, Purpose};
use crate::store::{accounts, sessions};

/// `GET /api/auth/me`
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    let principal = app.access.principal(&headers).await?;
    Ok(shown(&app.account(&principal).await?)?.into_response())
}

/// `PATCH /api/auth/me`: a JSON merge patch (RFC 7396) of the profile.
pub(crate) async fn patch(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let patch: ProfilePatch = parse(&read_body(body).await?)?;
    let precondition = Precondition::from_headers(&headers)?;
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, principal.subject()).await?.ok_or(Refusal::NoAccount)?;
    precondition.check(account.version)?;
    let mut wrong = Vec::new();
    let profile = patch.apply(&account.profile, &mut wrong);
    if !wrong.is_empty() {
        return Err(Error::Invalid(wrong));
    }
    accounts::set_profile(&transaction, &account.id, &profile).await?;
    transaction.commit().await?;
    Ok(shown(&Account { profile, version: account.version + 1, ..account })?.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    /// Needed where the account has one.
    password: Option<String>,
}

/// `DELETE /api/auth/me`: the account and all that it holds here. Others learn of it by the event.
pub(crate) async fn delete(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let deletion: Deletion = parse(&read_body(body).await?)?;
    let account = app.account(&principal).await?;
    let confirmed = match &account.password {
        Some(_) => {
            let given = deletion.password.unwrap_or_default();
            let key = email::key(&account.email);
            let confirmed = Confirmed::check(&app, &headers, &key, Some(&account), &given).await?;
            Some(confirmed.ok_or(Refusal::WrongPassword)?)
        }
        None => None,
    };
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, &account.id).await?.ok_or(Refusal::NoAccount)?;
    if let Some(confirmed) = confirmed
        && !confirmed.settle(&transaction, &account).await?
    {
        return Err(Refusal::WrongPassword.into());
    }
    if account.role == Role::Admin && accounts::admins(&transaction).await? == 1 {
        return Err(Refusal::LastAdmin.into());
    }
    sessions::end_all(&transaction, &account.id).await?;
    for purpose in [Purpose::EmailVerification, Purpose::PasswordReset] {
        mailed_tokens::drop_all(&transaction, purpose, &account.id).await?;
    }
    accounts::delete(&transaction, &account.id).await?;
    events::notify(&transaction, DELETED, &account, app.now_ms()).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// An account with the entity tag that a change needs.
pub(super) fn shown(account: &Account) -> Result<Answer, Error> {
    Ok(Answer::ok(account.to_json()?).etag(account.etag()))
}
