//! What is read in the order in which it was written: the outbox, and the books of the test provider.

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
use crate::store::{journal, test_ledger};

type Reply = Result<Response, Error>;

/// `GET /internal/outbox?after=&limit=`
pub(crate) async fn outbox(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs)?;
    Ok(items(journal::outbox(&app.database, after, limit).await?))
}

/// `GET /internal/test-provider/ledger?after=&limit=`: what an outside system would have booked.
pub(crate) async fn test_ledger(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs)?;
    if app.providers.get(TestProvider::NAME).is_none() {
        return Err(Refusal::NoProvider(TestProvider::NAME.to_owned()).into());
    }
    Ok(items(test_ledger::list(&app.database, after, limit).await?))
}

fn items(items: Vec<Value>) -> Response {
    answer::json(json!({"items": items}).to_string())
}

/// After which number to go on, and with how many.
fn page(Pairs(pairs): Pairs) -> Result<(i64, Limit), Error> {
    let (mut after, mut limit) = (0, Limit::MAX);
    for (name, value) in pairs {
        let refuse = |reason: &str| Error::Query { name: name.clone(), reason: reason.to_owned() };
        match name.as_str() {
            "after" => after = value.parse().map_err(|_| refuse("the seq of the last item that was read"))?,
            "limit" => {
                let rows: u32 = value.parse().map_err(|_| refuse("a number"))?;
                limit = Limit::try_from(rows).map_err(|reason| refuse(&reason))?;
            }
            _ => return Err(refuse("there is no such parameter")),
        }
    }
    Ok((after, limit))
}
