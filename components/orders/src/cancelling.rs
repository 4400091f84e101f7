//! Calling an order off: what was held is released, what was taken is given back, what was sold is in stock again.

use commerce::{Precondition, unix_ms};
use service::Error;

use crate::access::Caller;
use crate::app::App;
use crate::checkout::LIVE_MS_MAX;
use crate::error::Refusal;
use crate::order::Order;
use crate::refund::{self, Refund};
use crate::saga::{Action, Event, Undo};
use crate::state::State;
use crate::store::journal::Move;
use crate::store::{orders, tasks};
use crate::task::{Kind, Task};
use crate::work;

/// Calls an order off that the caller may see. Once more changes nothing.
pub(crate) async fn cancel(
    app: &App,
    caller: &Caller,
    seen: &Order,
    precondition: &Precondition,
    reason: &str,
) -> Result<Order, Error> {
    let (side, actor) = caller.acts(seen);
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    let order = orders::load(&transaction, seen.id).await?;
    if order.state == State::Cancelled {
        return Ok(order);
    }
    precondition.check(order.version)?;
    if !order.state.can_be_cancelled_by(side) {
        return Err(Refusal::NotCancellable(order.state).into());
    }
    let step = Move { to: State::Cancelled, actor: &actor, reason: Some(reason) };
    // The transaction is the only one that writes now, so the order is where it was just read to be.
    orders::move_to(&transaction, &order, &step, now_ms).await?;
    let held = undo(&transaction, &order, reason, now_ms).await?;
    transaction.commit().await?;

    work::run(app, held, now_ms + LIVE_MS_MAX).await;
    orders::get(&app.database, order.id)
}

/// Opens what undoes an order that stood as `order` does.
async fn undo(transaction: &sql::Transaction, order: &Order, reason: &str, now_ms: i64) -> Result<Vec<Task>, Error> {
    if let Some(saga) = order.saga() {
        tasks::close_kind(transaction, order.id, Kind::Checkout).await?;
        return match saga.next(Event::Cancelled) {
            Action::End(ending) => work::open_undo(transaction, order.id, ending.undo, now_ms).await,
            _ => Ok(Vec::new()),
        };
    }
    let has_coupons = !order.content.priced.coupons.is_empty();
    let undo = Undo { stock: true, coupons: has_coupons, money: false };
    let mut held = work::open_undo(transaction, order.id, undo, now_ms).await?;
    if let Some(part) = refund::rest(order) {
        let refund = Refund::new(order.id, part, reason, false, now_ms);
        held.extend(work::open_refund(transaction, &refund, None, now_ms).await?);
    }
    held.extend(tasks::open(transaction, order.id, Kind::Recall, "", None, now_ms).await?);
    Ok(held)
}
