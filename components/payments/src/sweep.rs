//! Finishing what was left open: by a death in between, by a provider that did not answer, by a webhook whose work
//! failed.

use std::collections::BTreeSet;

use commerce::{Id, unix_ms};
use serde::Serialize;
use service::Error;

use crate::app::App;
use crate::store::intents::{self, Key};
use crate::store::journal::By;
use crate::store::operations;
use crate::store::webhooks;
use crate::{webhooks as inbox, work};

/// Operations, and webhooks, that one sweep takes up at most.
const SWEEP_MAX: u32 = 100;
/// A sweep takes up nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;
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
}

/// Takes up what is due, and tells orders what moved.
pub(crate) async fn sweep(app: &App) -> Result<Swept, Error> {
    let started_ms = unix_ms();
    let mut swept = Swept::default();
    let mut moved: BTreeSet<Id> = BTreeSet::new();
    for stored in webhooks::waiting(&app.database, started_ms - WEBHOOK_GRACE_MS, SWEEP_MAX).await? {
        swept.webhooks += 1;
        match inbox::resume(app, &stored).await {
            Ok(order_id) => moved.extend(order_id),
            Err(error) => eprintln!("the webhook {} still waits: {error}", stored.id),
        }
    }
    while swept.operations < SWEEP_MAX && unix_ms() - started_ms < SWEEP_MS_MAX {
        let Some(operation) = operations::claim(&app.database, None, unix_ms(), app.providers.claim_ms()).await? else {
            break;
        };
        let (intent, id) = (operation.intent, operation.id);
        swept.operations += 1;
        match work::perform(app, operation, By::Sweep).await {
            Ok(true) => moved.extend([intents::get(&app.database, Key::Id(intent))?.order_id]),
            Ok(false) => {}
            // One that fails must not hold up the others; it is due again when its time is over.
            Err(error) => eprintln!("operation {id} is left to a later sweep: {error}"),
        }
    }
    webhooks::clear(&app.database, started_ms).await?;
    swept.moved = moved.len();
    for order_id in moved {
        app.tell_orders(order_id).await;
    }
    Ok(swept)
}
