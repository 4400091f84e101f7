//! API keys.

use commerce::rfc3339;
use identity::Role;
use serde_json::{Value as Json, json};
use service::Error;
use sql::{Database, Row, Transaction};

use super::accounts::{role, role_text};

const SELECT: &str =
    "SELECT id, account, name, role, digest, created_at_ms, expires_at_ms, last_used_at_ms FROM api_keys";

/// An API key as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct ApiKey {
    pub(crate) id: String,
    pub(crate) account_id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) digest: String,
    pub(crate) created_at_ms: i64,
    pub(crate) expires_at_ms: Option<i64>,
    pub(crate) last_used_at_ms: Option<i64>,
}

impl ApiKey {
    /// The key as it is sent, without its secret.
    pub(crate) fn to_json(&self) -> Json {
        json!({
            "id": self.id,
            "name": self.name,
            "role": self.role,
            "created_at": rfc3339(self.created_at_ms),
            "expires_at": self.expires_at_ms.map(rfc3339),
            "last_used_at": self.last_used_at_ms.map(rfc3339),
        })
    }
}

/// Adds a key.
pub(crate) async fn add(transaction: &Transaction, key: &ApiKey) -> Result<(), Error> {
    const ADD: &str = "
        INSERT INTO api_keys (id, account, name, role, digest, created_at_ms, expires_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let params = [
        key.id.as_str().into(),
        key.account_id.as_str().into(),
        key.name.as_str().into(),
        role_text(key.role).into(),
        key.digest.as_str().into(),
        key.created_at_ms.into(),
        key.expires_at_ms.into(),
    ];
    transaction.execute(ADD, &params).await?;
    Ok(())
}

/// How many keys an account has.
pub(crate) async fn count(transaction: &Transaction, account_id: &str) -> Result<u32, Error> {
    const COUNT: &str = "SELECT count(*) FROM api_keys WHERE account = ?1";
    let mut rows = transaction.execute(COUNT, &[account_id.into()]).await?;
    Ok(rows.pop().map_or(Ok(0), |mut row| row.take(0))?)
}

/// The keys of an account, the oldest first.
pub(crate) async fn of_account(database: &Database, account_id: &str) -> Result<Vec<ApiKey>, Error> {
    let sql = format!("{SELECT} WHERE account = ?1 ORDER BY created_at_ms, id");
    database.execute(&sql, &[account_id.into()]).await?.into_iter().map(api_key).collect()
}

/// The key of an id.
pub(crate) async fn find(database: &Database, id: &str) -> Result<Option<ApiKey>, Error> {
    let rows = database.execute(&format!("{SELECT} WHERE id = ?1"), &[id.into()]).await?;
    rows.into_iter().next().map(api_key).transpose()
}

/// Notes a use, at most once in a while, because the last minute is all that anybody looks for.
pub(crate) async fn used(database: &Database, id: &str, now_ms: i64) -> Result<(), Error> {
    const NOTED_EVERY_MS: i64 = 60 * 1_000;
    const USED: &str = "
        UPDATE api_keys SET last_used_at_ms = ?2
        WHERE id = ?1 AND (last_used_at_ms IS NULL OR last_used_at_ms <= ?3)";
    database.execute(USED, &[id.into(), now_ms.into(), (now_ms - NOTED_EVERY_MS).into()]).await?;
    Ok(())
}

/// Revokes a key of an account; false if there is none.
pub(crate) async fn revoke(database: &Database, account_id: &str, id: &str) -> Result<bool, Error> {
    const REVOKE: &str = "DELETE FROM api_keys WHERE id = ?1 AND account = ?2 RETURNING id";
    Ok(!database.execute(REVOKE, &[id.into(), account_id.into()]).await?.is_empty())
}

/// Revokes the keys of an account.
pub(crate) async fn revoke_all(transaction: &Transaction, account_id: &str) -> Result<(), Error> {
    transaction.execute("DELETE FROM api_keys WHERE account = ?1", &[account_id.into()]).await?;
    Ok(())
}

fn api_key(mut row: Row) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: row.take(0)?,
        account_id: row.take(1)?,
        name: row.take(2)?,
        role: role(row.take(3)?)?,
        digest: row.take(4)?,
        created_at_ms: row.take(5)?,
        expires_at_ms: row.take(6)?,
        last_used_at_ms: row.take(7)?,
    })
}
