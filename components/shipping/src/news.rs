//! Telling orders that staff moved a parcel. That an order is to be told is written down with the move; it is told at once,
//! and again until it knows. It asks what happened by itself, so it may be told of one thing twice, or of two at once.

use commerce::{Id, unix_ms};
use serde::Serialize;
use serde_json::json;
use service::{Error, Retry};

use crate::app::App;
use crate::store::news as store;

/// How long who tells an order has for it, in milliseconds; longer than any call takes.
pub(crate) const LEASE_MS: i64 = 30_000;
/// How long after a failure an order is told again.
const RETRY: Retry = Retry { first_ms: 1_000, max_ms: 5 * 60 * 1_000 };
/// For how long an order is told that does not hear, in milliseconds.
const TOLD_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// Orders that one sweep tells at most.
const SWEEP_MAX: u32 = 200;
/// A sweep takes up nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;

/// That an order is to be told.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) order: Id,
    /// Tells it from what happens while the order is told.
    pub(crate) seq: i64,
    /// How often it was told, this time included.
    pub(crate) attempts: u32,
    /// When it happened.
    pub(crate) since_ms: i64,
}

/// What a sweep did.
#[derive(Debug, Serialize)]
pub(crate) struct Swept {
    /// Orders that were told.
    told: u32,
}

/// Tells an order, and whether it heard. Trouble with that is for the log: the news are there until they are heard.
pub(crate) async fn tell(app: &App, news: &News) -> bool {
    match attempt(app, news).await {
        Ok(heard) => heard,
        Err(error) => {
            eprintln!("what the order {} heard is not written down: {error}", news.order);
            false
        }
    }
}

async fn attempt(app: &App, news: &News) -> Result<bool, Error> {
    let told = app.orders.post("/internal/shipments/changed", &json!({"order_id": news.order})).await;
    let reason = match told {
        Ok(reply) if reply.status.is_success() => {
            store::close(&app.database, news).await?;
            return Ok(true);
        }
        Ok(reply) => reply.unexpected(),
        Err(error) => error,
    };
    let now_ms = unix_ms();
    match now_ms - news.since_ms < TOLD_FOR_MS {
        true => {
            eprintln!("the order {} was not told of its parcel, attempt {}: {reason}", news.order, news.attempts);
            store::postpone(&app.database, news, RETRY.at_ms(news.attempts, now_ms)).await?;
        }
        false => {
            eprintln!("the order {} is told of its parcel no more: {reason}", news.order);
            store::close(&app.database, news).await?;
        }
    }
    Ok(false)
}

/// Tells the orders that have yet to hear. One that does not hear ends the sweep: the others would not either.
pub(crate) async fn sweep(app: &App) -> Result<Swept, Error> {
    let (mut swept, until_ms) = (Swept { told: 0 }, unix_ms() + SWEEP_MS_MAX);
    // Most sweeps find nothing, and need not write to find that.
    while swept.told < SWEEP_MAX && unix_ms() < until_ms && store::is_any_due(&app.database, unix_ms())? {
        let Some(news) = store::claim(&app.database, unix_ms()).await? else { break };
        if !tell(app, &news).await {
            break;
        }
        swept.told += 1;
    }
    Ok(swept)
}
