//! The inbox of webhooks.

use service::Error;
use sql::{Database, Row, Transaction};

/// How long a webhook is kept after it was worked on.
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Old webhooks that one sweep clears away.
const CLEARED_MAX: u32 = 200;

/// A webhook that waits.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) provider: String,
    pub(crate) id: String,
    pub(crate) body: String,
}

/// What came of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was about an intent.
    Applied,
    /// It was about nothing that is known here.
    Ignored,
}

/// Keeps a webhook. One that is there already is the same: its id is the provider's.
pub(crate) async fn store(database: &Database, stored: &Stored, created_at_ms: i64, now_ms: i64) -> Result<(), Error> {
    const STORE: &str = "
        INSERT INTO webhooks (provider, id, body, created_at_ms, received_at_ms) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO NOTHING";
    let params = [
        stored.provider.as_str().into(),
        stored.id.as_str().into(),
        stored.body.as_str().into(),
        created_at_ms.into(),
        now_ms.into(),
    ];
    database.execute(STORE, &params).await?;
    Ok(())
}

/// Takes a webhook in the transaction of what it changes; `false` if it was worked on before.
pub(crate) async fn finish(
    transaction: &Transaction,
    provider: &str,
    webhook: &str,
    outcome: Outcome,
) -> Result<bool, Error> {
    const FINISH: &str = "
        UPDATE webhooks SET state = ?3 WHERE provider = ?1 AND id = ?2 AND state = 'stored' RETURNING id";
    let state = match outcome {
        Outcome::Applied => "applied",
        Outcome::Ignored => "ignored",
    };
    Ok(!transaction.execute(FINISH, &[provider.into(), webhook.into(), state.into()]).await?.is_empty())
}

/// Webhooks that were stored before this time and still wait; those that were tried least come first.
pub(crate) async fn waiting(database: &Database, before_ms: i64, limit: u32) -> Result<Vec<Stored>, Error> {
    const TAKE: &str = "
        UPDATE webhooks SET attempts = attempts + 1 WHERE (provider, id) IN (
            SELECT provider, id FROM webhooks WHERE state = 'stored' AND received_at_ms <= ?1
            ORDER BY attempts, created_at_ms LIMIT ?2
        ) RETURNING provider, id, body";
    let stored = |mut row: Row| Ok(Stored { provider: row.take(0)?, id: row.take(1)?, body: row.take(2)? });
    database.execute(TAKE, &[before_ms.into(), limit.into()]).await?.into_iter().map(stored).collect()
}

/// Clears away old webhooks that were worked on.
pub(crate) async fn clear(database: &Database, now_ms: i64) -> Result<(), Error> {
    const CLEAR: &str = "
        DELETE FROM webhooks WHERE (provider, id) IN (
            SELECT provider, id FROM webhooks WHERE state <> 'stored' AND received_at_ms <= ?1 LIMIT ?2
        )";
    database.execute(CLEAR, &[(now_ms - KEPT_MS).into(), CLEARED_MAX.into()]).await?;
    Ok(())
}
