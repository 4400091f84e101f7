//! Webhooks: checked, stored as they came, then worked on. They may come twice, out of order, and before the answer
//! to the call that caused them.

use axum::http::HeaderMap;
use commerce::unix_ms;
use service::Error;
use service::news::News;

use crate::app::App;
use crate::error::Refusal;
use crate::provider::{Finding, Notice};
use crate::reports::{self, RefundReport};
use crate::signature;
use crate::store::intents;
use crate::store::journal::{By, Cause};
use crate::store::webhooks::{self, Outcome, Stored};

/// Takes a webhook in. Once it is stored it is never lost, so a failure to work on it is left to the sweep.
pub(crate) async fn receive(app: &App, provider: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
    let known = app.providers.get(provider).ok_or_else(|| Refusal::NoProvider(provider.to_owned()))?;
    let signature = headers.get(known.signature_header()).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let now_ms = unix_ms();
    signature::verify(&app.webhook_secret, signature, body, now_ms / 1000)?;
    let notice = known.read_webhook(body).map_err(Error::NotJson)?;
    let body = String::from_utf8_lossy(body).into_owned();
    let stored = Stored { provider: provider.to_owned(), id: notice.id.clone(), body };
    webhooks::store(&app.database, &stored, notice.at_ms, now_ms).await?;
    match apply(app, provider, &notice).await {
        Ok(Some(news)) => drop(app.orders.tell(&app.database, &news).await),
        Ok(None) => {}
        Err(error) => eprintln!("the webhook {} waits for the sweep: {error}", stored.id),
    }
    Ok(())
}

/// Works on a webhook that an earlier instance stored and did not finish; gives the news if orders is to be told.
pub(crate) async fn resume(app: &App, stored: &Stored) -> Result<Option<News>, Error> {
    let provider = app.providers.get(&stored.provider);
    let provider = provider.ok_or_else(|| Refusal::NoProvider(stored.provider.clone()))?;
    apply(app, &stored.provider, &provider.read_webhook(stored.body.as_bytes())?).await
}

async fn apply(app: &App, provider: &str, notice: &Notice) -> Result<Option<News>, Error> {
    let now_ms = unix_ms();
    let cause = Cause { by: By::Webhook, id: notice.id.clone(), reported_at_ms: Some(notice.at_ms) };
    let transaction = app.database.begin().await?;
    let intent = match &notice.report {
        Some(_) => intents::find_reported(&transaction, provider, notice.charge.as_deref(), notice.order_id).await?,
        None => None,
    };
    let outcome = if intent.is_some() { Outcome::Applied } else { Outcome::Ignored };
    if !webhooks::finish(&transaction, provider, &notice.id, outcome).await? {
        return Ok(None);
    }
    let (Some(intent), Some(report)) = (intent, &notice.report) else {
        transaction.commit().await?;
        return Ok(None);
    };
    let reference = report.reference.as_deref();
    let news = match (&report.finding, notice.refund) {
        (Finding::Charge(event), _) => reports::charge(&transaction, &intent, reference, event, &cause, now_ms).await?,
        (Finding::Refund(state, failure), Some(refund)) => {
            let told = RefundReport { refund, reference, state: *state, failure: failure.as_ref() };
            reports::refund(&transaction, &intent, &told, &cause, now_ms).await?
        }
        (Finding::Refund(..), None) | (Finding::Processing | Finding::Unknown(_), _) => None,
    };
    transaction.commit().await?;
    Ok(news)
}
