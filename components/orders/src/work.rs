//! Working on tasks: ask the other service, then write down what came of it, in one transaction with what follows.
//!
//! Death at any point leaves the task there. Whoever takes it up next, a repeated request or the sweep, asks the same
//! again, and the other service answers about the same effect.

mod checkout;
mod fulfilment;
mod refunds;
mod undo;

use std::collections::VecDeque;

use commerce::{Id, unix_ms};
use service::{Error, PeerError};
use sql::Transaction;

use crate::app::App;
use crate::saga::Undo;
use crate::store::{journal, orders, tasks};
use crate::task::{Kind, Task};

pub(crate) use refunds::{open as open_refund, settle as settle_refund};

/// Works on tasks that the caller holds and on what follows from them, until all are done or wait, or until a time. What
/// is left then is due when nobody holds it any more. One that fails does not hold up the others.
pub(crate) async fn run(app: &App, held: Vec<Task>, until_ms: i64) {
    let mut tasks = VecDeque::from(held);
    while let Some(task) = tasks.pop_front() {
        if unix_ms() >= until_ms {
            break;
        }
        let (kind, order) = (task.kind.as_str(), task.order);
        match perform(app, task).await {
            Ok(next) => tasks.extend(next),
            Err(error) => eprintln!("the task {kind} of the order {order} is left for later: {error}"),
        }
    }
}

/// Works on a task once, and gives what its holder is to go on with.
async fn perform(app: &App, task: Task) -> Result<Vec<Task>, Error> {
    let order = orders::get(&app.database, task.order)?;
    let outcome = match task.kind {
        Kind::Checkout => return checkout::step(app, &order, &task).await,
        Kind::Money => return undo::money(app, &order, &task).await,
        Kind::Refund => return refunds::give_back(app, &task).await,
        Kind::Stock => undo::stock(app, &order, &task).await,
        Kind::Coupons => undo::coupons(app, &order, &task).await,
        Kind::Restock => refunds::restock(app, &task).await,
        Kind::Cart => fulfilment::cart(app, &order, &task).await,
        Kind::Shipment => fulfilment::shipment(app, &order).await,
        Kind::Parcel => fulfilment::parcel(app, &order, &task).await,
        Kind::Recall => fulfilment::recall(app, &order).await,
    };
    finish(app, &task, outcome).await?;
    Ok(Vec::new())
}

/// What came of a task that nothing follows from.
enum Outcome {
    /// How the journal names it, and a note.
    Done(&'static str, Option<String>),
    /// It is not known yet, or cannot be yet.
    Later(String),
}

/// What an answer means, or that there was none.
fn outcome<T>(answer: Result<T, PeerError>, meaning: impl FnOnce(T) -> Outcome) -> Outcome {
    answer.map_or_else(|error| Outcome::Later(error.to_string()), meaning)
}

/// Ends the task, or leaves it for later.
async fn finish(app: &App, task: &Task, outcome: Outcome) -> Result<(), Error> {
    let transaction = app.database.begin().await?;
    match outcome {
        Outcome::Done(outcome, note) => {
            let now_ms = unix_ms();
            if tasks::close(&transaction, task, now_ms).await? {
                journal::note(&transaction, task, task.kind.as_str(), outcome, note.as_deref(), now_ms).await?;
            }
        }
        Outcome::Later(reason) => postpone(&transaction, task, task.kind.as_str(), &reason).await?,
    }
    Ok(transaction.commit().await?)
}

/// Leaves a task for later. The journal has the reason of the first time; the log has them all.
async fn postpone(transaction: &Transaction, task: &Task, step: &str, reason: &str) -> Result<(), Error> {
    let now_ms = unix_ms();
    if task.attempts == 1 {
        journal::note(transaction, task, step, "open", Some(reason), now_ms).await?;
    } else {
        eprintln!("{step} of the order {} is open after {} attempts: {reason}", task.order, task.attempts);
    }
    tasks::postpone(transaction, task, task.retry_at_ms(now_ms)).await
}

/// Opens the tasks that undo what may have been done for an order.
pub(crate) async fn open_undo(
    transaction: &Transaction,
    order: Id,
    undo: Undo,
    now_ms: i64,
) -> Result<Vec<Task>, Error> {
    let mut held = Vec::new();
    for kind in undo.tasks() {
        held.extend(tasks::open(transaction, order, kind, "", None, now_ms).await?);
    }
    Ok(held)
}
