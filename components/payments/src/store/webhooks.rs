//! The inbox of webhooks.

use commerce::rfc3339;
use serde::Serialize;
use service::{Error, Retry};
use sql::{Database, Row, Transaction};

/// How long a webhook is kept after it was worked on.
const KEPT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a sweep has a webhook that it took up, in milliseconds; as long as it may work in all.
const LEASE_MS: i64 = 30_000;
/// How long after a failure a webhook is worked on again.
const RETRY: Retry = Retry { first_ms: 5_000, max_ms: 60 * 60 * 1000 };
/// Failures after which a webhook is told of, since it will hardly mend itself. By then it has waited for ten minutes.
const FAILING_ATTEMPTS: u32 = 8;
/// Webhooks that fail which are named at most.
const FAILING_MAX: u32 = 20;
/// Those that are counted at most.
const COUNTED_MAX: u32 = 1_000;
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

/// A webhook to work on again.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stored: Stored,
    /// How often it was taken up, this time included.
    attempts: u32,
}

/// Takes up webhooks that were stored before this time and are due; those that have been for longest come first.
pub(crate) async fn waiting(
    database: &Database,
    before_ms: i64,
    now_ms: i64,
    limit: u32,
) -> Result<Vec<Waiting>, Error> {
    const TAKE: &str = "
        UPDATE webhooks SET attempts = attempts + 1, due_at_ms = ?4 WHERE (provider, id) IN (
            SELECT provider, id FROM webhooks WHERE state = 'stored' AND due_at_ms <= ?2 AND received_at_ms <= ?1
            ORDER BY due_at_ms, created_at_ms LIMIT ?3
        ) RETURNING provider, id, body, attempts";
    let waiting = |mut row: Row| {
        let stored = Stored { provider: row.take(0)?, id: row.take(1)?, body: row.take(2)? };
        Ok(Waiting { stored, attempts: row.take(3)? })
    };
    let params = [before_ms.into(), now_ms.into(), limit.into(), (now_ms + LEASE_MS).into()];
    database.execute(TAKE, &params).await?.into_iter().map(waiting).collect()
}

/// Leaves a webhook whose work failed for later.
pub(crate) async fn postpone(database: &Database, webhook: &Waiting, now_ms: i64) -> Result<(), Error> {
    const POSTPONE: &str = "UPDATE webhooks SET due_at_ms = ?3 WHERE provider = ?1 AND id = ?2 AND state = 'stored'";
    let Stored { provider, id, .. } = &webhook.stored;
    let due_at_ms = RETRY.at_ms(webhook.attempts, now_ms);
    database.execute(POSTPONE, &[provider.as_str().into(), id.as_str().into(), due_at_ms.into()]).await?;
    Ok(())
}

/// Webhooks that were tried for long and still wait.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Failing {
    total: u32,
    /// The first of them.
    webhooks: Vec<FailingWebhook>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct FailingWebhook {
    provider: String,
    id: String,
    attempts: u32,
    received_at: String,
}

/// Those that wait though they were tried for long.
pub(crate) async fn failing(database: &Database) -> Result<Failing, Error> {
    const FIND: &str = "
        SELECT provider, id, attempts, received_at_ms, count(*) OVER () FROM webhooks
        WHERE state = 'stored' AND attempts >= ?1 ORDER BY received_at_ms LIMIT ?2";
    let mut failing = Failing::default();
    for mut row in database.execute(FIND, &[FAILING_ATTEMPTS.into(), FAILING_MAX.into()]).await? {
        failing.total = row.take(4)?;
        failing.webhooks.push(FailingWebhook {
            provider: row.take(0)?,
            id: row.take(1)?,
            attempts: row.take(2)?,
            received_at: rfc3339(row.take(3)?),
        });
    }
    Ok(failing)
}

/// How many wait though they were tried for long; no more than [`COUNTED_MAX`].
pub(crate) fn count_failing(database: &Database) -> Result<u32, Error> {
    const COUNT: &str = "
        SELECT count(*) FROM (SELECT 1 FROM webhooks WHERE state = 'stored' AND attempts >= ?1 LIMIT ?2)";
    let mut counted = database.read(COUNT, &[FAILING_ATTEMPTS.into(), COUNTED_MAX.into()])?;
    counted.pop().map_or(Ok(0), |mut row| Ok(row.take(0)?))
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
