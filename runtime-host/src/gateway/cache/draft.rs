//! Which answers may be stored (RFC 9111, 3), and what of them. Pure.

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, LAST_MODIFIED, PROXY_AUTHENTICATE, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::ask::{Ask, Vary};
use super::directives::Directives;
use super::freshness::{Freshness, Moment};
use super::purges::{Purged, Purges, Slot};
use super::stored::Stored;

/// By which an answer says what it is made of, as names separated by blanks. No client sees it.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// By which an answer says what has changed, as names separated by blanks. No client sees it.
pub const PURGE: HeaderName = HeaderName::from_static("x-bodega-purge");

/// Surrogate keys of one answer; one with more is not stored, as some purges would not find it.
const TAGS_MAX: usize = 64;
/// Fields that `Vary` may name.
const VARY_MAX: usize = 16;
/// What is stored if it says how long it is fresh.
const STORABLE: [StatusCode; 13] = [
    StatusCode::OK,
    StatusCode::NON_AUTHORITATIVE_INFORMATION,
    StatusCode::NO_CONTENT,
    StatusCode::MULTIPLE_CHOICES,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::FOUND,
    StatusCode::TEMPORARY_REDIRECT,
    StatusCode::PERMANENT_REDIRECT,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::GONE,
    StatusCode::URI_TOO_LONG,
    StatusCode::NOT_IMPLEMENTED,
];
/// What is stored for as long as a rule says.
const STORABLE_UNSAID: [StatusCode; 4] = [
    StatusCode::OK,
    StatusCode::NON_AUTHORITATIVE_INFORMATION,
    StatusCode::MOVED_PERMANENTLY,
    StatusCode::PERMANENT_REDIRECT,
];
/// Fields that concern a connection or this very message, and not what is stored (RFC 9111, 3.1).
const NOT_STORED: [HeaderName; 12] = [
    AGE,
    CONNECTION,
    CONTENT_LENGTH,
    PROXY_AUTHENTICATE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("proxy-connection"),
    SURROGATE_KEY,
];
/// What begins the names of fields that the host sets on requests, after the cache has seen them.
const HOST_FIELDS: [&str; 4] = ["spin-", "x-request-id", "traceparent", "tracestate"];

/// When an answer was asked for and received.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// The number of the last purge before it was asked for.
    pub asked_after: u64,
    /// When it was asked for.
    pub requested: Moment,
    /// When its head was there.
    pub received: Moment,
}

/// An answer that may be stored once its body is there.
#[derive(Debug)]
pub struct Draft {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) freshness: Freshness,
    pub(super) vary: Vary,
    pub(super) tags: Box<[Slot]>,
    pub(super) asked_after: u64,
    pub(super) is_of_authenticated: bool,
    bytes_announced: Option<u64>,
}

impl Draft {
    /// Of an answer to a request with the fields `request`; `None` if it must not be stored.
    pub(super) fn new(
        ask: &Ask,
        request: &HeaderMap,
        (status, headers): (StatusCode, &HeaderMap),
        fetched: Fetched,
        purges: &Purges,
    ) -> Option<Self> {
        let said = Directives::of(headers);
        let freshness = Freshness::of(headers, fetched.requested, fetched.received);
        let is_said = freshness.is_said() && STORABLE.contains(&status);
        let is_unsaid = !freshness.is_said() && ask.rule.ttl.is_some() && STORABLE_UNSAID.contains(&status);
        let has_validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
        let may = ask.may_be_shared()
            && (is_said || is_unsaid)
            && !(said.no_store || said.private || headers.contains_key(CONTENT_RANGE))
            && (!ask.is_authenticated || ask.rule.authenticated && said.is_for_all())
            && (!headers.contains_key(SET_COOKIE) || ask.rule.set_cookie)
            // What is asked about each time is stored to be asked about.
            && (freshness.is_reusable(&ask.rule) || has_validator);
        if !may {
            return None;
        }
        let vary = Vary::of(vary_names(headers)?, request);
        let bytes_announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut stored = headers.clone();
        remove_connection_fields(&mut stored);
        // A time by which others can tell its age.
        stored.entry(DATE).or_insert_with(|| fetched.received.http_date());
        Some(Self {
            status,
            tags: tags(ask, headers, purges)?,
            headers: stored,
            freshness,
            vary,
            asked_after: fetched.asked_after,
            is_of_authenticated: ask.is_authenticated,
            bytes_announced,
        })
    }

    /// The stored answer, if this body is the one that was announced.
    pub fn with_body(self, body: &[u8]) -> Option<Stored> {
        let is_whole = self.bytes_announced.is_none_or(|bytes| bytes == body.len() as u64);
        // A copy: what the service's answer lies in may be larger than what is used of it.
        is_whole.then(|| Stored::new(self, Bytes::copy_from_slice(body)))
    }
}

/// The slots of an answer's surrogate keys and of its URL.
pub(super) fn tags(ask: &Ask, headers: &HeaderMap, purges: &Purges) -> Option<Box<[Slot]>> {
    let mut tags = vec![purges.slot(Purged::Url(&ask.url))];
    for value in headers.get_all(SURROGATE_KEY) {
        let names = value.to_str().ok()?.split_ascii_whitespace();
        tags.extend(names.map(|name| purges.slot(Purged::Tag(name))));
    }
    (tags.len() <= TAGS_MAX + 1).then(|| tags.into())
}

/// The fields that `Vary` names; `None` for those whose values nobody knows here.
pub(super) fn vary_names(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(VARY) {
        for name in value.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name: HeaderName = name.parse().ok().filter(|_| name != "*")?;
            if HOST_FIELDS.iter().any(|field| name.as_str().starts_with(field)) {
                return None;
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    (names.len() <= VARY_MAX).then_some(names)
}

/// Takes away what concerns the connection, also by what `Connection` names.
pub(super) fn remove_connection_fields(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|text| text.split(',').filter_map(|name| name.trim().parse().ok()))
        .collect();
    for name in named.iter().chain(&NOT_STORED) {
        headers.remove(name);
    }
}
