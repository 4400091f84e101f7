//! Logins by another issuer: those that have begun, and the accounts that they lead to.

use service::Error;
use sql::{Database, Transaction};

use crate::secret::digest;

/// How long a login may take from its beginning to the answer of the issuer, in milliseconds.
pub(crate) const LOGIN_LIFETIME_MS: i64 = 10 * 60 * 1_000;

/// A login that has begun.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) nonce: String,
    pub(crate) code_verifier: String,
}

/// Keeps what the answer of the issuer will be held against.
pub(crate) async fn begin(
    database: &Database,
    provider: &str,
    state: &str,
    login: &Login,
    now_ms: i64,
) -> Result<(), Error> {
    const BEGIN: &str = "
        INSERT INTO logins (state_digest, provider, nonce, code_verifier, expires_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let params = [
        digest(state).into(),
        provider.into(),
        login.nonce.as_str().into(),
        login.code_verifier.as_str().into(),
        (now_ms + LOGIN_LIFETIME_MS).into(),
    ];
    database.execute(BEGIN, &params).await?;
    Ok(())
}

/// The login of a state, which cannot be taken a second time.
pub(crate) async fn take(
    database: &Database,
    provider: &str,
    state: &str,
    now_ms: i64,
) -> Result<Option<Login>, Error> {
    const TAKE: &str = "
        DELETE FROM logins WHERE state_digest = ?1 AND provider = ?2 AND expires_at_ms > ?3
        RETURNING nonce, code_verifier";
    let rows = database.execute(TAKE, &[digest(state).into(), provider.into(), now_ms.into()]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    Ok(Some(Login { nonce: row.take(0)?, code_verifier: row.take(1)? }))
}

/// The account of an issuer's subject.
pub(crate) async fn linked(transaction: &Transaction, provider: &str, subject: &str) -> Result<Option<String>, Error> {
    const LINKED: &str = "SELECT account FROM linked_logins WHERE provider = ?1 AND subject = ?2";
    let rows = transaction.execute(LINKED, &[provider.into(), subject.into()]).await?;
    Ok(rows.into_iter().next().map(|mut row| row.take(0)).transpose()?)
}

/// Links an issuer's subject to an account.
pub(crate) async fn link(
    transaction: &Transaction,
    provider: &str,
    subject: &str,
    account_id: &str,
) -> Result<(), Error> {
    const LINK: &str = "INSERT INTO linked_logins (provider, subject, account) VALUES (?1, ?2, ?3)";
    transaction.execute(LINK, &[provider.into(), subject.into(), account_id.into()]).await?;
    Ok(())
}
