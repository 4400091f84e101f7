//! Sessions: families of refresh tokens that replace one another.

use commerce::Id;
use service::Error;
use sql::Transaction;

use crate::secret::{digest, secret};

/// How long a refresh token is good, in milliseconds.
pub(crate) const REFRESH_LIFETIME_MS: i64 = 30 * 24 * 60 * 60 * 1_000;
/// Sessions that one account may have; a further login ends the oldest.
pub(crate) const SESSIONS_MAX: u32 = 50;

/// Times that a session may be refreshed within the life of a token. They are kept, since any that comes back tells of a
/// thief; one refresh every ten minutes comes to 4,320. A session with more is over.
pub(crate) const REFRESHES_MAX: u32 = 10_000;

/// A refresh token that was just made; it is never shown again.
pub(crate) struct Refresh {
    pub(crate) token: String,
    pub(crate) expires_at_ms: i64,
}

/// What came of a refresh token.
pub(crate) enum Rotation {
    /// It was good, and this one is now good in its place.
    Next { account_id: String, refresh: Refresh },
    /// It had been spent, so somebody else has it too; the session is over.
    Reused { account_id: String, session: String },
    /// It was good, and its session was refreshed too often and is over.
    Over,
    /// It is unknown or has expired.
    Unknown,
}

/// Begins a session.
pub(crate) async fn open(transaction: &Transaction, account_id: &str, now_ms: i64) -> Result<Refresh, Error> {
    const OPEN: &str = "INSERT INTO sessions (id, account, created_at_ms) VALUES (?1, ?2, ?3)";
    const TRIM: &str = "
        DELETE FROM sessions WHERE id IN (
            SELECT id FROM sessions WHERE account = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2
        )";
    let session = Id::new().to_string();
    transaction.execute(OPEN, &[session.as_str().into(), account_id.into(), now_ms.into()]).await?;
    transaction.execute(TRIM, &[account_id.into(), SESSIONS_MAX.into()]).await?;
    issue(transaction, &session, now_ms).await
}

/// Takes a refresh token and gives the next one. A spent one ends the session for whoever holds it.
pub(crate) async fn rotate(transaction: &Transaction, token: &str, now_ms: i64) -> Result<Rotation, Error> {
    const FIND: &str = "
        SELECT sessions.id, account, spent, expires_at_ms
        FROM refresh_tokens JOIN sessions ON sessions.id = refresh_tokens.session WHERE digest = ?1";
    const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM refresh_tokens WHERE session = ?1 LIMIT ?2)";
    const SPEND: &str = "UPDATE refresh_tokens SET spent = 1 WHERE digest = ?1";
    let digest = digest(token);
    let found = transaction.execute(FIND, &[digest.as_str().into()]).await?.pop();
    let Some(mut row) = found else { return Ok(Rotation::Unknown) };
    let (session, account_id): (String, String) = (row.take(0)?, row.take(1)?);
    if row.take(2)? {
        end_one(transaction, &session).await?;
        return Ok(Rotation::Reused { account_id, session });
    }
    if row.take::<i64>(3)? <= now_ms {
        return Ok(Rotation::Unknown);
    }
    let params = [session.as_str().into(), REFRESHES_MAX.into()];
    let mut kept = transaction.execute(COUNT, &params).await?;
    if kept.pop().map_or(Ok(0), |mut row| row.take::<u32>(0))? >= REFRESHES_MAX {
        end_one(transaction, &session).await?;
        return Ok(Rotation::Over);
    }
    transaction.execute(SPEND, &[digest.into()]).await?;
    let refresh = issue(transaction, &session, now_ms).await?;
    Ok(Rotation::Next { account_id, refresh })
}

/// Ends the session that a refresh token belongs to, spent or not.
pub(crate) async fn end(transaction: &Transaction, token: &str) -> Result<(), Error> {
    const END: &str = "DELETE FROM sessions WHERE id = (SELECT session FROM refresh_tokens WHERE digest = ?1)";
    transaction.execute(END, &[digest(token).into()]).await?;
    Ok(())
}

/// Ends all sessions of an account.
pub(crate) async fn end_all(transaction: &Transaction, account_id: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM sessions WHERE account = ?1", &[account_id.into()]).await?;
    Ok(())
}

async fn end_one(transaction: &Transaction, session: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM sessions WHERE id = ?1", &[session.into()]).await?;
    Ok(())
}

async fn issue(transaction: &Transaction, session: &str, now_ms: i64) -> Result<Refresh, Error> {
    const ISSUE: &str = "INSERT INTO refresh_tokens (digest, session, expires_at_ms) VALUES (?1, ?2, ?3)";
    let refresh = Refresh { token: secret()?, expires_at_ms: now_ms + REFRESH_LIFETIME_MS };
    let params = [digest(&refresh.token).into(), session.into(), refresh.expires_at_ms.into()];
    transaction.execute(ISSUE, &params).await?;
    Ok(refresh)
}
