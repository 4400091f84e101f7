//! A stored answer: what it gives to a request, and how a 304 of the service makes it new (RFC 9111, 3.2, 4.3). Pure.

use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::CacheRule;
use super::ask::{Ask, Vary};
use super::directives::Directives;
use super::draft::{self, Draft, Fetched, SURROGATE_KEY};
use super::freshness::{Freshness, Moment, Use};
use super::purges::{Purges, Slot};

/// What was done about an answer (RFC 9211).
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// Who says so.
const NAME: &str = "Bodega";

/// Bytes that a stored answer takes besides its contents, and a field besides its name and value; on the safe side.
const OVERHEAD_BYTES: usize = 512;
const FIELD_OVERHEAD_BYTES: usize = 96;

/// Fields that tell of a body: a 304 to a client has none of them, and one of a service changes none (RFC 9111, 3.2).
pub const OF_BODY: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE];

/// An answer that is stored.
#[derive(Debug)]
pub struct Stored {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    freshness: Freshness,
    vary: Vary,
    tags: Box<[Slot]>,
    asked_after: u64,
    is_of_authenticated: bool,
    bytes: usize,
}

/// How an answer came to be, for `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was stored.
    Hit,
    /// The service was asked, or was asked by another request.
    Forwarded(&'static str, Option<StatusCode>, bool),
    /// Somebody else's request had the service asked.
    Collapsed,
}

impl Told {
    /// The field's value.
    pub fn value(self, ttl_s: Option<i64>) -> HeaderValue {
        let mut text = NAME.to_owned();
        match self {
            Self::Hit => text.push_str("; hit"),
            Self::Collapsed => text.push_str("; fwd=miss; collapsed"),
            Self::Forwarded(why, status, is_stored) => {
                text.push_str("; fwd=");
                text.push_str(why);
                if let Some(status) = status {
                    let _ = write!(text, "; fwd-status={}", status.as_u16());
                }
                text.push_str(if is_stored { "; stored" } else { "" });
            }
        }
        if let Some(ttl_s) = ttl_s {
            let _ = write!(text, "; ttl={ttl_s}");
        }
        // Letters and digits are valid in every field.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(NAME))
    }
}

impl Stored {
    pub(super) fn new(draft: Draft, body: Bytes) -> Self {
        let Draft { status, mut headers, freshness, vary, tags, asked_after, is_of_authenticated, .. } = draft;
        if status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let mut stored =
            Self { status, headers, body, freshness, vary, tags, asked_after, is_of_authenticated, bytes: 0 };
        stored.bytes = stored.count_bytes();
        stored
    }

    fn count_bytes(&self) -> usize {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            name.as_str().len() + value.as_bytes().len() + FIELD_OVERHEAD_BYTES
        };
        let headers: usize = self.headers.iter().map(field).sum();
        OVERHEAD_BYTES + headers + self.body.len() + self.vary.bytes() + size_of_val(&*self.tags)
    }

    /// All that it takes of the memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a request with these fields may have it by this rule, as far as it was not purged.
    pub(super) fn is_for(&self, request: &HeaderMap, rule: &CacheRule) -> bool {
        self.vary.matches(request)
            && (rule.authenticated || !self.is_of_authenticated)
            && (rule.set_cookie || !self.headers.contains_key(SET_COOKIE))
    }

    /// Whether it was asked for before another answer, as far as a purge was between the two.
    pub(super) fn is_older(&self, other: &Self) -> bool {
        self.asked_after < other.asked_after
    }

    pub(super) fn is_spared(&self, purges: &Purges) -> bool {
        purges.spare(self.asked_after, &self.tags)
    }

    /// Whether one that is made of the same would count if it was asked for after the purge with this number.
    pub(super) fn would_be_spared(&self, asked_after: u64, purges: &Purges) -> bool {
        purges.spare(asked_after, &self.tags)
    }

    pub(super) fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Whether others who asked for the same meanwhile may have it: it may be stale by the time that it is there.
    pub(super) fn is_reusable(&self, rule: &CacheRule, now: Moment) -> bool {
        self.freshness.reuse(rule, &Directives::default(), now) != Use::Revalidate
    }

    /// What may be done with it.
    pub fn reuse(&self, ask: &Ask, now: Moment) -> Use {
        self.freshness.reuse(&ask.rule, &ask.wanted, now)
    }

    /// Whether it may be given where the service failed, as far as it was not purged.
    pub(super) fn stands_in(&self, ask: &Ask, now: Moment) -> bool {
        self.freshness.stands_in(&ask.rule, &ask.wanted, now)
    }

    /// Has a request ask the service whether this still holds; whether it can.
    pub fn ask_whether_it_holds(&self, request: &mut HeaderMap) -> bool {
        let fields = [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)];
        let validators = fields.into_iter().filter_map(|(own, asked)| Some((asked, self.headers.get(own)?.clone())));
        let before = request.len();
        request.extend(validators);
        request.len() > before
    }

    /// The same after the service has said, with a 304 with these fields, that it still holds; `None` if that was about another
    /// one, or if it must not be stored any more.
    pub(super) fn freshened(&self, ask: &Ask, said: &HeaderMap, fetched: Fetched, purges: &Purges) -> Option<Self> {
        let differs = |name: HeaderName| said.get(&name).is_some_and(|value| !same_tag(self.headers.get(&name), value));
        if differs(ETAG) {
            return None;
        }
        let directives = Directives::of(said);
        if directives.no_store || directives.private {
            return None;
        }
        // Whether it is for the same requests as before, nobody knows.
        if said.contains_key(VARY) && !self.vary.is_of(&draft::vary_names(said)?) {
            return None;
        }
        let mut news = said.clone();
        draft::remove_connection_fields(&mut news);
        OF_BODY.iter().for_each(|name| drop(news.remove(name)));
        let mut headers = self.headers.clone();
        // Without a date in the 304, that of the former answer says nothing about this one.
        headers.insert(DATE, fetched.received.http_date());
        let names: Vec<HeaderName> = news.keys().cloned().collect();
        names.iter().for_each(|name| drop(headers.remove(name)));
        headers.extend(news);
        if headers.contains_key(SET_COOKIE) && !ask.rule.set_cookie {
            return None;
        }
        let is_of_authenticated = self.is_of_authenticated || ask.is_authenticated;
        if is_of_authenticated && !(ask.rule.authenticated && Directives::of(&headers).is_for_all()) {
            return None;
        }
        let tags = match said.contains_key(SURROGATE_KEY) {
            true => draft::tags(ask, said, purges)?,
            false => self.tags.clone(),
        };
        // The age is that of the 304.
        let mut dated = headers.clone();
        dated.extend(said.get(AGE).map(|age| (AGE, age.clone())));
        let freshness = Freshness::of(&dated, fetched.requested, fetched.received);
        let mut stored = Self {
            status: self.status,
            headers,
            body: self.body.clone(),
            freshness,
            vary: self.vary.clone(),
            tags,
            asked_after: fetched.asked_after,
            is_of_authenticated,
            bytes: 0,
        };
        stored.bytes = stored.count_bytes();
        Some(stored)
    }

    /// What it gives to a request with these fields: all, or that the client has it already.
    pub fn answer(&self, ask: &Ask, request: &HeaderMap, told: Told, now: Moment) -> Response<Bytes> {
        let age = self.freshness.age(now);
        let lifetime = self.freshness.lifetime(&ask.rule);
        // Whole seconds that are left, and less than none as soon as it is stale.
        let ttl_s = match lifetime.checked_sub(age) {
            Some(left) => left.as_secs() as i64,
            None => -((age - lifetime).as_millis().div_ceil(1_000) as i64),
        };
        let is_unmodified = self.status == StatusCode::OK && is_not_modified(request, &self.headers);
        let has_body = !is_unmodified && !ask.is_head;
        let mut response = Response::new(if has_body { self.body.clone() } else { Bytes::new() });
        *response.status_mut() = if is_unmodified { StatusCode::NOT_MODIFIED } else { self.status };
        let mut headers = self.headers.clone();
        if is_unmodified {
            OF_BODY.iter().for_each(|name| drop(headers.remove(name)));
        }
        headers.insert(AGE, age.as_secs().into());
        headers.append(CACHE_STATUS, told.value(Some(ttl_s)));
        *response.headers_mut() = headers;
        response
    }
}

impl Moment {
    /// As `Date` has it.
    pub(super) fn http_date(self) -> HeaderValue {
        let text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + self.wall);
        // Letters and digits are valid in every field.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// Whether a request with these conditions has the answer with these fields already (RFC 9110, 13.1.2 and 13.1.3).
pub fn is_not_modified(request: &HeaderMap, answer: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let Some(own) = answer.get(ETAG) else { return false };
        let mut lists = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        return lists.any(|list| list.trim() == "*" || entity_tags(list).any(|tag| opaque(own) == opaque_str(tag)));
    }
    let date = |headers: &HeaderMap, name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok();
    match (date(answer, LAST_MODIFIED), date(request, IF_MODIFIED_SINCE)) {
        (Some(modified), Some(since)) => modified <= since,
        _ => false,
    }
}

fn same_tag(one: Option<&HeaderValue>, other: &HeaderValue) -> bool {
    one.is_some_and(|one| opaque(one) == opaque(other))
}

fn opaque(tag: &HeaderValue) -> &[u8] {
    let tag = tag.as_bytes().trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

fn opaque_str(tag: &str) -> &[u8] {
    tag.strip_prefix("W/").unwrap_or(tag).as_bytes()
}

/// The members of a list of entity tags, in which there may be commas.
fn entity_tags(list: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let tags = list.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    });
    tags.map(str::trim)
}

#[cfg(test)]
mod tests;
