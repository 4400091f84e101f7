//! Finishing what was left: by a death in between, by a service that did not answer, by a shopper who went away.

use std::sync::atomic::{AtomicU32, Ordering};

use commerce::unix_ms;
use futures::future::try_join_all;
use serde::Serialize;
use service::Error;

use crate::app::App;
use crate::store::tasks;
use crate::work;

/// Tasks that one sweep takes up at most; what follows from one is counted with it.
const SWEEP_MAX: u32 = 200;
/// A sweep takes up nothing new after this time, so that it ends before the host's deadline.
const SWEEP_MS_MAX: i64 = 10_000;
/// Tasks that are worked on at once, so that a service that is slow for one order does not hold up the others.
const WORKERS: usize = 8;

/// What a sweep did.
#[derive(Debug, Serialize)]
pub(crate) struct Swept {
    /// Tasks that were taken up.
    tasks: u32,
}

/// Takes up what is due.
pub(crate) async fn sweep(app: &App) -> Result<Swept, Error> {
    let (taken, until_ms) = (AtomicU32::new(0), unix_ms() + SWEEP_MS_MAX);
    // Most sweeps find nothing, and need not write to find that.
    if !tasks::is_any_due(&app.database, unix_ms())? {
        return Ok(Swept { tasks: 0 });
    }
    try_join_all((0..WORKERS).map(|_| take_up(app, &taken, until_ms))).await?;
    Ok(Swept { tasks: taken.into_inner() })
}

async fn take_up(app: &App, taken: &AtomicU32, until_ms: i64) -> Result<(), Error> {
    while taken.load(Ordering::Relaxed) < SWEEP_MAX && unix_ms() < until_ms {
        let Some(task) = tasks::claim(&app.database, unix_ms()).await? else { break };
        taken.fetch_add(1, Ordering::Relaxed);
        work::run(app, vec![task], until_ms).await;
    }
    Ok(())
}
