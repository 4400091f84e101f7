//! Zones and their methods, for staff.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use commerce::{Id, Precondition};
use service::Error;
use service::answer::Answer;
use service::idempotency::Attempt;
use service::request::{Pairs, Segments, parse, read_body};

use super::{page, parse_id};
use crate::app::App;
use crate::error::Refusal;
use crate::method::{Method, MethodInput};
use crate::query::ListQuery;
use crate::store::documents::{self, Document, Kept};
use crate::zone::Zone;

type Reply = Result<Response, Error>;

/// `GET /api/shipping/zones?limit=&cursor=`
pub(crate) async fn zones(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.staff(&headers).await?;
    let query = ListQuery::parse(pairs)?;
    let zones = documents::page::<Zone>(&app.database, None, query.after, query.limit()).await?;
    page(zones, query.limit(), |zone| zone.id)
}

/// `POST /api/shipping/zones`
pub(crate) async fn add_zone(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let attempt = Attempt::new(&headers, staff.subject(), "POST /api/shipping/zones", &body)?;
    let zone = parse::<Zone>(&body)?.checked().map_err(Error::Invalid)?;
    add(&app, &attempt, zone).await
}

/// `GET /api/shipping/zones/{id}`
pub(crate) async fn show_zone(app: State<Arc<App>>, headers: HeaderMap, id: Segments<String>) -> Reply {
    show::<Zone>(app, headers, id).await
}

/// `PUT /api/shipping/zones/{id}`
pub(crate) async fn replace_zone(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    app.access.staff(&headers).await?;
    let zone = parse::<Zone>(&read_body(body).await?)?.checked().map_err(Error::Invalid)?;
    replace(&app, &headers, id, |_: &Zone| Ok(zone)).await
}

/// `DELETE /api/shipping/zones/{id}`: of a zone without methods.
pub(crate) async fn delete_zone(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
) -> Reply {
    app.access.staff(&headers).await?;
    let precondition = Precondition::from_headers(&headers)?;
    let id = parse_id(Zone::WHAT, id)?;
    let transaction = app.database.begin().await?;
    precondition.check(documents::load::<Zone>(&transaction, id).await?.version)?;
    match documents::count::<Method>(&transaction, Some(id)).await? {
        0 => documents::delete::<Zone>(&transaction, id).await?,
        methods => return Err(Refusal::ZoneInUse(methods).into()),
    }
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /api/shipping/zones/{id}/methods?limit=&cursor=`
pub(crate) async fn methods(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(zone): Segments<String>,
    Pairs(pairs): Pairs,
) -> Reply {
    app.access.staff(&headers).await?;
    let zone = documents::find::<Zone>(&app.database, parse_id(Zone::WHAT, zone)?).await?;
    let query = ListQuery::parse(pairs)?;
    let methods = documents::page::<Method>(&app.database, Some(zone.id), query.after, query.limit()).await?;
    page(methods, query.limit(), |method| method.id)
}

/// `POST /api/shipping/zones/{id}/methods`
pub(crate) async fn add_method(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(zone): Segments<String>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let zone = parse_id(Zone::WHAT, zone)?;
    let attempt = Attempt::new(&headers, staff.subject(), &format!("POST {}/{zone}/methods", Zone::PATH), &body)?;
    let method = checked(&app, zone, parse(&body)?)?;
    add(&app, &attempt, method).await
}

/// `GET /api/shipping/methods/{id}`
pub(crate) async fn show_method(app: State<Arc<App>>, headers: HeaderMap, id: Segments<String>) -> Reply {
    show::<Method>(app, headers, id).await
}

/// `PUT /api/shipping/methods/{id}`: all but the zone.
pub(crate) async fn replace_method(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    app.access.staff(&headers).await?;
    let input: MethodInput = parse(&read_body(body).await?)?;
    replace(&app, &headers, id, |method: &Method| checked(&app, method.zone_id, input)).await
}

/// `DELETE /api/shipping/methods/{id}`. Quotes that were given for it stay good until they expire.
pub(crate) async fn delete_method(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
) -> Reply {
    app.access.staff(&headers).await?;
    let precondition = Precondition::from_headers(&headers)?;
    let id = parse_id(Method::WHAT, id)?;
    let transaction = app.database.begin().await?;
    precondition.check(documents::load::<Method>(&transaction, id).await?.version)?;
    documents::delete::<Method>(&transaction, id).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn checked(app: &App, zone: Id, input: MethodInput) -> Result<Method, Error> {
    Method::new(zone, input, app.settings.currency).map_err(Error::Invalid)
}

async fn show<T: Document>(State(app): State<Arc<App>>, headers: HeaderMap, Segments(id): Segments<String>) -> Reply {
    app.access.staff(&headers).await?;
    let kept = documents::find::<T>(&app.database, parse_id(T::WHAT, id)?).await?;
    shown(&kept)
}

async fn add<T: Document>(app: &App, attempt: &Attempt, content: T) -> Reply {
    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(answer.into_response());
    }
    let zone = content.zone();
    if let Some(zone) = zone {
        documents::load::<Zone>(&transaction, zone).await?;
    }
    if documents::count::<T>(&transaction, zone).await? >= T::COUNT_MAX {
        return Err(Error::invalid("", format!("at most {} {}", T::COUNT_MAX, T::TABLE)));
    }
    let kept = documents::insert(&transaction, content).await?;
    let body = serde_json::to_string(&kept)?;
    let answer = Answer::created(&format!("{}/{}", T::PATH, kept.id), body).etag(kept.etag());
    attempt.keep(&transaction, &answer).await?;
    transaction.commit().await?;
    Ok(answer.into_response())
}

async fn replace<T: Document>(
    app: &App,
    headers: &HeaderMap,
    id: String,
    change: impl FnOnce(&T) -> Result<T, Error>,
) -> Reply {
    let precondition = Precondition::from_headers(headers)?;
    let id = parse_id(T::WHAT, id)?;
    let transaction = app.database.begin().await?;
    let before = documents::load::<T>(&transaction, id).await?;
    precondition.check(before.version)?;
    let content = change(&before.content)?;
    let after = documents::replace(&transaction, Kept { content, ..before }).await?;
    transaction.commit().await?;
    shown(&after)
}

fn shown<T: Document>(kept: &Kept<T>) -> Reply {
    Ok(Answer::ok(serde_json::to_string(kept)?).etag(kept.etag()).into_response())
}
