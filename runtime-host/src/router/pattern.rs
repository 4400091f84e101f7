//! The pattern of a route: literals, `:param` segments and a trailing `/...` or `/*`, as Spin reads them.

use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use http::{HeaderName, HeaderValue};

use super::matched::{Match, PARAM_PREFIX};
use super::{inner, split_segment};
use crate::telemetry::health::is_reserved;

/// What a route ends in when it stands for everything under it.
const WILDCARD: &str = "/...";
/// The same, as Spin's router writes it.
const WILDCARD_STAR: &str = "/*";

/// A parsed route, with the values of the headers that tell a component about it.
#[derive(Clone)]
pub struct RoutePattern {
    raw: Box<str>,
    segments: Vec<Segment>,
    wildcard: bool,
    /// `spin-raw-component-route`: the route as written.
    pub(super) raw_header: HeaderValue,
    /// `spin-component-route`: without `/...`.
    pub(super) prefix_header: HeaderValue,
    /// `spin-matched-route`: with a slash before it and none at its end.
    pub(super) matched_header: HeaderValue,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    /// The header that carries the value; its name holds the parameter's name.
    Param(HeaderName),
}

/// Why a text is no route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route {route:?} {problem}")]
pub struct InvalidPattern {
    /// The text.
    pub route: String,
    /// What is wrong with it, as the rest of a sentence.
    pub problem: String,
}

impl RoutePattern {
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the route ends in a wildcard and so stands for everything under it.
    pub fn has_wildcard(&self) -> bool {
        self.wildcard
    }

    /// Whether it is for this path.
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = inner(path);
        for segment in &self.segments {
            let Some(text) = rest else { return false };
            let (first, after) = split_segment(text);
            match segment {
                Segment::Literal(literal) if **literal != *first => return false,
                _ => rest = after,
            }
        }
        path.starts_with('/') && (self.wildcard || rest.is_none())
    }

    /// The path that `to` makes of the parts of one that this is for.
    pub fn rewrite(&self, path: &str, to: &Self) -> Option<String> {
        if !self.matches(path) {
            return None;
        }
        let matched = Match::new(&(), self, path);
        let mut rewritten = String::with_capacity(path.len());
        for segment in &to.segments {
            rewritten.push('/');
            rewritten.push_str(match segment {
                Segment::Literal(literal) => literal,
                Segment::Param(name) => matched.params().find(|(known, _)| *known == name)?.1,
            });
        }
        if to.wildcard {
            rewritten.push_str(matched.path_info());
        }
        if rewritten.is_empty() {
            rewritten.push('/');
        }
        Some(rewritten)
    }

    /// What it names that `from` has no part for, if there is such: then nothing could be rewritten to it.
    pub fn lacks_in(&self, from: &Self) -> Option<String> {
        let unknown = self
            .segments
            .iter()
            .find(|segment| matches!(segment, Segment::Param(_)) && !from.segments.contains(segment));
        match unknown {
            Some(Segment::Param(name)) => Some(format!(":{}", name.as_str().trim_start_matches(PARAM_PREFIX))),
            _ if self.wildcard && !from.wildcard => Some("...".to_owned()),
            _ => None,
        }
    }

    /// Whether it is for every path that `other` is for.
    pub fn covers(&self, other: &Self) -> bool {
        let covers = |(own, theirs): (&Segment, &Segment)| matches!(own, Segment::Param(_)) || own == theirs;
        let (own, theirs) = (self.segments.len(), other.segments.len());
        let long_enough = if self.wildcard { own <= theirs } else { own == theirs && !other.wildcard };
        long_enough && self.segments.iter().zip(&other.segments).all(covers)
    }

    /// Whether there are paths that both are for.
    pub fn meets(&self, other: &Self) -> bool {
        let meets = |(own, theirs): (&Segment, &Segment)| {
            matches!((own, theirs), (Segment::Param(_), _) | (_, Segment::Param(_))) || own == theirs
        };
        let (own, theirs) = (self.segments.len(), other.segments.len());
        let may_reach = (own >= theirs || self.wildcard) && (theirs >= own || other.wildcard);
        may_reach && self.segments.iter().zip(&other.segments).all(meets)
    }

    /// The route as written.
    pub fn as_str(&self) -> &str {
        &self.raw
    }
}

impl FromStr for RoutePattern {
    type Err = InvalidPattern;

    fn from_str(raw: &str) -> Result<Self, InvalidPattern> {
        let invalid = |problem: String| InvalidPattern { route: raw.to_owned(), problem };
        let path = if raw.starts_with('/') { Cow::Borrowed(raw) } else { Cow::Owned(format!("/{raw}")) };
        if let Some(found) = raw.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
            return Err(invalid(format!("contains {found:?}, which no path can hold; write it percent-encoded")));
        }
        if raw.contains("//") {
            return Err(invalid("has two slashes in a row".into()));
        }
        let prefix = path.strip_suffix(WILDCARD).or_else(|| path.strip_suffix(WILDCARD_STAR));
        let inner = prefix.unwrap_or(&path).trim_matches('/');
        let mut segments = Vec::new();
        for text in inner.split('/').filter(|_| !inner.is_empty()) {
            let segment = Segment::parse(text).map_err(invalid)?;
            if matches!(segment, Segment::Param(_)) && segments.contains(&segment) {
                return Err(invalid(format!("has two parameters named `{}`", &text[1..])));
            }
            segments.push(segment);
        }
        let trimmed = path.strip_suffix('/').unwrap_or(&path);
        if is_reserved(trimmed) {
            return Err(invalid("is one that the host answers itself".into()));
        }
        // A header value may hold every character that is left in the route.
        let header = |text: &str| HeaderValue::from_str(text).map_err(|error| invalid(error.to_string()));
        Ok(Self {
            raw: raw.into(),
            segments,
            wildcard: prefix.is_some(),
            raw_header: header(raw)?,
            prefix_header: header(raw.strip_suffix(WILDCARD).unwrap_or(raw))?,
            matched_header: header(trimmed)?,
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix(':')) {
            ("...", _) => Err("has `...` before its end".into()),
            _ if text.split('.').any(|part| part.starts_with('*')) => {
                Err("contains `*` other than in a trailing `/*`".into())
            }
            (_, Some("")) => Err("has a parameter without a name".into()),
            (_, Some(name)) => match name.bytes().find(|b| !b.is_ascii_alphanumeric() && !b"_-".contains(b)) {
                Some(found) => Err(format!("has a parameter `{name}` with {:?} in its name", char::from(found))),
                None => HeaderName::try_from(format!("{PARAM_PREFIX}{}", name.replace('_', "-")))
                    .map(Self::Param)
                    .map_err(|error| error.to_string()),
            },
            (literal, None) if literal.contains(".:") => {
                Err(format!("has a parameter that is only a part of the segment `{literal}`"))
            }
            (literal, None) => Ok(Self::Literal(literal.into())),
        }
    }
}

impl Display for RoutePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.raw)
    }
}

impl Debug for RoutePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoutePattern({})", self.raw)
    }
}

/// Two patterns are equal if they are written alike.
impl PartialEq for RoutePattern {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for RoutePattern {}

impl std::hash::Hash for RoutePattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}
