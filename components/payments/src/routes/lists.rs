//! What is read in pages: the outbox and the books of the test provider in the order in which they were written, and the
//! intents by order.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::Limit;
use serde_json::{Value, json};
use service::Error;
use service::answer;
use service::request::Pairs;

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
    Ok(items(intents.iter().map(view::sums).collect()))
}

/// `GET /internal/outbox?after=&limit=`
pub(crate) async fn outbox(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs, parse_seq)?;
    Ok(items(journal::outbox(&app.database, after.unwrap_or_default(), limit).await?))
}

/// `GET /internal/test-provider/ledger?after=&limit=`: what an outside system would have booked.
pub(crate) async fn test_ledger(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs, parse_seq)?;
    if app.providers.get(TestProvider::NAME).is_none() {
        return Err(Refusal::NoProvider(TestProvider::NAME.to_owned()).into());
    }
    Ok(items(test_ledger::list(&app.database, after.unwrap_or_default(), limit).await?))
}

fn items(items: Vec<Value>) -> Response {
    answer::json(json!({"items": items}).to_string())
}

/// After which item to go on, and with how many.
fn page<K>(
    Pairs(pairs): Pairs,
    parse: impl Fn(String) -> Result<K, &'static str>,
) -> Result<(Option<K>, Limit), Error> {
    let (mut after, mut limit) = (None, Limit::MAX);
    for (name, value) in pairs {
        let refuse = |reason: &str| Error::Query { name: name.clone(), reason: reason.to_owned() };
        match name.as_str() {
            "after" => after = Some(parse(value).map_err(refuse)?),
            "limit" => {
                let rows: u32 = value.parse().map_err(|_| refuse("a number"))?;
                limit = Limit::try_from(rows).map_err(|reason| refuse(&reason))?;
            }
            _ => return Err(refuse("there is no such parameter")),
        }
    }
    Ok((after, limit))
}

fn parse_seq(text: String) -> Result<i64, &'static str> {
    text.parse().map_err(|_| "the seq of the last item that was read")
}
