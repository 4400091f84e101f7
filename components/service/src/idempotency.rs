//! Writes that a client may repeat: the same key and request get the same answer.

use axum::http::{HeaderMap, StatusCode};
use commerce::{IdempotencyKey, Problem, fingerprint, unix_ms};
use sql::Transaction;

use crate::{Answer, Error};

/// The table of the answers, as one of a service's migrations.
pub const SCHEMA: &str = include_str!("idempotency.sql");
/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// Answers past their time that one new answer clears away.
const CLEARED_PER_WRITE: u32 = 10;

/// A write that may have been made before.
#[derive(Debug)]
pub struct Attempt {
    actor: String,
    key: Option<IdempotencyKey>,
    fingerprint: String,
}

impl Attempt {
    /// An attempt of `actor` at `target`, the method and path; the key is in the headers if the client wants one.
    pub fn new(headers: &HeaderMap, actor: &str, target: &str, body: &[u8]) -> Result<Self, Error> {
        let key = IdempotencyKey::from_headers(headers)?;
        Ok(Self { actor: actor.to_owned(), key, fingerprint: fingerprint(target, body) })
    }

    /// The key, for writes that must have one.
    pub fn required_key(&self) -> Result<&str, Error> {
        self.key.as_ref().map(IdempotencyKey::as_str).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "idempotency-key-required", "Idempotency-Key is required")
                .detail("send a key of your choice, and the same one when you repeat the request")
                .into()
        })
    }

    /// What tells this request from another one with the same key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The answer that this request was given before, if it was.
    pub async fn earlier_answer(&self, transaction: &Transaction) -> Result<Option<Answer>, Error> {
        const FIND: &str = "SELECT fingerprint, answer FROM idempotency WHERE actor = ?1 AND key = ?2 AND at_ms > ?3";
        let Some(key) = &self.key else { return Ok(None) };
        let params = [self.actor.as_str().into(), key.as_str().into(), (unix_ms() - KEPT_MS).into()];
        let Some(mut row) = transaction.execute(FIND, &params).await?.pop() else { return Ok(None) };
        if row.take::<String>(0)? != self.fingerprint {
            return Err(Error::KeyReused);
        }
        Ok(Some(serde_json::from_str(&row.take::<String>(1)?)?))
    }

    /// Keeps the answer, in the transaction of the write that it is about.
    pub async fn keep(&self, transaction: &Transaction, answer: &Answer) -> Result<(), Error> {
        const CLEAR: &str = "
            DELETE FROM idempotency WHERE (actor, key) IN (
                SELECT actor, key FROM idempotency WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2
            )";
        const KEEP: &str = "INSERT OR REPLACE INTO idempotency (actor, key, fingerprint, answer, at_ms)";
        let Some(key) = &self.key else { return Ok(()) };
        let now_ms = unix_ms();
        transaction.execute(CLEAR, &[(now_ms - KEPT_MS).into(), CLEARED_PER_WRITE.into()]).await?;
        let row = [
            self.actor.as_str().into(),
            key.as_str().into(),
            self.fingerprint.as_str().into(),
            serde_json::to_string(answer)?.into(),
            now_ms.into(),
        ];
        Ok(transaction.insert(KEEP, [row], "").await?)
    }
}
