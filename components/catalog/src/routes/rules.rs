//! Promotions and tax rates: kept by staff, read by the services that price carts.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use commerce::{Cursor, Id, Limit, Precondition, not_modified};
use serde_json::{Map, Value, json};
use service::Error;
use service::answer::Answer;
use service::idempotency::Attempt;
use service::request::{Pairs, Segments, parse, read_body};

use crate::app::App;
use crate::rules::{Kind, Rule, TaxSettings};
use crate::store::rules;

/// The order of the lists, as their cursors name it.
const SORT: &str = "id";

type Reply = Result<Response, Error>;

/// `GET /api/promotions`, `GET /api/tax-rates`
pub(crate) async fn list<K: Kind>(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.staff(&headers).await?;
    let (mut limit, mut after) = (Limit::DEFAULT, String::new());
    for (name, value) in pairs {
        let refuse = |reason: String| Error::Query { name: name.clone(), reason };
        match name.as_str() {
            "limit" => {
                let rows: u32 = value.parse().map_err(|_| refuse("not a number".to_owned()))?;
                limit = Limit::try_from(rows).map_err(refuse)?;
            }
            "cursor" => {
                let cursor = Cursor::decode(&value, SORT).map_err(|error| refuse(error.to_string()))?;
                after = cursor.after;
            }
            _ => return Err(refuse("there is no such parameter".to_owned())),
        }
    }
    let mut found = rules::list::<K>(&app.database, &after, limit).await?;
    let more = found.len() > limit.get() as usize;
    found.truncate(limit.get() as usize);
    let last = found.last().filter(|_| more);
    let next = last.map(|rule| Cursor { sort: SORT.to_owned(), after: rule.id.clone() }.encode());
    let items: Vec<Value> = found.iter().map(Rule::shown::<K>).collect::<Result<_, _>>()?;
    Ok(Answer::ok(json!({ "items": items, "next_cursor": next }).to_string()).into_response())
}

/// `GET /api/promotions/{id}`, `GET /api/tax-rates/{id}`
pub(crate) async fn show<K: Kind>(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
) -> Reply {
    app.access.staff(&headers).await?;
    let rule = rules::find::<K>(&app.database, &id).await?;
    Ok(Answer::ok(rule.shown::<K>()?.to_string()).etag(etag(rule.version)).into_response())
}

/// `POST /api/promotions`, `POST /api/tax-rates`
pub(crate) async fn create<K: Kind>(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let body = read_body(body).await?;
    let attempt = Attempt::new(&headers, staff.subject(), &format!("POST {}", K::PATH), &body)?;
    let input: Map<String, Value> = parse(&body)?;

    let transaction = app.database.begin().await?;
    if let Some(answer) = attempt.earlier_answer(&transaction).await? {
        return Ok(answer.into_response());
    }
    let id = Id::new();
    let content = K::read(id, input)?;
    if rules::count::<K>(&transaction).await? as usize >= K::COUNT_MAX {
        return Err(Error::invalid("", format!("at most {} of them", K::COUNT_MAX)));
    }
    rules::put::<K>(&transaction, id, &content, staff.subject()).await?;
    let made = rules::find_in::<K>(&transaction, &id.to_string()).await?;
    let answer = Answer::created(&format!("{}/{id}", K::PATH), made.shown::<K>()?.to_string());
    let answer = answer.etag(etag(made.version));
    attempt.keep(&transaction, &answer).await?;
    transaction.commit().await?;
    Ok(answer.into_response())
}

/// `PUT /api/promotions/{id}`, `PUT /api/tax-rates/{id}`: the whole content anew; uses stay counted.
pub(crate) async fn replace<K: Kind>(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let precondition = Precondition::from_headers(&headers)?;
    let input: Map<String, Value> = parse(&read_body(body).await?)?;
    let transaction = app.database.begin().await?;
    let before = rules::find_in::<K>(&transaction, &id).await?;
    precondition.check(before.version)?;
    // The store's ids are those that were made here.
    let known = before.id.parse::<Id>().map_err(|_| Error::NotFound { what: K::NAME, key: id.clone() })?;
    rules::put::<K>(&transaction, known, &K::read(known, input)?, staff.subject()).await?;
    let changed = rules::find_in::<K>(&transaction, &id).await?;
    transaction.commit().await?;
    Ok(Answer::ok(changed.shown::<K>()?.to_string()).etag(etag(changed.version)).into_response())
}

/// `DELETE /api/promotions/{id}`, `DELETE /api/tax-rates/{id}`: answers with what was removed.
pub(crate) async fn remove<K: Kind>(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(id): Segments<String>,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let precondition = Precondition::from_headers(&headers)?;
    let transaction = app.database.begin().await?;
    let rule = rules::find_in::<K>(&transaction, &id).await?;
    precondition.check(rule.version)?;
    rules::remove::<K>(&transaction, &rule, staff.subject()).await?;
    transaction.commit().await?;
    Ok(Answer::ok(rule.shown::<K>()?.to_string()).into_response())
}

/// `GET /api/tax-settings`
pub(crate) async fn show_settings(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.staff(&headers).await?;
    let (version, settings) = rules::settings(&app.database).await?;
    Ok(Answer::ok(serde_json::to_string(&settings)?).etag(etag(version)).into_response())
}

/// `PUT /api/tax-settings`
pub(crate) async fn replace_settings(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let precondition = Precondition::from_headers(&headers)?;
    let settings: TaxSettings = parse(&read_body(body).await?)?;
    settings.check()?;
    let transaction = app.database.begin().await?;
    precondition.check(rules::settings_in(&transaction).await?.0)?;
    rules::put_settings(&transaction, &settings, staff.subject()).await?;
    let (version, settings) = rules::settings_in(&transaction).await?;
    transaction.commit().await?;
    Ok(Answer::ok(serde_json::to_string(&settings)?).etag(etag(version)).into_response())
}

/// `GET /internal/pricing-rules`: all that a cart is priced by; 304 while nothing has changed.
pub(crate) async fn book(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let tag = etag(rules::version(&app.database)?);
    if not_modified(&headers, &tag) {
        let mut response = Answer::ok("").etag(tag).into_response();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let (version, book) = rules::book(&app.database).await?;
    Ok(Answer::ok(book).etag(etag(version)).into_response())
}

fn etag(version: i64) -> String {
    format!("\"{version}-0\"")
}
