//! Looking at orders.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::{Cursor, not_modified};
use identity::Role;
use serde_json::{Value, json};
use service::answer;
use service::request::{Pairs, Segments};

use super::{Reply, shown};
use crate::access::Caller;
use crate::app::App;
use crate::query::{Query, SORT};
use crate::store::{journal, lists};

/// `GET /api/orders?state=&customer=&email=&created_from=&created_until=&limit=&cursor=`: the caller's own; for staff
/// everybody's.
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    let principal = app.access.principal(&headers).await?;
    let is_staff = principal.require(Role::Staff).is_ok();
    let mut query = Query::parse(pairs, is_staff)?;
    if !is_staff {
        query.customer = Some(principal.subject().to_owned());
    }
    let mut found = lists::page(&app.database, &query).await?;
    let more = found.len() > query.limit.get() as usize;
    found.truncate(query.limit.get() as usize);
    let last = found.last().filter(|_| more).map(|order| order.id);
    let next = last.map(|after| Cursor { sort: SORT.to_owned(), after }.encode());
    let items: Vec<Value> = found.into_iter().map(|order| order.shown).collect();
    Ok(answer::json(json!({"items": items, "next_cursor": next}).to_string()))
}

/// `GET /api/orders/{id}`: by its id, or by its number.
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Segments(key): Segments<String>) -> Reply {
    let order = Caller::from_headers(&app.access, &headers).await?.find(&app, &key)?;
    if not_modified(&headers, &order.etag()) {
        let mut response = super::tagged(StatusCode::NOT_MODIFIED, &order, String::new());
        response.headers_mut().remove(axum::http::header::CONTENT_TYPE);
        return Ok(response.into_response());
    }
    shown(&app, &order)
}

/// `GET /api/orders/{id}/history`: who changed the order's state, when and why; for staff also what came of each step.
pub(crate) async fn history(State(app): State<Arc<App>>, headers: HeaderMap, Segments(key): Segments<String>) -> Reply {
    let caller = Caller::from_headers(&app.access, &headers).await?;
    let order = caller.find(&app, &key)?;
    let mut history = json!({"items": journal::history(&app.database, order.id, caller.is_staff())?});
    if caller.is_staff() {
        history["steps"] = journal::steps(&app.database, order.id)?.into();
    }
    Ok(answer::json(history.to_string()))
}
