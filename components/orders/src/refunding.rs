//! Giving money back for an order that was paid. The same request again finds the refund that it asked for, and goes on
//! with it.

use commerce::{Precondition, unix_ms};
use service::Error;
use service::idempotency::Attempt;

use crate::app::App;
use crate::checkout::LIVE_MS_MAX;
use crate::error::Refusal;
use crate::order::Order;
use crate::refund::{Refund, RefundInput, State};
use crate::state::State as OrderState;
use crate::store::{journal, orders, refunds, tasks};
use crate::work;

/// Gives back what staff wishes, and tells what came of it.
pub(crate) async fn refund(
    app: &App,
    seen: &Order,
    staff: &str,
    attempt: &Attempt,
    precondition: Result<Precondition, Error>,
    input: &RefundInput,
) -> Result<(Refund, Order), Error> {
    let key = attempt.required_key()?;
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    if let Some((known, fingerprint)) = refunds::find_request(&transaction, staff, key).await? {
        drop(transaction);
        if fingerprint != attempt.fingerprint() {
            return Err(Error::KeyReused);
        }
        if refunds::get(&app.database, known)?.state == State::Pending {
            work::run(app, tasks::claim_of(&app.database, seen.id, now_ms).await?, now_ms + LIVE_MS_MAX).await;
        }
        return Ok((refunds::get(&app.database, known)?, orders::get(&app.database, seen.id)?));
    }
    let order = orders::load(&transaction, seen.id).await?;
    precondition?.check(order.version)?;
    let before = refunds::list_in(&transaction, order.id).await?;
    // Money may have been taken for an order that was never paid in full; then the shop has begun to give it back.
    if order.paid.is_none() && before.is_empty() {
        return Err(Refusal::NotThere { from: order.state, to: OrderState::Refunded }.into());
    }
    if before.len() >= refunds::REFUNDS_MAX as usize {
        return Err(Refusal::TooManyRefunds(refunds::REFUNDS_MAX).into());
    }
    let refund = Refund::new(order.id, input.part_of(&order, &before)?, &input.reason, input.restock, now_ms);
    let request = refunds::Request { actor: staff, key, fingerprint: attempt.fingerprint() };
    let held = work::open_refund(&transaction, &refund, Some(&request), now_ms).await?;
    if let Some(task) = &held {
        let who = format!("by {staff}: {}", refund.reason);
        journal::note(&transaction, task, task.kind.as_str(), "asked", Some(&who), now_ms).await?;
    }
    transaction.commit().await?;

    work::run(app, held.into_iter().collect(), now_ms + LIVE_MS_MAX).await;
    Ok((refunds::get(&app.database, refund.id)?, orders::get(&app.database, order.id)?))
}
