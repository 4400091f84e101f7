//! Import and export of the whole catalogue, for staff.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use service::Error;
use service::answer;
use service::request::{Pairs, media_type};
use service::tags::changed;

use crate::app::App;
use crate::export;
use crate::import::{Format, Import, Job, Mapping, report};
use crate::tags::CATALOG;

type Reply = Result<Response, Error>;

const JSON_LINES: &str = "application/x-ndjson";

/// `POST /api/catalog/import?dry_run=true&map=Name:title,Price:price`
///
/// A client that accepts JSON lines gets every bad row, as they are found; it has to read them while it sends.
pub(crate) async fn import(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs, body: Body) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let given = media_type(&headers);
    let format = Format::of_media_type(&given);
    let format = format.ok_or(Error::ContentType { given, expected: Format::MEDIA_TYPES })?;
    let mut job = Job { format, mapping: Mapping::default(), dry_run: false, actor: staff.subject().to_owned() };
    for (name, value) in pairs {
        let refuse = |reason: String| Error::Query { name: name.clone(), reason };
        match name.as_str() {
            "dry_run" => job.dry_run = value.parse().map_err(|_| refuse("true or false".to_owned()))?,
            "map" => job.mapping = Mapping::parse(&value).map_err(refuse)?,
            _ => return Err(refuse("there is no such parameter".to_owned())),
        }
    }
    // An answer in lines begins before the writing does; the host minds it until it ends.
    let changes: &[&str] = if job.dry_run { &[] } else { &[CATALOG] };
    let import = Import::new(app, job, body);
    if accepts_lines(&headers) {
        let lines = Body::from_stream(report::lines(import).await?);
        return Ok(changed(([(header::CONTENT_TYPE, JSON_LINES)], lines).into_response(), changes));
    }
    let report = report::whole(import).await;
    // What was written before a failure stays written.
    Ok(changed(report.map_or_else(IntoResponse::into_response, answer::json), changes))
}

/// Whether the client names JSON lines among what it accepts.
fn accepts_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut media_types = accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
    media_types.any(|name| Format::of_media_type(&name.trim().to_ascii_lowercase()) == Some(Format::JsonLines))
}

/// `GET /api/catalog/export?format=jsonl|json|csv`
pub(crate) async fn export(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.staff(&headers).await?;
    let mut format = "jsonl".to_owned();
    for (name, value) in pairs {
        match name.as_str() {
            "format" => format = value,
            _ => return Err(Error::Query { name, reason: "there is no such parameter".to_owned() }),
        }
    }
    let (kind, media_type) = match format.as_str() {
        "jsonl" => (Format::JsonLines, JSON_LINES),
        "json" => (Format::JsonArray, "application/json"),
        "csv" => (Format::Csv, "text/csv; charset=utf-8"),
        _ => return Err(Error::Query { name: "format".to_owned(), reason: "jsonl, json or csv".to_owned() }),
    };
    let disposition = format!("attachment; filename=\"catalog.{format}\"");
    let headers = [(header::CONTENT_TYPE, media_type.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    let stream = export::export(app, kind).await?;
    Ok((headers, Body::from_stream(stream)).into_response())
}
