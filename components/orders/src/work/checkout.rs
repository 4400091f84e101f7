//! The next step of a checkout.

use commerce::unix_ms;
use service::{Error, PeerError};
use sql::Transaction;

use super::{open_undo, postpone};
use crate::app::App;
use crate::order::{Actor, Order};
use crate::peers::{Report, catalog, payments};
use crate::request::Means;
use crate::saga::{Action, Ending, Event, Saga, Step};
use crate::state::State;
use crate::store::journal::{self, Move};
use crate::store::{orders, tasks};
use crate::task::{Kind, Task};

/// How old an order may be that the shopper has yet to pay. Then it is called off: nobody is charged for what they gave
/// up long ago.
pub(crate) const CHECKOUT_MS_MAX: i64 = 30 * 60 * 1000;

/// Takes the step at which the checkout of an order stands.
pub(super) async fn step(app: &App, order: &Order, task: &Task) -> Result<Vec<Task>, Error> {
    let Some(saga) = order.saga() else {
        // The checkout has ended, and its task is of no use.
        let transaction = app.database.begin().await?;
        tasks::close(&transaction, task, unix_ms()).await?;
        transaction.commit().await?;
        return Ok(Vec::new());
    };
    let is_late = unix_ms() - order.created_at_ms > CHECKOUT_MS_MAX;
    let report = match is_late && saga.step.is_before_payment() {
        true => Report::of(Event::TimeUp),
        false => ask(app, order, task, saga.step).await.unwrap_or_else(Report::open),
    };
    record(app, order, saga, task, report).await
}

async fn ask(app: &App, order: &Order, task: &Task, step: Step) -> Result<Report, PeerError> {
    let peers = &app.peers;
    match step {
        Step::Reserve | Step::Rehold => catalog::hold(&peers.catalog, order).await,
        Step::Redeem => catalog::redeem(&peers.catalog, order).await,
        Step::Authorize => {
            // While the payment waits, the stock has to be held for longer.
            if task.attempts > 1 {
                let held = catalog::hold(&peers.catalog, order).await?;
                if held.event != Event::Held {
                    return Ok(held);
                }
            }
            match task.data.as_deref().map(serde_json::from_str::<Means>) {
                Some(Ok(means)) => payments::authorize(&peers.payments, order, &means).await,
                _ => Ok(Report::open("the task does not say how to pay")),
            }
        }
        Step::Commit => catalog::commit(&peers.catalog, order.id).await,
        Step::Capture => payments::capture(&peers.payments, order.id).await,
    }
}

/// Writes down what came of a step, and what follows from it.
async fn record(app: &App, order: &Order, saga: Saga, task: &Task, report: Report) -> Result<Vec<Task>, Error> {
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    // From here on nobody else writes.
    let held = match orders::stand(&transaction, order.id).await? {
        (State::Pending, Some(step)) if step == saga.step => {
            follow(&transaction, order, saga, task, &report, now_ms).await?
        }
        // Somebody else ended the order meanwhile, so what the step has done since has to be undone as well.
        (State::Failed | State::Cancelled, _) => {
            open_undo(&transaction, order.id, saga.may_have_been_done(), now_ms).await?
        }
        // Somebody else goes on with it.
        _ => Vec::new(),
    };
    transaction.commit().await?;
    Ok(held)
}

/// What follows from a report, about an order that stands where it was thought to.
async fn follow(
    transaction: &Transaction,
    order: &Order,
    saga: Saga,
    task: &Task,
    report: &Report,
    now_ms: i64,
) -> Result<Vec<Task>, Error> {
    let (step, outcome) = (saga.step.as_str(), report.event.as_str());
    match saga.next(report.event) {
        Action::Go(next) => {
            journal::note(transaction, task, step, outcome, None, now_ms).await?;
            orders::advance(transaction, order.id, next, now_ms).await?;
            Ok(tasks::renew(transaction, task, now_ms).await?.into_iter().collect())
        }
        Action::Wait => {
            orders::set_next_action(transaction, order.id, report.next_action.as_ref(), now_ms).await?;
            postpone(transaction, task, step, report.note.as_deref().unwrap_or_default()).await?;
            Ok(Vec::new())
        }
        Action::Complete => {
            journal::note(transaction, task, step, outcome, None, now_ms).await?;
            let paid = Move { to: State::Paid, actor: &Actor::System, reason: None };
            orders::move_to(transaction, order, &paid, now_ms).await?;
            tasks::close(transaction, task, now_ms).await?;
            open_fulfilment(transaction, task, now_ms).await
        }
        Action::End(ending) => {
            journal::note(transaction, task, step, outcome, report.note.as_deref(), now_ms).await?;
            end(transaction, order, ending, report, now_ms).await?;
            tasks::close(transaction, task, now_ms).await?;
            open_undo(transaction, order.id, ending.undo, now_ms).await
        }
        Action::Nothing => {
            postpone(transaction, task, step, outcome).await?;
            Ok(Vec::new())
        }
    }
}

/// Moves an order to a bad end.
async fn end(
    transaction: &Transaction,
    order: &Order,
    ending: Ending,
    report: &Report,
    now_ms: i64,
) -> Result<(), Error> {
    let reason = match (&report.failure, report.event) {
        (Some(failure), _) => failure.message(),
        (None, Event::TimeUp) => "The payment did not come in time.",
        (None, event) => event.as_str(),
    };
    let step = Move { to: ending.state, actor: &Actor::System, reason: Some(reason) };
    orders::move_to(transaction, order, &step, now_ms).await?;
    match &report.failure {
        Some(failure) => orders::set_failure(transaction, order.id, failure).await,
        None => Ok(()),
    }
}

/// What is to be done for an order that is paid.
async fn open_fulfilment(transaction: &Transaction, task: &Task, now_ms: i64) -> Result<Vec<Task>, Error> {
    let means = task.data.as_deref().map(serde_json::from_str::<Means>).transpose()?;
    let cart = means.map(|means| serde_json::to_string(&means.cart)).transpose()?;
    let mut held = Vec::new();
    held.extend(tasks::open(transaction, task.order, Kind::Cart, "", cart.as_deref(), now_ms).await?);
    held.extend(tasks::open(transaction, task.order, Kind::Shipment, "", None, now_ms).await?);
    Ok(held)
}
