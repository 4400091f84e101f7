//! Counted attempts.

use service::Error;
use sql::{Transaction, Value};

use crate::throttle::{Counter, Subject};

/// Counts an attempt as a failure of each subject, or says how long it has to wait, in milliseconds.
pub(crate) async fn attempt(transaction: &Transaction, subjects: &[Subject], now_ms: i64) -> Result<i64, Error> {
    let mut counters = Vec::new();
    for subject in subjects {
        counters.push(counter(transaction, &subject.key).await?);
    }
    let wait_ms = counters.iter().map(|counter| counter.wait_ms(now_ms)).max().unwrap_or(0);
    if wait_ms == 0 {
        for (subject, counter) in subjects.iter().zip(counters) {
            keep(transaction, &subject.key, counter.failed(subject.free, now_ms)).await?;
        }
    }
    Ok(wait_ms)
}

/// Takes an attempt of this subject back.
pub(crate) async fn take_back(transaction: &Transaction, subject: &Subject) -> Result<(), Error> {
    let counter = counter(transaction, &subject.key).await?;
    keep(transaction, &subject.key, counter.taken_back()).await
}

/// Forgets the failures of this subject.
pub(crate) async fn forget(transaction: &Transaction, subject: &Subject) -> Result<(), Error> {
    let params = [subject.key.as_str().into()];
    transaction.execute("DELETE FROM attempts WHERE subject = ?1", &params).await?;
    Ok(())
}

/// Whether the last time that this was true is longer ago than the pause, and begins the next one.
pub(crate) async fn pause(transaction: &Transaction, key: &str, pause_ms: i64, now_ms: i64) -> Result<bool, Error> {
    let before = counter(transaction, key).await?;
    let open = before.wait_ms(now_ms) == 0;
    // Written either way, so that the time it takes does not tell whether a mail goes out.
    let blocked_until_ms = if open { now_ms + pause_ms } else { before.blocked_until_ms };
    keep(transaction, key, Counter { failures: 0, blocked_until_ms, last_ms: now_ms }).await?;
    Ok(open)
}

async fn counter(transaction: &Transaction, key: &str) -> Result<Counter, Error> {
    const FIND: &str = "SELECT failures, blocked_until_ms, last_ms FROM attempts WHERE subject = ?1";
    let Some(mut row) = transaction.execute(FIND, &[key.into()]).await?.pop() else { return Ok(Counter::default()) };
    Ok(Counter { failures: row.take(0)?, blocked_until_ms: row.take(1)?, last_ms: row.take(2)? })
}

async fn keep(transaction: &Transaction, key: &str, counter: Counter) -> Result<(), Error> {
    const KEEP: &str =
        "INSERT OR REPLACE INTO attempts (subject, failures, blocked_until_ms, last_ms) VALUES (?1, ?2, ?3, ?4)";
    let params: [Value; 4] =
        [key.into(), counter.failures.into(), counter.blocked_until_ms.into(), counter.last_ms.into()];
    transaction.execute(KEEP, &params).await?;
    Ok(())
}
