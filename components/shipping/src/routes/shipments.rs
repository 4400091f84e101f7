//! Shipments: made and cancelled by orders, moved by staff, of which orders and others are told.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use commerce::{Id, unix_ms};
use serde_json::json;
use service::answer::{self, Answer};
use service::idempotency::Attempt;
use service::request::{Pairs, Segments, parse, read_body};
use service::{Error, news, outbox};
use sql::Transaction;

use super::{page, parse_id};
use crate::app::App;
use crate::error::Refusal;
use crate::query::ListQuery;
use crate::shipment::{EVENTS_MAX, EventInput, Report, Request, Shipment, State as Stage};
use crate::store::shipments::{self, Key};

/// Who acts when an order does.
const ORDERS: &str = "orders";

type Reply = Result<Response, Error>;

/// `GET /api/shipping/shipments?state=&limit=&cursor=`: without their events.
pub(crate) async fn list(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.staff(&headers).await?;
    let query = ListQuery::parse_with_state(pairs)?;
    let found = shipments::page(&app.database, query.state, query.after, query.limit()).await?;
    page(found, query.limit(), |shipment| shipment.id)
}

/// `GET /api/shipping/shipments/{id}`
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    app.access.staff(&headers).await?;
    shown(&shipments::find(&app.database, Key::Id(parse_id("shipment", id)?)).await?)
}

/// `POST /api/shipping/shipments/{id}/events`: what happened to the parcel. Its order is told.
pub(crate) async fn report(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let key = Key::Id(parse_id("shipment", id.clone())?);
    let body = read_body(body).await?;
    let target = format!("POST /api/shipping/shipments/{id}/events");
    let attempt = Attempt::new(&headers, staff.subject(), &target, &body)?;
    let report = Report::new(parse::<EventInput>(&body)?, staff.subject(), unix_ms()).map_err(Error::Invalid)?;

    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(answer.into_response());
    }
    let shipment = shipments::load(&transaction, key).await?.ok_or_else(|| key.not_found())?;
    let shipment = move_on(&transaction, shipment, &report).await?;
    let answer = Answer::ok(serde_json::to_string(&shipment)?);
    attempt.keep(&transaction, &answer).await?;
    let news = news::put(&transaction, shipment.request.order_id, unix_ms()).await?;
    transaction.commit().await?;
    app.orders.tell(&app.database, &news).await;
    Ok(answer.into_response())
}

/// `POST /internal/shipments`: one per order; the same request again gives the same shipment.
pub(crate) async fn create(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let request = parse::<Request>(&read_body(body).await?)?.checked().map_err(Error::Invalid)?;
    let now_ms = unix_ms();

    let transaction = app.database.begin().await?;
    if let Some(known) = shipments::load(&transaction, Key::Order(request.order_id)).await? {
        return match known.request == request {
            true => shown(&known),
            false => Err(Refusal::ShipmentDiffers(request.order_id.to_string()).into()),
        };
    }
    let shipment = Shipment {
        id: Id::new(),
        state: Stage::Created,
        tracking_number: None,
        request,
        created_at_ms: now_ms,
        events: vec![Report::now(Stage::Created, ORDERS, now_ms).event],
    };
    shipments::save(&transaction, &shipment).await?;
    transaction.commit().await?;
    shown(&shipment)
}

/// `GET /internal/shipments/{order_id}`
pub(crate) async fn of_order(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    shown(&shipments::find(&app.database, key_of_order(order_id)?).await?)
}

/// `POST /internal/shipments/{order_id}/events`: what staff did with the parcel of an order. Reporting where it is
/// already changes nothing.
pub(crate) async fn report_of_order(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
    body: Body,
) -> Reply {
    app.access.internal(&headers)?;
    let key = key_of_order(order_id)?;
    let input: EventInput = parse(&read_body(body).await?)?;
    let report = Report::new(input, ORDERS, unix_ms()).map_err(Error::Invalid)?;
    let transaction = app.database.begin().await?;
    let shipment = shipments::load(&transaction, key).await?.ok_or_else(|| key.not_found())?;
    if shipment.state == report.event.state {
        return shown(&shipment);
    }
    let shipment = move_on(&transaction, shipment, &report).await?;
    transaction.commit().await?;
    shown(&shipment)
}

/// `POST /internal/shipments/{order_id}/cancel`: of what the carrier does not have yet. Cancelling again changes
/// nothing.
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    let key = key_of_order(order_id)?;
    let transaction = app.database.begin().await?;
    let shipment = shipments::load(&transaction, key).await?.ok_or_else(|| key.not_found())?;
    if shipment.state == Stage::Cancelled {
        return shown(&shipment);
    }
    let shipment = move_on(&transaction, shipment, &Report::now(Stage::Cancelled, ORDERS, unix_ms())).await?;
    transaction.commit().await?;
    shown(&shipment)
}

/// `POST /internal/shipments/sweep`: tells the orders that have yet to hear.
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let told = app.orders.sweep(&app.database).await?;
    news::say_what_waits(&app.database, unix_ms())?;
    Ok(answer::json(json!({ "told": told }).to_string()))
}

/// `GET /internal/outbox?after=&limit=`: events in their order.
pub(crate) async fn events(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = outbox::parse(pairs)?;
    Ok(answer::json(json!({"items": outbox::after(&app.database, after, limit).await?}).to_string()))
}

/// `GET /internal/outbox/audit?after=&through=`: whether the events about these orders agree with what happened.
pub(crate) async fn audit(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let audit = shipments::audit(&app.database, &outbox::Range::parse(pairs)?).await?;
    Ok(answer::json(serde_json::to_string(&audit)?))
}

async fn move_on(transaction: &Transaction, shipment: Shipment, report: &Report) -> Result<Shipment, Error> {
    if shipment.events.len() >= EVENTS_MAX as usize {
        return Err(Refusal::TooManyEvents(EVENTS_MAX).into());
    }
    let (from, to) = (shipment.state, report.event.state);
    let moved = shipment.after(report).ok_or(Refusal::NotThere { from, to })?;
    shipments::save(transaction, &moved).await?;
    Ok(moved)
}

fn key_of_order(order_id: String) -> Result<Key, Error> {
    parse_id("shipment of the order", order_id).map(Key::Order)
}

fn shown(shipment: &Shipment) -> Reply {
    Ok(answer::json(serde_json::to_string(shipment)?))
}
