//! Working on operations: ask the provider under the operation's key, then write down what came of it.
//!
//! Death at any point leaves the operation open. Whoever takes it up next shows the same key, so the provider's answer
//! is about the same effect.

use commerce::{Id, unix_ms};
use service::Error;
use service::news::News;

use crate::app::App;
use crate::intent::Intent;
use crate::operation::Operation;
use crate::provider::{Finding, Job, Report};
use crate::refund;
use crate::reports::{self, RefundReport};
use crate::store::intents::{self, Key};
use crate::store::journal::{By, Cause};
use crate::store::{operations, refunds};

/// Operations that one call works on at most: an authorization, and what waits behind it.
const OPERATIONS_PER_CALL_MAX: usize = 3;

/// Takes up what is due of an intent, so that a repeated call goes on where an earlier one was lost.
pub(crate) async fn advance(app: &App, intent: Id, by: By) -> Result<(), Error> {
    for _ in 0..OPERATIONS_PER_CALL_MAX {
        let Some(operation) =
            operations::claim(&app.database, Some(intent), unix_ms(), app.providers.claim_ms()).await?
        else {
            break;
        };
        perform(app, operation, by).await?;
    }
    Ok(())
}

/// Works on an operation that the caller holds; gives the news if orders is to be told.
pub(crate) async fn perform(app: &App, operation: Operation, by: By) -> Result<Option<News>, Error> {
    let intent = intents::get(&app.database, Key::Id(operation.intent))?;
    let refund = operation.refund.map(|refund| refunds::get(&app.database, &intent, refund)).transpose()?;
    let job = Job { operation, intent, refund, now_ms: unix_ms() };
    let report = match app.providers.get(&job.intent.provider) {
        Some(provider) => provider.perform(&job).await,
        None => Report::unknown(format!("the provider {:?} is not set up", job.intent.provider)),
    };
    settle(app, &job, &report, by).await
}

/// Writes down what came of an operation.
async fn settle(app: &App, job: &Job, report: &Report, by: By) -> Result<Option<News>, Error> {
    let Job { operation, .. } = job;
    let now_ms = unix_ms();
    let cause = Cause { by, id: operation.id.to_string(), reported_at_ms: None };
    let reference = report.reference.as_deref();
    let transaction = app.database.begin().await?;
    // It may have moved meanwhile, by a webhook.
    let intent = intents::load(&transaction, Key::Id(operation.intent)).await?;
    let (news, is_answered) = match (&report.finding, operation.refund) {
        (Finding::Charge(event), None) => {
            let news = reports::charge(&transaction, &intent, reference, event, &cause, now_ms).await?;
            (news, operation.kind.is_answered_by(event))
        }
        (Finding::Refund(state, failure), Some(refund)) => {
            let told = RefundReport { refund, reference, state: *state, failure: failure.as_ref() };
            let news = reports::refund(&transaction, &intent, &told, &cause, now_ms).await?;
            (news, *state != refund::State::Pending)
        }
        (Finding::Processing, refund) => {
            keep_reference(&transaction, &intent, refund, reference).await?;
            (None, false)
        }
        (Finding::Unknown(reason), _) => {
            eprintln!("operation {} is open after {} attempts: {reason}", operation.id, operation.attempts);
            (None, false)
        }
        (Finding::Charge(_), Some(_)) | (Finding::Refund(..), None) => {
            eprintln!("operation {} was answered with something else", operation.id);
            (None, false)
        }
    };
    match is_answered {
        true => operations::close(&transaction, operation.id).await?,
        false => operations::postpone(&transaction, operation.id, operation.retry_at_ms(now_ms)).await?,
    }
    transaction.commit().await?;
    Ok(news)
}

/// Keeps the provider's name of what it works on, so that it can be looked up.
async fn keep_reference(
    transaction: &sql::Transaction,
    intent: &Intent,
    refund: Option<Id>,
    reference: Option<&str>,
) -> Result<(), Error> {
    match (reference, refund) {
        (Some(reference), Some(refund)) => refunds::set_reference(transaction, intent.id, refund, reference).await,
        (Some(reference), None) => intents::set_reference(transaction, intent.id, reference).await,
        (None, _) => Ok(()),
    }
}
