//! Taking in what a provider told, whether it answered or called: one transaction moves the intent, writes down why,
//! tells others, and ends or opens operations.

use commerce::Id;
use service::Error;
use service::news::{self, News};
use sql::Transaction;

use crate::failure::Failure;
use crate::intent::{Event, Intent, Verdict};
use crate::operation::{Kind, Operation};
use crate::refund;
use crate::store::intents::{self, Key};
use crate::store::journal::{self, By, Cause, Move};
use crate::store::{operations, refunds};

/// Takes in how a charge stands; if orders is to be told that it moved, this is for the caller to do after the commit.
pub(crate) async fn charge(
    transaction: &Transaction,
    intent: &Intent,
    reference: Option<&str>,
    event: &Event,
    cause: &Cause,
    now_ms: i64,
) -> Result<Option<News>, Error> {
    if let Some(reference) = reference {
        intents::set_reference(transaction, intent.id, reference).await?;
    }
    operations::close_kinds(transaction, intent.id, Kind::settled_by(event)).await?;
    if intent.state.releases(event) {
        let release = Operation::new(intent.id, Kind::Void, None, now_ms);
        operations::open(transaction, &Operation { attempts: 0, ..release }, now_ms).await?;
    }
    let Verdict::Moves(state) = intent.state.after(event) else { return Ok(None) };
    intents::move_on(transaction, intent.id, event, now_ms).await?;
    let moved = intents::load(transaction, Key::Id(intent.id)).await?;
    let event = journal::tell(transaction, &moved, state.as_str(), None, now_ms).await?;
    let step = Move { refund: None, from: Some(intent.state.as_str()), to: state.as_str(), event: Some(event) };
    journal::record(transaction, intent.id, &step, cause, now_ms).await?;
    news(transaction, intent, cause, now_ms).await
}

/// How a refund stands, as a provider told it.
pub(crate) struct RefundReport<'a> {
    pub(crate) refund: Id,
    pub(crate) reference: Option<&'a str>,
    pub(crate) state: refund::State,
    pub(crate) failure: Option<&'a Failure>,
}

/// Takes in how a refund stands; if orders is to be told that it moved, this is for the caller to do after the commit.
pub(crate) async fn refund(
    transaction: &Transaction,
    intent: &Intent,
    report: &RefundReport<'_>,
    cause: &Cause,
    now_ms: i64,
) -> Result<Option<News>, Error> {
    let Some(known) = refunds::find(transaction, intent, report.refund).await? else { return Ok(None) };
    if let Some(reference) = report.reference {
        refunds::set_reference(transaction, intent.id, known.id, reference).await?;
    }
    if report.state != refund::State::Pending {
        operations::close_refund(transaction, intent.id, known.id).await?;
    }
    if !known.state.moves_to(report.state) {
        return Ok(None);
    }
    refunds::set_state(transaction, intent.id, known.id, report.state, report.failure).await?;
    let minor = known.amount.minor();
    let shares = |state| match state {
        refund::State::Pending => (minor, 0),
        refund::State::Succeeded => (0, minor),
        refund::State::Failed => (0, 0),
    };
    let (before, after) = (shares(known.state), shares(report.state));
    intents::add_refunds(transaction, intent.id, after.0 - before.0, after.1 - before.1, now_ms).await?;
    let moved = intents::load(transaction, Key::Id(intent.id)).await?;
    let what = format!("refund_{}", report.state.as_str());
    let event = Some(journal::tell(transaction, &moved, &what, Some((known.id, minor)), now_ms).await?);
    let step = Move { refund: Some(known.id), from: Some(known.state.as_str()), to: report.state.as_str(), event };
    journal::record(transaction, intent.id, &step, cause, now_ms).await?;
    news(transaction, intent, cause, now_ms).await
}

/// That orders is to be told. Who calls hears it as the answer, and asks again if there is none.
async fn news(transaction: &Transaction, intent: &Intent, cause: &Cause, now_ms: i64) -> Result<Option<News>, Error> {
    match cause.by {
        By::Call => Ok(None),
        By::Confirm | By::Webhook | By::Sweep => news::put(transaction, intent.order_id, now_ms).await.map(Some),
    }
}
