//! Finishing what was left open: by a death in between, by a provider that did not answer, by a webhook whose work
//! failed, by orders that did not hear what moved.

use std::collections::BTreeMap;

use commerce::{Id, unix_ms};
use serde::Serialize;
use service::news::{self, News};
use service::{Error, figures};

use crate::app::App;
use crate::store::journal::By;
use crate::store::operations;
use crate::store::webhooks;
use crate::{webhooks as inbox, work};

/// Operations, and webhooks, that one sweep takes up at most.
const SWEEP_MAX: u32 = 100;
/// A sweep takes up nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;
/// It tells no other order that its payment moved after this time.
const TELLING_MS_MAX: i64 = 15_000;
/// How long a webhook is left to the request that brought it.
const WEBHOOK_GRACE_MS: i64 = 10_000;

/// What a sweep did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Swept {
    /// Operations that were taken up.
    operations: u32,
    /// Webhooks that were taken up.
    webhooks: u32,
    /// Orders whose payment moved.
    moved: usize,
    /// Orders that were told what they had not heard before.
    told: u32,
}

/// Says what a sweep has left, for its answer.
pub(crate) fn say_what_waits(app: &App) -> Result<(), Error> {
    let now_ms = unix_ms();
    let (open, oldest_s) = operations::open_now(&app.database, now_ms)?;
    figures::level("operations_open", open.into());
    figures::level("operations_oldest_seconds", oldest_s.into());
    figures::level("webhooks_failing", webhooks::count_failing(&app.database)?.into());
    news::say_what_waits(&app.database, now_ms)
}

/// Takes up what is due, and tells orders what moved.
pub(crate) async fn sweep(app: &App) -> Result<Swept, Error> {
    let started_ms = unix_ms();
    let mut swept = Swept::default();
    let mut moved: BTreeMap<Id, News> = BTreeMap::new();
    let waiting = webhooks::waiting(&app.database, started_ms - WEBHOOK_GRACE_MS, started_ms, SWEEP_MAX).await?;
    for waiting in waiting {
        swept.webhooks += 1;
        match inbox::resume(app, &waiting.stored).await {
            Ok(news) => moved.extend(news.map(|news| (news.order(), news))),
            Err(error) => {
                eprintln!("the webhook {} still waits: {error}", waiting.stored.id);
                webhooks::postpone(&app.database, &waiting, unix_ms()).await?;
            }
        }
    }
    while swept.operations < SWEEP_MAX && unix_ms() - started_ms < SWEEP_MS_MAX {
        let Some(operation) = operations::claim(&app.database, None, unix_ms(), app.providers.claim_ms()).await? else {
            break;
        };
        let id = operation.id;
        swept.operations += 1;
        match work::perform(app, operation, By::Sweep).await {
            Ok(news) => moved.extend(news.map(|news| (news.order(), news))),
            // One that fails must not hold up the others; it is due again when its time is over.
            Err(error) => eprintln!("operation {id} is left to a later sweep: {error}"),
        }
    }
    webhooks::clear(&app.database, started_ms).await?;
    swept.moved = moved.len();
    // Whoever is not told here is told by a later sweep. One that does not hear ends this: the others would not either.
    for news in moved.values() {
        if unix_ms() - started_ms >= TELLING_MS_MAX || !app.orders.tell(&app.database, news).await {
            return Ok(swept);
        }
    }
    swept.told = app.orders.sweep(&app.database).await?;
    Ok(swept)
}
