//! Undoing what was done for an order that came to nothing, or was called off.

use commerce::unix_ms;
use service::Error;

use super::{Outcome, finish, outcome};
use crate::app::App;
use crate::order::Order;
use crate::peers::catalog::{self, Returned};
use crate::peers::payments::{self, Released};
use crate::refund::{self, Refund};
use crate::store::{journal, orders, refunds, tasks};
use crate::task::Task;

/// Why money goes back that was taken for an order that came to nothing.
const REASON: &str = "The order came to nothing.";

/// Releases the money, or gives it back if it was taken.
pub(super) async fn money(app: &App, order: &Order, task: &Task) -> Result<Vec<Task>, Error> {
    let outcome = match payments::void(&app.peers.payments, order.id).await {
        Ok(Released::WasTaken) => return give_back(app, task).await,
        Ok(Released::Yes) => Outcome::Done("released", None),
        Ok(Released::Nothing) => nothing(task),
        Ok(Released::Open) => Outcome::Later("payments does not know yet".to_owned()),
        Err(error) => Outcome::Later(error.to_string()),
    };
    finish(app, task, outcome).await?;
    Ok(Vec::new())
}

/// Opens the refund of all that was taken, once: what becomes of a refund that the bank does not take is for staff to say.
async fn give_back(app: &App, task: &Task) -> Result<Vec<Task>, Error> {
    let now_ms = unix_ms();
    let mut held = Vec::new();
    let transaction = app.database.begin().await?;
    if tasks::close(&transaction, task, now_ms).await? {
        let order = orders::load(&transaction, task.order).await?;
        let is_given = !refunds::list_in(&transaction, order.id).await?.is_empty();
        if let Some(part) = refund::rest(&order).filter(|_| !is_given) {
            let refund = Refund::new(order.id, part, REASON, false, now_ms);
            held.extend(super::open_refund(&transaction, &refund, None, now_ms).await?);
        }
        journal::note(&transaction, task, task.kind.as_str(), "taken", None, now_ms).await?;
    }
    transaction.commit().await?;
    Ok(held)
}

/// Releases the stock, or takes what was sold and did not come back before into stock again.
pub(super) async fn stock(app: &App, order: &Order, task: &Task) -> Outcome {
    match catalog::release(&app.peers.catalog, order.id).await {
        Ok(Returned::Yes) => Outcome::Done("released", None),
        Ok(Returned::Nothing) => nothing(task),
        Ok(Returned::WasSold) => {
            let refunds = match refunds::list(&app.database, order.id) {
                Ok(refunds) => refunds,
                Err(error) => return Outcome::Later(error.to_string()),
            };
            let lines = refund::units_left(order, &refunds);
            if lines.is_empty() {
                return Outcome::Done("returned", None);
            }
            // There is one restock of this kind, so that the order is its key.
            outcome(catalog::restock(&app.peers.catalog, order.id, order.id, &lines).await, restocked)
        }
        Err(error) => Outcome::Later(error.to_string()),
    }
}

/// What came of a restock.
pub(super) fn restocked(answer: Result<(), String>) -> Outcome {
    match answer {
        Ok(()) => Outcome::Done("restocked", None),
        Err(refusal) => Outcome::Done("refused", Some(refusal)),
    }
}

/// Gives the uses of the coupons back.
pub(super) async fn coupons(app: &App, order: &Order, task: &Task) -> Outcome {
    outcome(catalog::unredeem(&app.peers.catalog, order.id).await, |returned| match returned {
        Returned::Nothing => nothing(task),
        Returned::Yes | Returned::WasSold => Outcome::Done("released", None),
    })
}

/// There is nothing to undo, unless a call is still on its way.
fn nothing(task: &Task) -> Outcome {
    match task.is_settled(unix_ms()) {
        true => Outcome::Done("nothing", None),
        false => Outcome::Later("a call may still be on its way".to_owned()),
    }
}
