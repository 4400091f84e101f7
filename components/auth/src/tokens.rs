//! What a login gives: a short access token that every service can verify, and a refresh token that only this
//! service knows.

use axum::http::{HeaderValue, header};
use axum::response::Response;
use commerce::rfc3339;
use identity::{Claims, Role, Signer};
use serde_json::json;
use service::{Error, answer};
use sql::Transaction;

use crate::account::Account;
use crate::app::App;
use crate::error::Refusal;
use crate::keyring::ACCESS_LIFETIME_S;
use crate::store::keys;
use crate::store::sessions::{self, Refresh};

/// Signs access tokens. It is had before a transaction begins: a rotation of the keys needs one of its own, and what
/// is committed must not fail to be answered.
pub(crate) struct Issuer<'a> {
    app: &'a App,
    signer: Signer,
    now_ms: i64,
}

impl<'a> Issuer<'a> {
    /// With the key that signs now.
    pub(crate) async fn new(app: &'a App) -> Result<Self, Error> {
        let now_ms = app.now_ms();
        let signer = keys::keyring(&app.database, now_ms).await?.signer(now_ms).ok_or(Refusal::NoKey)?;
        Ok(Self { app, signer, now_ms })
    }

    /// An access token for an account, with this of its roles.
    pub(crate) fn access_token(&self, account: &Account, role: Role) -> String {
        let now_s = self.now_ms / 1_000;
        let claims = Claims {
            iat: now_s,
            exp: now_s + ACCESS_LIFETIME_S,
            customer_group: account.customer_group.as_ref().map(|group| group.as_str().to_owned()),
            ..Claims::access(&self.app.identity, &account.id, &[role], ACCESS_LIFETIME_S)
        };
        self.signer.sign(&claims)
    }

    /// Begins a session of the account in the transaction of its login, and commits it.
    pub(crate) async fn log_in(&self, transaction: Transaction, account: &Account) -> Result<Response, Error> {
        let refresh = sessions::open(&transaction, &account.id, self.now_ms).await?;
        transaction.commit().await?;
        Ok(self.pair(account, &refresh))
    }

    /// The answer with both tokens.
    pub(crate) fn pair(&self, account: &Account, refresh: &Refresh) -> Response {
        let body = json!({
            "access_token": self.access_token(account, account.role),
            "token_type": "Bearer",
            "expires_in": ACCESS_LIFETIME_S,
            "refresh_token": refresh.token,
            "refresh_expires_at": rfc3339(refresh.expires_at_ms),
            "account_id": account.id,
        });
        uncached(answer::json(body.to_string()))
    }
}

/// An answer that no cache may keep, because it holds a secret.
pub(crate) fn uncached(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
