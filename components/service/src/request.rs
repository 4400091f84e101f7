//! Reading requests, with every failure as a problem.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use commerce::{Cursor, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Violation};

/// Largest JSON body, in bytes. Imports are streams and have a bound per record instead.
pub const BODY_BYTES_MAX: usize = 512 * 1024;

/// The parameters of a path, decoded.
pub struct Segments<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let segments = Path::from_request_parts(parts, state).await;
        let not_found = |_| Error::NotFound { what: "path", key: parts.uri.path().to_owned() };
        segments.map(|Path(segments)| Self(segments)).map_err(not_found)
    }
}

/// The parameters of a query string in their order, decoded.
pub struct Pairs(pub Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Pairs {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let refuse = |error: axum::extract::rejection::QueryRejection| Error::Query {
            name: String::new(),
            reason: error.body_text(),
        };
        Query::try_from_uri(&parts.uri).map(|Query(pairs)| Self(pairs)).map_err(refuse)
    }
}

/// `after=&limit=` of a list that goes on after a key, which `parse` reads: the key, if there is one, and how many items.
pub fn page<K>(
    Pairs(pairs): Pairs,
    parse: impl Fn(String) -> Result<K, &'static str>,
) -> Result<(Option<K>, Limit), Error> {
    let (mut after, mut limit) = (None, Limit::MAX);
    for (name, value) in pairs {
        match name.as_str() {
            "after" => after = Some(parse(value).map_err(|reason| unusable(&name, reason))?),
            "limit" => limit = parse_limit(&value)?,
            _ => return Err(unknown(&name)),
        }
    }
    Ok((after, limit))
}

/// The parameter `limit`.
pub fn parse_limit(text: &str) -> Result<Limit, Error> {
    let rows: u32 = text.parse().map_err(|_| unusable("limit", "a number"))?;
    Limit::try_from(rows).map_err(|reason| unusable("limit", reason))
}

/// The parameter `cursor` of a list in this order: the key of the last item that was read.
pub fn parse_cursor<K: Serialize + DeserializeOwned>(text: &str, order: &str) -> Result<K, Error> {
    Cursor::decode(text, order).map(|cursor| cursor.after).map_err(|error| unusable("cursor", error))
}

/// A query parameter that cannot be used.
pub fn unusable(name: &str, reason: impl ToString) -> Error {
    Error::Query { name: name.to_owned(), reason: reason.to_string() }
}

/// A query parameter that nothing reads.
pub fn unknown(name: &str) -> Error {
    unusable(name, "there is no such parameter")
}

/// The whole of a small body.
pub async fn read_body(body: Body) -> Result<Bytes, Error> {
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        match error.into_inner().is::<http_body_util::LengthLimitError>() {
            true => Error::TooLarge(BODY_BYTES_MAX),
            false => Error::BrokenBody,
        }
    })
}

/// The JSON of a body, as its type.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(Error::NotJson)?;
    parse_value(value)
}

/// JSON as a type; what does not fit breaks the rules of that type.
pub fn parse_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::Invalid(vec![Violation::new("", error)]))
}

/// The media type of a body, without its parameters and in lower case.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
