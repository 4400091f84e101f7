//! Everybody's accounts, for staff to look at and admins to change.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::{Cursor, CustomerGroup, Limit, Precondition, email};
use identity::Role;
use serde::Deserialize;
use service::request::{Pairs, Segments, parse, parse_cursor, parse_limit, parse_value, read_body, unknown};
use service::{Answer, Error, answer};

use super::Reply;
use super::profile::shown;
use crate::account::{Account, Registration};
use crate::app::App;
use crate::error::Refusal;
use crate::events::{self, CUSTOMER_GROUP_CHANGED, ROLE_CHANGED};
use crate::store::{accounts, sessions, throttle};
use crate::throttle::account as attempts_of;

/// The order of the list, as its cursors name it.
const BY_AGE: &str = "accounts";

/// `GET /api/auth/accounts?email=&limit=&cursor=`
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.staff(&headers).await?;
    let (mut limit, mut after, mut email_key) = (Limit::DEFAULT, String::new(), None);
    for (name, value) in pairs {
        match name.as_str() {
            "limit" => limit = parse_limit(&value)?,
            "cursor" => after = parse_cursor(&value, BY_AGE)?,
            "email" => email_key = Some(email::key(&value)),
            _ => return Err(unknown(&name)),
        }
    }
    // One more than asked for tells whether there is another page.
    let mut found = accounts::page(&app.database, &after, email_key.as_deref(), limit.get() + 1).await?;
    let more = found.len() > limit.get() as usize;
    found.truncate(limit.get() as usize);
    let next = found.last().filter(|_| more).map(|last| Cursor { sort: BY_AGE.to_owned(), after: last.id.clone() });
    let items = found.iter().map(Account::to_json).collect::<Result<Vec<_>, _>>()?;
    let next = serde_json::to_string(&next.map(|cursor| cursor.encode()))?;
    Ok(answer::json(format!(r#"{{"items":[{}],"next_cursor":{next}}}"#, items.join(","))))
}

/// `GET /api/auth/accounts/{id}`
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    app.access.staff(&headers).await?;
    let account = accounts::find(&app.database, &id).await?.ok_or_else(|| not_found(&id))?;
    Ok(shown(&account)?.into_response())
}

/// `POST /api/auth/accounts`: an account of any role. The admin vouches for its address.
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.require(&headers, Role::Admin).await?;
    let mut input: serde_json::Map<String, serde_json::Value> = parse(&read_body(body).await?)?;
    let role = input.remove("role").map_or(Ok(Role::Customer), parse_role)?;
    let (email, password, profile) = parse_value::<Registration>(input.into())?.check()?;
    let hash = password.hash()?;
    let account = Account { email_verified: true, ..Account::new(&email, Some(hash), profile, role, app.now_ms()) };
    let transaction = app.database.begin().await?;
    if !accounts::add(&transaction, &account).await? {
        return Err(Error::Taken { what: "email address", key: account.email });
    }
    transaction.commit().await?;
    let path = format!("/api/auth/accounts/{}", account.id);
    Ok(Answer::created(&path, account.to_json()?).etag(account.etag()).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleInput {
    role: Role,
}

/// `PUT /api/auth/accounts/{id}/role`: ends the account's sessions, so that the next tokens say it.
pub(crate) async fn set_role(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    app.access.require(&headers, Role::Admin).await?;
    let RoleInput { role } = parse(&read_body(body).await?)?;
    let precondition = Precondition::from_headers(&headers)?;
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, &id).await?.ok_or_else(|| not_found(&id))?;
    precondition.check(account.version)?;
    if account.role == role {
        return Ok(shown(&account)?.into_response());
    }
    if account.role == Role::Admin && accounts::admins(&transaction).await? == 1 {
        return Err(Refusal::LastAdmin.into());
    }
    let account = Account { role, version: account.version + 1, ..account };
    accounts::set_role(&transaction, &id, role).await?;
    sessions::end_all(&transaction, &id).await?;
    events::notify(&transaction, ROLE_CHANGED, &account, app.now_ms()).await?;
    transaction.commit().await?;
    Ok(shown(&account)?.into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerGroupInput {
    #[serde(deserialize_with = "Option::deserialize")]
    customer_group: Option<CustomerGroup>,
}

/// `PUT /api/auth/accounts/{id}/customer-group`: the account's next token says it, at the latest when the one that is out
/// expires.
pub(crate) async fn set_customer_group(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    app.access.staff(&headers).await?;
    let CustomerGroupInput { customer_group } = parse(&read_body(body).await?)?;
    let precondition = Precondition::from_headers(&headers)?;
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, &id).await?.ok_or_else(|| not_found(&id))?;
    precondition.check(account.version)?;
    if account.customer_group == customer_group {
        return Ok(shown(&account)?.into_response());
    }
    let account = Account { customer_group, version: account.version + 1, ..account };
    accounts::set_customer_group(&transaction, &id, account.customer_group.as_ref()).await?;
    events::notify(&transaction, CUSTOMER_GROUP_CHANGED, &account, app.now_ms()).await?;
    transaction.commit().await?;
    Ok(shown(&account)?.into_response())
}

/// `POST /api/auth/accounts/{id}/unlock`: forgets the account's failed attempts.
pub(crate) async fn unlock(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    app.access.staff(&headers).await?;
    let transaction = app.database.begin().await?;
    let account = accounts::load(&transaction, &id).await?.ok_or_else(|| not_found(&id))?;
    throttle::forget(&transaction, &attempts_of(&email::key(&account.email))).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn parse_role(role: serde_json::Value) -> Result<Role, Error> {
    serde_json::from_value(role).map_err(|error| Error::invalid("role", error))
}

fn not_found(id: &str) -> Error {
    Error::NotFound { what: "account", key: id.to_owned() }
}
