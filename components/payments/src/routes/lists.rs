//! What is read in pages: the outbox and the books of the test provider in the order in which they were written, and the
//! intents by order.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use service::outbox::Range;
use service::request::{Pairs, page};
use service::{Error, answer, outbox};

use crate::app::App;
use crate::error::Refusal;
use crate::provider::test::TestProvider;
use crate::store::{intents, journal, test_ledger};
use crate::view;

type Reply = Result<Response, Error>;

/// `GET /internal/intents?after=&limit=`: what the payment of each order comes to.
pub(crate) async fn intents(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs, Ok)?;
    let intents = intents::list(&app.database, &after.unwrap_or_default(), limit).await?;
    Ok(items(&intents.iter().map(view::sums).collect::<Vec<_>>()))
}

/// `GET /internal/outbox?after=&limit=`
pub(crate) async fn events(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = outbox::parse(pairs)?;
    Ok(items(&outbox::after(&app.database, after, limit).await?))
}

/// `GET /internal/outbox/audit?after=&through=`: whether the events about these orders agree with what happened.
pub(crate) async fn audit(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let audit = journal::audit(&app.database, &Range::parse(pairs)?).await?;
    Ok(answer::json(serde_json::to_string(&audit)?))
}

/// `GET /internal/test-provider/ledger?after=&limit=`: what an outside system would have booked.
pub(crate) async fn test_ledger(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs, parse_seq)?;
    if app.providers.get(TestProvider::NAME).is_none() {
        return Err(Refusal::NoProvider(TestProvider::NAME.to_owned()).into());
    }
    Ok(items(&test_ledger::list(&app.database, after.unwrap_or_default(), limit).await?))
}

fn items<T: Serialize>(items: &[T]) -> Response {
    answer::json(json!({"items": items}).to_string())
}

fn parse_seq(text: String) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "the seq of the last item that was read")
}
