//! Logging in with an account elsewhere: there and back.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use commerce::email::Email;
use identity::Role;
use service::Error;
use service::request::{Pairs, Segments};
use sql::Transaction;
use subtle::ConstantTimeEq;

use super::Reply;
use crate::account::{Account, NAME_CHARS_MAX, Profile};
use crate::app::App;
use crate::error::Refusal;
use crate::oidc::{Person, Provider, code_challenge};
use crate::secret::secret;
use crate::store::accounts;
use crate::store::logins::{self, LOGIN_LIFETIME_MS, Login};
use crate::tokens::{Issuer, uncached};

/// The cookie that ties a login to the browser in which it began, so that nobody can be logged in as somebody else.
const STATE_COOKIE: &str = "bodega_login";
/// Longest error code of an issuer that is passed on, in characters.
const ERROR_CHARS_MAX: usize = 64;

/// `GET /api/auth/oidc/{provider}/start`: to the issuer.
pub(crate) async fn start(State(app): State<Arc<App>>, Segments(name): Segments<String>) -> Reply {
    let provider = find(&app, &name)?;
    let now_ms = app.now_ms();
    let (state, login) = (secret()?, Login { nonce: secret()?, code_verifier: secret()? });
    let challenge = code_challenge(&login.code_verifier);
    let url = provider.authorization_url(&app.transport, &state, &login.nonce, &challenge, now_ms).await?;
    logins::begin(&app.database, &provider.name, &state, &login, now_ms).await?;
    let mut response =
        (StatusCode::FOUND, [(header::LOCATION, url)], "The login goes on at the issuer.").into_response();
    set_cookie(&mut response, provider, &state, LOGIN_LIFETIME_MS / 1_000);
    Ok(uncached(response))
}

/// `GET /api/auth/oidc/{provider}/callback`: back, with a code or an error.
pub(crate) async fn callback(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(name): Segments<String>,
    Pairs(pairs): Pairs,
) -> Reply {
    let provider = find(&app, &name)?;
    let value = |name: &str| pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
    let now_ms = app.now_ms();
    let state = value("state").unwrap_or_default();
    let begun_here = cookie(&headers).is_some_and(|kept| bool::from(kept.as_bytes().ct_eq(state.as_bytes())));
    if !begun_here {
        return Err(Refusal::LoginState.into());
    }
    let login = logins::take(&app.database, &provider.name, state, now_ms).await?.ok_or(Refusal::LoginState)?;
    let Some(code) = value("code") else {
        let shown = |character: &char| character.is_ascii_graphic();
        let reason = value("error").unwrap_or("no code").chars().filter(shown).take(ERROR_CHARS_MAX).collect();
        return Err(Refusal::LoginRefused(reason).into());
    };
    let id_token = provider.exchange(&app.transport, code, &login.code_verifier, now_ms).await?;
    let person = Person::read(&id_token, &provider.expected(&login.nonce), now_ms / 1_000);
    let person = person.map_err(Refusal::LoginUnproven)?;
    let issuer = Issuer::new(&app).await?;
    let transaction = app.database.begin().await?;
    let account = account_of(&transaction, provider, person, now_ms).await?;
    let mut response = issuer.log_in(transaction, &account).await?;
    set_cookie(&mut response, provider, "", 0);
    Ok(response)
}

/// The account that a person has here: the one that they logged in to before, or the one of their address if both
/// sides have verified it, or a new one.
async fn account_of(
    transaction: &Transaction,
    provider: &Provider,
    person: Person,
    now_ms: i64,
) -> Result<Account, Error> {
    if let Some(id) = logins::linked(transaction, &provider.name, &person.subject).await? {
        return Ok(accounts::load(transaction, &id).await?.ok_or(Refusal::NoAccount)?);
    }
    let email = person.verified_email.as_deref().and_then(|email| Email::parse(email).ok());
    let email = email.ok_or(Refusal::LoginWithoutEmail)?;
    let account = match accounts::load_by_email(transaction, &email.key()).await? {
        Some(account) if account.email_verified => account,
        // Whoever registered it without reading its mail must not come to share it with its owner.
        Some(_) => return Err(Refusal::AddressUnverified.into()),
        None => {
            let name = person.name.chars().filter(|character| !character.is_control()).take(NAME_CHARS_MAX).collect();
            let profile = Profile { name, ..Profile::default() };
            let account =
                Account { email_verified: true, ..Account::new(&email, None, profile, Role::Customer, now_ms) };
            accounts::add(transaction, &account).await?;
            account
        }
    };
    logins::link(transaction, &provider.name, &person.subject, &account.id).await?;
    Ok(account)
}

fn find<'a>(app: &'a App, name: &str) -> Result<&'a Provider, Error> {
    app.providers.find(name).ok_or_else(|| Error::NotFound { what: "issuer", key: name.to_owned() })
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == STATE_COOKIE).map(|(_, value)| value)
}

fn set_cookie(response: &mut Response, provider: &Provider, value: &str, max_age_s: i64) {
    let secure = if provider.returns_over_tls() { "; Secure" } else { "" };
    let cookie = format!(
        "{STATE_COOKIE}={value}; Path=/api/auth/oidc/{}; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}",
        provider.name
    );
    // Names of providers and states are letters, digits and hyphens.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}
