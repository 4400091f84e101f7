//! For the shop's other services, and for the clock.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use serde_json::json;
use service::request::{Pairs, Segments};
use service::{Error, answer, outbox};

use super::Reply;
use super::keys::shown as rotation_shown;
use super::profile::shown;
use crate::app::App;
use crate::store::{accounts, keys, sweep as store_sweep};

/// `GET /internal/accounts/{id}`
pub(crate) async fn account(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    app.access.internal(&headers)?;
    let account = accounts::find(&app.database, &id).await?;
    Ok(shown(&account.ok_or(Error::NotFound { what: "account", key: id })?)?.into_response())
}

/// `POST /internal/keys/rotate`: a new key if the one that signs is old enough.
pub(crate) async fn rotate_keys(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    Ok(rotation_shown(keys::rotate_when_due(&app.database, app.now_ms()).await?))
}

/// `GET /internal/outbox?after=&limit=`: events in their order. Some hold tokens that open accounts.
pub(crate) async fn events(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = outbox::parse(pairs)?;
    let events = outbox::unexpired_after(&app.database, after, limit, app.now_ms()).await?;
    Ok(answer::json(serde_json::to_string(&json!({ "events": events }))?))
}

/// `POST /internal/sweep`: removes what is past its time.
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let removed = store_sweep::sweep(&app.database, app.now_ms()).await?;
    Ok(answer::json(json!({ "removed": removed }).to_string()))
}
