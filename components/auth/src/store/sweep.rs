//! Removing what is past its time.

use commerce::unix_ms;
use service::Error;
use sql::Database;

use crate::throttle::FORGOTTEN_AFTER_MS;

/// Rows that one statement removes at most, so that it never holds the writer for long.
const ROWS_MAX: usize = 1_000;
/// A sweep begins nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;

/// Removes what is past its time, and tells how many rows that were.
pub(crate) async fn sweep(database: &Database, now_ms: i64) -> Result<usize, Error> {
    // Each names the rows by their key, because SQLite takes no LIMIT in a DELETE.
    const EXPIRED: [(&str, &str, &str); 6] = [
        ("mailed_tokens", "digest", "expires_at_ms <= ?1"),
        ("refresh_tokens", "digest", "expires_at_ms <= ?1"),
        ("api_keys", "id", "expires_at_ms <= ?1"),
        ("logins", "state_digest", "expires_at_ms <= ?1"),
        ("outbox", "seq", "kept_until_ms <= ?1"),
        ("sessions", "id", "id NOT IN (SELECT session FROM refresh_tokens WHERE expires_at_ms > ?1)"),
    ];
    const FORGOTTEN: (&str, &str, &str) = ("attempts", "subject", "last_ms <= ?1 AND blocked_until_ms <= ?1");
    let (mut removed, until_ms) = (0, unix_ms() + SWEEP_MS_MAX);
    for (table, key, condition) in EXPIRED {
        removed += remove(database, table, key, condition, now_ms, until_ms).await?;
    }
    let (table, key, condition) = FORGOTTEN;
    removed += remove(database, table, key, condition, now_ms - FORGOTTEN_AFTER_MS, until_ms).await?;
    Ok(removed)
}

/// Removes all that it is time for, some at a time, until the sweep is to end.
async fn remove(
    database: &Database,
    table: &str,
    key: &str,
    condition: &str,
    time_ms: i64,
    until_ms: i64,
) -> Result<usize, Error> {
    let sql = format!(
        "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table} WHERE {condition} LIMIT {ROWS_MAX}) RETURNING 1"
    );
    let mut removed = 0;
    // At least once, so that no table waits for the others for ever.
    loop {
        let gone = database.execute(&sql, &[time_ms.into()]).await?.len();
        removed += gone;
        if gone < ROWS_MAX || unix_ms() >= until_ms {
            return Ok(removed);
        }
    }
}
