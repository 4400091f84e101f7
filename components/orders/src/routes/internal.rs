//! For the shop's other services and the host's schedule.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use commerce::{Id, unix_ms};
use serde::Deserialize;
use serde_json::json;
use service::request::{Pairs, parse, read_body};
use service::{answer, figures, outbox};

use super::Reply;
use crate::app::App;
use crate::store::{journal, tasks};
use crate::{parcel_news, payment_news, sweep as sweeping};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changed {
    order_id: Id,
}

/// `POST /internal/orders/sweep`: takes up what was left, and says how much still is.
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let swept = sweeping::sweep(&app).await?;
    let open = tasks::open_now(&app.database, unix_ms())?;
    figures::level("tasks_open", open.tasks.into());
    figures::level("tasks_oldest_seconds", open.oldest_s.into());
    figures::level("tasks_stuck", open.stuck.into());
    journal::expect_counts(app.peers.offers.currency());
    Ok(answer::json(serde_json::to_string(&swept)?))
}

/// `POST /internal/payments/changed`: the payment of an order moved without its doing.
pub(crate) async fn payment_changed(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let Changed { order_id } = parse(&read_body(body).await?)?;
    payment_news::hear(&app, order_id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `POST /internal/shipments/changed`: the parcel of an order moved without its doing.
pub(crate) async fn parcel_changed(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let Changed { order_id } = parse(&read_body(body).await?)?;
    parcel_news::hear(&app, order_id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /internal/outbox?after=&limit=`: events in their order.
pub(crate) async fn events(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = outbox::parse(pairs)?;
    Ok(answer::json(json!({"items": outbox::after(&app.database, after, limit).await?}).to_string()))
}
