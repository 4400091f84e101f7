//! Giving a part of the money back, and taking its units into stock again.

use commerce::{Id, unix_ms};
use service::Error;
use sql::Transaction;

use super::undo::restocked;
use super::{Outcome, finish, outcome};
use crate::app::App;
use crate::peers::{catalog, payments};
use crate::refund::{Refund, State};
use crate::state::State as OrderState;
use crate::store::journal::{self, Move};
use crate::store::{orders, refunds, tasks};
use crate::task::{Kind, Task};

/// Writes a new refund down, with the task to give it.
pub(crate) async fn open(
    transaction: &Transaction,
    refund: &Refund,
    request: Option<&refunds::Request<'_>>,
    now_ms: i64,
) -> Result<Option<Task>, Error> {
    refunds::insert(transaction, refund, request).await?;
    orders::add_refunds(transaction, refund.order, refund.part.amount.minor(), 0, now_ms).await?;
    tasks::open(transaction, refund.order, Kind::Refund, &refund.id.to_string(), None, now_ms).await
}

/// Has payments give a refund, or tell how it stands.
pub(super) async fn give_back(app: &App, task: &Task) -> Result<Vec<Task>, Error> {
    let refund = match reference(task).map(|id| refunds::get(&app.database, id)).transpose()? {
        Some(refund) if refund.state == State::Pending => refund,
        _ => {
            finish(app, task, Outcome::Done("known", None)).await?;
            return Ok(Vec::new());
        }
    };
    let (state, failure) = match payments::give_back(&app.peers.payments, &refund).await {
        Ok((State::Pending, _)) => {
            finish(app, task, Outcome::Later("the money is on its way".to_owned())).await?;
            return Ok(Vec::new());
        }
        Ok(known) => known,
        Err(error) => {
            finish(app, task, Outcome::Later(error.to_string())).await?;
            return Ok(Vec::new());
        }
    };
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    if tasks::close(&transaction, task, now_ms).await? {
        let note = failure.as_deref();
        journal::note(&transaction, task, task.kind.as_str(), state.as_str(), note, now_ms).await?;
    }
    let held = settle(&transaction, refund.id, state, failure.as_deref(), now_ms).await?;
    transaction.commit().await?;
    Ok(held)
}

/// Takes in how a refund stands, and opens what follows: units that go back into stock, a parcel that is not sent.
pub(crate) async fn settle(
    transaction: &Transaction,
    refund: Id,
    state: State,
    failure: Option<&str>,
    now_ms: i64,
) -> Result<Vec<Task>, Error> {
    let known = refunds::load(transaction, refund).await?;
    if !known.state.moves_to(state) {
        return Ok(Vec::new());
    }
    refunds::set_state(transaction, refund, state, failure).await?;
    let minor = known.part.amount.minor();
    let shares = |state| match state {
        State::Pending => (minor, 0),
        State::Succeeded => (0, minor),
        State::Failed => (0, 0),
    };
    let (before, after) = (shares(known.state), shares(state));
    orders::add_refunds(transaction, known.order, after.0 - before.0, after.1 - before.1, now_ms).await?;
    let mut order = orders::load(transaction, known.order).await?;
    let refund = Refund { state, ..known };
    journal::tell(transaction, &order, &format!("refund_{}", state.as_str()), Some(&refund), now_ms).await?;

    let mut held = Vec::new();
    let is_whole = order.refunded == order.total().minor() && order.state.can_become(OrderState::Refunded);
    if state == State::Succeeded && is_whole {
        let was_here = order.state.is_before_shipping();
        let step = Move { to: OrderState::Refunded, actor: &refund.actor(), reason: Some(&refund.reason) };
        if let Some(moved) = orders::move_to(transaction, &order, &step, now_ms).await? {
            order = moved;
        }
        if was_here {
            held.extend(tasks::open(transaction, order.id, Kind::Recall, "", None, now_ms).await?);
        }
    }
    // Units of an order that was called off come back whatever the bank says.
    let comes_back = state == State::Succeeded || order.state == OrderState::Cancelled;
    if comes_back {
        refunds::set_taken_back(transaction, refund.id).await?;
    }
    if refund.restock && comes_back && !refund.part.lines.is_empty() {
        let reference = refund.id.to_string();
        held.extend(tasks::open(transaction, order.id, Kind::Restock, &reference, None, now_ms).await?);
    }
    Ok(held)
}

/// Takes the units of a refund back into stock.
pub(super) async fn restock(app: &App, task: &Task) -> Outcome {
    let refund = match reference(task).map(|id| refunds::get(&app.database, id)).transpose() {
        Ok(Some(refund)) => refund,
        Ok(None) => return Outcome::Done("unknown", None),
        Err(error) => return Outcome::Later(error.to_string()),
    };
    let answer = catalog::restock(&app.peers.catalog, refund.id, refund.order, &refund.part.lines).await;
    outcome(answer, restocked)
}

/// The refund that a task is about.
fn reference(task: &Task) -> Option<Id> {
    task.reference.parse().ok()
}
