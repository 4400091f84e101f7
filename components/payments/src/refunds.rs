//! Giving captured money back.

use commerce::{Id, Money, unix_ms};
use service::Error;

use crate::app::App;
use crate::error::Refusal;
use crate::intent::{Intent, State};
use crate::operation::{Kind, Operation};
use crate::refund::{self, Refund};
use crate::store::intents::{self, Key};
use crate::store::journal::{self, By, Cause, Move};
use crate::store::{operations, refunds};
use crate::wish::Repayment;
use crate::work;

/// Refunds a part or all of what was captured. The same refund again gives what came of it, and goes on with it if it
/// was left without an outcome. What is on its way counts as refunded for the next one.
pub(crate) async fn refund(app: &App, order_id: Id, wish: &Repayment) -> Result<Refund, Error> {
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    let intent = intents::load(&transaction, Key::Order(order_id)).await?;
    let wanted = &wish.0;
    if let Some(existing) = refunds::find(&transaction, &intent, wanted.refund_id).await? {
        drop(transaction);
        if existing.amount != wanted.amount {
            return Err(Refusal::RefundDiffers(existing.id.to_string()).into());
        }
        work::advance(app, intent.id, By::Call).await?;
        return refunds::get(&app.database, &intent, existing.id);
    }
    check(&intent, wanted.amount)?;
    let refund = Refund {
        id: wanted.refund_id,
        state: refund::State::Pending,
        amount: wanted.amount,
        reason: wanted.reason.clone(),
        reference: None,
        failure: None,
        created_at_ms: now_ms,
    };
    let operation = Operation::new(intent.id, Kind::Refund, Some(refund.id), now_ms);
    refunds::insert(&transaction, intent.id, &refund).await?;
    intents::add_refunds(&transaction, intent.id, refund.amount.minor(), 0, now_ms).await?;
    operations::open(&transaction, &operation, now_ms + app.providers.claim_ms()).await?;
    let cause = Cause { by: By::Call, id: operation.id.to_string(), reported_at_ms: None };
    let step = Move { refund: Some(refund.id), from: None, to: refund.state.as_str(), event: None };
    journal::record(&transaction, intent.id, &step, &cause, now_ms).await?;
    transaction.commit().await?;

    work::perform(app, operation, By::Call).await?;
    refunds::get(&app.database, &intent, refund.id)
}

fn check(intent: &Intent, amount: Money) -> Result<(), Error> {
    if amount.currency() != intent.amount.currency() {
        let rule = format!("in {}, as the intent is", intent.amount.currency().code());
        return Err(Error::invalid("amount.currency", rule));
    }
    if intent.state != State::Captured {
        return Err(Refusal::IntentState { state: intent.shown_state(), wanted: "refunded" }.into());
    }
    match amount.minor() <= intent.refundable() {
        true => Ok(()),
        false => Err(Refusal::RefundExceeds { refundable: intent.refundable() }.into()),
    }
}
