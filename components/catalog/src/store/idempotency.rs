//! Answers that are given again when their request is.

use commerce::{IdempotencyKey, unix_ms};
use sql::Transaction;

use crate::answer::Answer;
use crate::error::Error;

/// How long an answer is kept.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;
/// Answers past their time that one new answer clears away.
const CLEARED_PER_WRITE: u32 = 10;

/// The answer that this request was given before, if it was.
pub(crate) async fn find(
    transaction: &Transaction,
    actor: &str,
    key: &IdempotencyKey,
    fingerprint: &str,
) -> Result<Option<Answer>, Error> {
    const FIND: &str = "SELECT fingerprint, answer FROM idempotency WHERE actor = ?1 AND key = ?2 AND at_ms > ?3";
    let params = [actor.into(), key.as_str().into(), (unix_ms() - KEPT_MS).into()];
    let Some(mut row) = transaction.execute(FIND, &params).await?.pop() else { return Ok(None) };
    if row.take::<String>(0)? != fingerprint {
        return Err(Error::KeyReused);
    }
    Ok(Some(serde_json::from_str(&row.take::<String>(1)?)?))
}

/// Keeps an answer, in the transaction of the write that it is about.
pub(crate) async fn keep(
    transaction: &Transaction,
    actor: &str,
    key: &IdempotencyKey,
    fingerprint: &str,
    answer: &Answer,
) -> Result<(), Error> {
    const CLEAR: &str = "
        DELETE FROM idempotency WHERE (actor, key) IN (
            SELECT actor, key FROM idempotency WHERE at_ms <= ?1 ORDER BY at_ms LIMIT ?2
        )";
    const KEEP: &str = "INSERT OR REPLACE INTO idempotency (actor, key, fingerprint, answer, at_ms)";
    let now_ms = unix_ms();
    transaction.execute(CLEAR, &[(now_ms - KEPT_MS).into(), CLEARED_PER_WRITE.into()]).await?;
    let row = vec![
        actor.into(),
        key.as_str().into(),
        fingerprint.into(),
        serde_json::to_string(answer)?.into(),
        now_ms.into(),
    ];
    Ok(transaction.insert(KEEP, vec![row], "").await?)
}
