//! Tokens that go out by mail: for an address to be verified, or a password to be reset.

use service::Error;
use sql::{Database, Row, Transaction};

use crate::account::Account;
use crate::secret::{digest, secret};

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    EmailVerification,
    PasswordReset,
}

impl Purpose {
    /// How long a token is good, in milliseconds.
    pub(crate) fn lifetime_ms(self) -> i64 {
        match self {
            Self::EmailVerification => 24 * 60 * 60 * 1_000,
            Self::PasswordReset => 60 * 60 * 1_000,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::EmailVerification => "email_verification",
            Self::PasswordReset => "password_reset",
        }
    }
}

/// Whom a token was sent to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Addressee {
    pub(crate) account_id: String,
    pub(crate) email: String,
}

/// Makes a token in place of the one before, and gives it with its end.
pub(crate) async fn issue(
    transaction: &Transaction,
    purpose: Purpose,
    account: &Account,
    now_ms: i64,
) -> Result<(String, i64), Error> {
    const ISSUE: &str = "
        INSERT INTO mailed_tokens (digest, purpose, account, email, expires_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)";
    drop_all(transaction, purpose, &account.id).await?;
    let token = secret()?;
    let expires_at_ms = now_ms + purpose.lifetime_ms();
    let params = [
        digest(&token).into(),
        purpose.as_str().into(),
        account.id.as_str().into(),
        account.email.as_str().into(),
        expires_at_ms.into(),
    ];
    transaction.execute(ISSUE, &params).await?;
    Ok((token, expires_at_ms))
}

/// Whom a good token was sent to; it stays good.
pub(crate) async fn peek(
    database: &Database,
    purpose: Purpose,
    token: &str,
    now_ms: i64,
) -> Result<Option<Addressee>, Error> {
    const PEEK: &str = "
        SELECT account, email FROM mailed_tokens WHERE digest = ?1 AND purpose = ?2 AND expires_at_ms > ?3";
    let params = [digest(token).into(), purpose.as_str().into(), now_ms.into()];
    addressee(database.execute(PEEK, &params).await?)
}

/// Whom a good token was sent to; it is good no more.
pub(crate) async fn take(
    transaction: &Transaction,
    purpose: Purpose,
    token: &str,
    now_ms: i64,
) -> Result<Option<Addressee>, Error> {
    const TAKE: &str = "
        DELETE FROM mailed_tokens WHERE digest = ?1 AND purpose = ?2 AND expires_at_ms > ?3
        RETURNING account, email";
    let params = [digest(token).into(), purpose.as_str().into(), now_ms.into()];
    addressee(transaction.execute(TAKE, &params).await?)
}

/// Makes the account's tokens of a purpose good no more.
pub(crate) async fn drop_all(transaction: &Transaction, purpose: Purpose, account_id: &str) -> Result<(), Error> {
    const DROP: &str = "DELETE FROM mailed_tokens WHERE account = ?1 AND purpose = ?2";
    transaction.execute(DROP, &[account_id.into(), purpose.as_str().into()]).await?;
    Ok(())
}

fn addressee(rows: Vec<Row>) -> Result<Option<Addressee>, Error> {
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    Ok(Some(Addressee { account_id: row.take(0)?, email: row.take(1)? }))
}
