//! What orders ask about the charge of an order: to hold the money, to take it, to release it.

use commerce::{Id, unix_ms};
use service::Error;
use service::news::News;

use crate::app::App;
use crate::error::Refusal;
use crate::intent::{Intent, State};
use crate::operation::{Kind, Operation};
use crate::provider::Finding;
use crate::reports;
use crate::store::intents::{self, Key};
use crate::store::journal::{self, By, Cause, Move};
use crate::store::operations;
use crate::wish::Charge;
use crate::work;

/// Holds the money of an order. The same order again gives the intent it has, and goes on with it if it was left
/// without an outcome.
pub(crate) async fn authorize(app: &App, charge: &Charge) -> Result<Intent, Error> {
    let order = Key::Order(charge.0.order_id);
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    if let Some(existing) = intents::find(&transaction, order).await? {
        drop(transaction);
        if existing.amount != charge.0.amount {
            return Err(Refusal::IntentDiffers(existing.order_id.to_string()).into());
        }
        work::advance(app, existing.id, By::Call).await?;
        return intents::get(&app.database, order);
    }
    let intent = Id::new();
    let operation = Operation::new(intent, Kind::Authorize, None, now_ms);
    intents::insert(&transaction, intent, charge, app.providers.current(), now_ms).await?;
    operations::open(&transaction, &operation, now_ms + app.providers.claim_ms()).await?;
    let cause = Cause { by: By::Call, id: operation.id.to_string(), reported_at_ms: None };
    let step = Move { refund: None, from: None, to: State::Created.as_str(), event: None };
    journal::record(&transaction, intent, &step, &cause, now_ms).await?;
    transaction.commit().await?;

    work::perform(app, operation, By::Call).await?;
    intents::get(&app.database, order)
}

/// Takes the money that is held.
pub(crate) async fn capture(app: &App, order_id: Id) -> Result<Intent, Error> {
    end(app, order_id, Kind::Capture).await
}

/// Releases what is held. An intent whose outcome is not known yet is released as soon as it is.
pub(crate) async fn void(app: &App, order_id: Id) -> Result<Intent, Error> {
    end(app, order_id, Kind::Void).await
}

async fn end(app: &App, order_id: Id, kind: Kind) -> Result<Intent, Error> {
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    let intent = intents::load(&transaction, Key::Order(order_id)).await?;
    let rival = if kind == Kind::Capture { Kind::Void } else { Kind::Capture };
    let has_rival = operations::is_open(&transaction, intent.id, rival).await?;
    match wanted(&intent, kind, has_rival)? {
        Wanted::Nothing => return Ok(intent),
        Wanted::Operation => {}
    }
    let operation = Operation::new(intent.id, kind, None, now_ms);
    let is_held = match kind {
        // The authorization has its outcome, so nothing comes before it. Who makes it holds it, or else a sweep might
        // take it up in between, and this call would have no outcome to tell.
        Kind::Capture => operations::open(&transaction, &operation, now_ms + app.providers.claim_ms()).await?,
        // It waits behind an authorization without an outcome, so it is not taken up here but by its turn.
        _ => {
            operations::open(&transaction, &Operation { attempts: 0, ..operation.clone() }, now_ms).await?;
            false
        }
    };
    transaction.commit().await?;

    match is_held {
        true => work::perform(app, operation, By::Call).await.map(drop)?,
        false => work::advance(app, intent.id, By::Call).await?,
    }
    intents::get(&app.database, Key::Id(intent.id))
}

/// What a wish to end an intent comes to.
enum Wanted {
    Nothing,
    Operation,
}

fn wanted(intent: &Intent, kind: Kind, has_rival: bool) -> Result<Wanted, Refusal> {
    let refused = |wanted| Err(Refusal::IntentState { state: intent.shown_state(), wanted });
    match (kind, intent.state) {
        (Kind::Capture, State::Captured) => Ok(Wanted::Nothing),
        (Kind::Capture, State::Authorized) if !has_rival => Ok(Wanted::Operation),
        (Kind::Capture, _) => refused("captured"),
        (_, State::Voided | State::Declined | State::Failed) => Ok(Wanted::Nothing),
        (_, State::Created | State::RequiresAction | State::Authorized) if !has_rival => Ok(Wanted::Operation),
        (_, _) => refused("voided"),
    }
}

/// Asks how the charge stands, after the shopper did what was required. Tells orders if the intent moved.
pub(crate) async fn confirm(app: &App, order_id: Id) -> Result<Intent, Error> {
    let intent = intents::get(&app.database, Key::Order(order_id))?;
    if intent.state != State::RequiresAction {
        return Ok(intent);
    }
    let provider = app.providers.get(&intent.provider);
    let provider = provider.ok_or_else(|| Refusal::NoProvider(intent.provider.clone()))?;
    let report = provider.confirm(&intent).await;
    let news: Option<News> = match &report.finding {
        Finding::Charge(event) => {
            let now_ms = unix_ms();
            let cause = Cause { by: By::Confirm, id: intent.id.to_string(), reported_at_ms: None };
            let transaction = app.database.begin().await?;
            let current = intents::load(&transaction, Key::Id(intent.id)).await?;
            let reference = report.reference.as_deref();
            let news = reports::charge(&transaction, &current, reference, event, &cause, now_ms).await?;
            transaction.commit().await?;
            news
        }
        Finding::Processing | Finding::Refund(..) => None,
        Finding::Unknown(reason) => {
            eprintln!("the provider does not tell how intent {} stands: {reason}", intent.id);
            None
        }
    };
    if let Some(news) = news {
        app.orders.tell(&app.database, &news).await;
    }
    intents::get(&app.database, Key::Id(intent.id))
}
