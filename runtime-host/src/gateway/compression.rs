//! Answers are compressed for clients that ask for it (RFC 9110, 8.4 and 12.5.3), where that costs no secret.
//!
//! Who sees how long an answer is, and has a say in what is in it, reads secrets that stand beside that (BREACH). So what bears
//! a secret stays as it is; [`has_secrets`] says what does.

mod encoder;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    COOKIE, SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use encoder::{BYTES_PER_TURN, Compressed};

use super::machines::API_KEY;
use super::{Passage, validators};

/// Answers that are compressed at once: each takes up to 2 MiB until it has ended. Those that are one too many leave as they are.
const ENCODERS_MAX: usize = 256;
static ENCODERS: Semaphore = Semaphore::const_new(ENCODERS_MAX);

/// A way to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Encoding {
    pub(super) const ALL: [(&'static str, Self); 3] =
        [("zstd", Self::Zstd), ("br", Self::Brotli), ("gzip", Self::Gzip)];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }
}

/// What is compressed, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Compression {
    /// The first is preferred where a client has no preference.
    pub(super) encodings: Vec<Encoding>,
    /// What is shorter gains nothing.
    pub(super) bytes_min: u64,
}

impl Default for Compression {
    fn default() -> Self {
        Self { encodings: Encoding::ALL.map(|(_, encoding)| encoding).to_vec(), bytes_min: 1024 }
    }
}

/// What a request says about how it may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wish {
    encoding: Option<Encoding>,
    is_head: bool,
    has_cookie: bool,
    has_credentials: bool,
}

/// The leave to compress one body.
#[derive(Debug)]
pub struct Leave {
    encoding: Encoding,
    place: SemaphorePermit<'static>,
}

/// What becomes of a body.
#[derive(Debug)]
pub enum Body {
    /// It leaves as it is.
    Untouched,
    /// It is not sent, and would have another length than it says.
    OfUnknownLength,
    /// It is compressed.
    Compressed(Leave),
}

impl Compression {
    pub(super) fn wish(&self, method: &Method, headers: &HeaderMap) -> Wish {
        Wish {
            encoding: negotiate(&self.encodings, headers),
            is_head: method == Method::HEAD,
            has_cookie: headers.contains_key(COOKIE),
            has_credentials: headers.contains_key(AUTHORIZATION) || headers.contains_key(API_KEY),
        }
    }

    /// Decides about an answer of a body of this length, if it is known, and has its headers say so.
    pub(super) fn apply(
        &self,
        wish: Wish,
        encoders: &'static Semaphore,
        status: StatusCode,
        headers: &mut HeaderMap,
        bytes: Option<u64>,
    ) -> Body {
        // The answer of which it tells that it is still the same may have been compressed, and has the tag of that.
        let is_unchanged = status == StatusCode::NOT_MODIFIED;
        if !is_unchanged
            && !self.is_fit(status, headers, bytes.filter(|_| !wish.is_head).or_else(|| announced(headers)))
        {
            return Body::Untouched;
        }
        if !varies(headers) {
            headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        }
        let Some(encoding) = wish.encoding.filter(|_| !has_secrets(wish, headers)) else { return Body::Untouched };
        if is_unchanged {
            validators::weaken(headers);
            return Body::Untouched;
        }
        if wish.is_head {
            transformed(headers);
            return Body::OfUnknownLength;
        }
        let Ok(place) = encoders.try_acquire() else { return Body::Untouched };
        transformed(headers);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        Body::Compressed(Leave { encoding, place })
    }

    /// Whether somebody might get the answer compressed.
    fn is_fit(&self, status: StatusCode, headers: &HeaderMap, bytes: Option<u64>) -> bool {
        let has_body =
            !status.is_informational() && ![StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT].contains(&status);
        has_body
            && bytes.is_none_or(|bytes| bytes >= self.bytes_min)
            && !headers.contains_key(CONTENT_ENCODING)
            && !has_directive(headers, &["no-transform"])
            && headers.get(CONTENT_TYPE).is_some_and(is_compressible)
    }
}

impl Passage {
    /// Decides whether an answer is compressed whose body has this length, if that is known, and has its headers say so.
    pub fn compress(&self, status: StatusCode, headers: &mut HeaderMap, bytes: Option<u64>) -> Body {
        let (Some(compression), Some(wish)) = (&self.policies().compression, self.wish) else { return Body::Untouched };
        let is_identified = self.principal.is_some() || self.client.certificate.is_some();
        compression.apply(wish.identified(is_identified), &ENCODERS, status, headers, bytes)
    }
}

/// What no longer holds of a body that is sent otherwise than it came.
fn transformed(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    validators::remove_digests(headers);
    validators::weaken(headers);
}

/// Whether an answer is for one caller alone: it gives a cookie, is marked `private` or `no-store`, or the request showed who asks.
/// A cookie is no reason where the answer is marked `public`: browsers send theirs with everything.
fn has_secrets(wish: Wish, headers: &HeaderMap) -> bool {
    wish.has_credentials
        || headers.contains_key(SET_COOKIE)
        || has_directive(headers, &["private", "no-store"])
        || (wish.has_cookie && !has_directive(headers, &["public"]))
}

impl Wish {
    /// How a body would be compressed.
    pub(super) fn encoding(self) -> Option<Encoding> {
        self.encoding
    }

    /// Who asks is known, whatever the headers say.
    pub(super) fn identified(self, is_identified: bool) -> Self {
        Self { has_credentials: self.has_credentials || is_identified, ..self }
    }
}

/// The coding that a client likes most, of those that it takes; none if it likes none better than the content as it is.
fn negotiate(encodings: &[Encoding], headers: &HeaderMap) -> Option<Encoding> {
    let accepted = elements(headers, &ACCEPT_ENCODING).filter_map(|element| {
        let mut parts = element.split(';').map(str::trim);
        let coding = parts.next()?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        // What is no quality is not relied on.
        Some((coding, quality.map_or(Some(1.0), |text| text.trim().parse().ok()).filter(|q| (0.0..=1.0).contains(q))?))
    });
    let accepted: Vec<(&str, f32)> = accepted.collect();
    let of = |name: &str| accepted.iter().find(|(coding, _)| coding.eq_ignore_ascii_case(name)).map(|(_, q)| *q);
    let any = of("*");
    let quality = |encoding: &Encoding| {
        let alias = if *encoding == Encoding::Gzip { of("x-gzip") } else { None };
        of(encoding.name()).or(alias).or(any).unwrap_or(0.0)
    };
    // Content as it is is always taken, but only said to be liked where it is named.
    let plain = of("identity").unwrap_or(0.0);
    let taken = encodings.iter().filter(|encoding| quality(encoding) > 0.0 && quality(encoding) >= plain);
    // Of those that are liked alike, the first.
    taken.rev().max_by(|a, b| quality(a).total_cmp(&quality(b))).copied()
}

/// Types of what gets shorter. Images, films, archives and fonts for the web are compressed already, and nobody knows of the rest.
/// Events would each wait for their piece of the coding; they are short.
fn is_compressible(media_type: &HeaderValue) -> bool {
    const TYPES: [&str; 14] = [
        "application/javascript",
        "application/ecmascript",
        "application/json",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/json-seq",
        "application/xml",
        "application/wasm",
        "application/graphql",
        "application/x-www-form-urlencoded",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
    ];
    let text = media_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (essence.starts_with("text/") && essence != "text/event-stream")
        || ["+json", "+xml", "+text"].iter().any(|suffix| essence.ends_with(suffix))
        || TYPES.contains(&essence.as_str())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn varies(headers: &HeaderMap) -> bool {
    elements(headers, &VARY).any(|name| name == "*" || name.eq_ignore_ascii_case("accept-encoding"))
}

fn has_directive(headers: &HeaderMap, directives: &[&str]) -> bool {
    elements(headers, &CACHE_CONTROL).any(|element| {
        let name = element.split('=').next().unwrap_or_default().trim();
        directives.iter().any(|directive| name.eq_ignore_ascii_case(directive))
    })
}

/// The elements of a header that is a list.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests;
