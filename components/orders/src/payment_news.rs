//! News of payments: a shopper confirmed, a bank took its time, money came or went that nobody waited for.

use commerce::{Id, unix_ms};
use service::Error;

use crate::app::App;
use crate::checkout::LIVE_MS_MAX;
use crate::peers::payments;
use crate::refund::State;
use crate::state::State as OrderState;
use crate::store::{orders, refunds, tasks};
use crate::task::Kind;
use crate::work;

/// Looks again at all that an order waits for.
pub(crate) async fn hear(app: &App, order: Id) -> Result<(), Error> {
    let now_ms = unix_ms();
    let known = orders::get(&app.database, order)?;
    // Money may have come for an order that had ended, and must not stay.
    if matches!(known.state, OrderState::Failed | OrderState::Cancelled) && known.total().minor() > 0 {
        let transaction = app.database.begin().await?;
        tasks::open(&transaction, order, Kind::Money, "", None, now_ms).await?;
        transaction.commit().await?;
    }
    let tasks = tasks::seize(&app.database, order, now_ms).await?;
    work::run(app, tasks, now_ms + LIVE_MS_MAX).await;
    look_at_refunds(app, order).await
}

/// A bank may send back what it had taken: then a refund that succeeded has failed.
async fn look_at_refunds(app: &App, order: Id) -> Result<(), Error> {
    let known = refunds::list(&app.database, order)?;
    if !known.iter().any(|refund| refund.state == State::Succeeded) {
        return Ok(());
    }
    let Some(intent) = payments::find(&app.peers.payments, order).await? else { return Ok(()) };
    let (mut held, now_ms) = (Vec::new(), unix_ms());
    let transaction = app.database.begin().await?;
    for given in intent.refunds.iter().filter(|given| known.iter().any(|refund| refund.id == given.refund_id)) {
        held.extend(work::settle_refund(&transaction, given.refund_id, given.state, given.failure(), now_ms).await?);
    }
    transaction.commit().await?;
    work::run(app, held, now_ms + LIVE_MS_MAX).await;
    Ok(())
}
