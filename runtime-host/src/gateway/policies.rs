//! What is done with a request that a rule is for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::cache::CacheRule;
use super::compression::Compression;
use super::cors::Cors;
use super::header_edits::HeaderEdits;
use super::json_edits::JsonEdits;
use super::principal::Principal;
use super::rate_limit::RateLimit;
use super::resilience::{Concurrency, RetrySettings};
use super::target::{Rewrite, Targets};

/// Everything that is done with a request.
#[derive(Clone, Default)]
pub(super) struct Policies {
    /// Nobody may.
    pub(super) deny: bool,
    pub(super) redirect: Option<Redirect>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) authentication: Authentication,
    /// One of them is asked for; none is everybody.
    pub(super) roles: Vec<String>,
    /// All of them are asked for.
    pub(super) scopes: Vec<String>,
    /// Whether whoever answers is told who asks.
    pub(super) identity_headers: bool,
    pub(super) rate_limits: Vec<Arc<RateLimit>>,
    pub(super) cors: Option<Cors>,
    pub(super) cache: Option<CacheRule>,
    pub(super) security_headers: bool,
    pub(super) request_headers: HeaderEdits,
    pub(super) response_headers: HeaderEdits,
    pub(super) response_json: Option<Arc<JsonEdits>>,
    pub(super) compression: Option<Compression>,
    /// Who answers; by default the route says.
    pub(super) targets: Option<Targets>,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Option<RetrySettings>,
    pub(super) concurrency: Option<Arc<Concurrency>>,
    pub(super) priority: Priority,
    pub(super) fallback: Option<Arc<Fallback>>,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// Until it begins, each time that it is asked for.
    pub first_byte: Option<Duration>,
    /// Until it has ended.
    pub total: Option<Duration>,
}

/// Whose requests are turned away first when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

impl Priority {
    /// The part of all places that such requests may have.
    pub(super) fn part(self) -> f64 {
        match self {
            Self::High => 1.0,
            Self::Normal => 0.8,
            Self::Low => 0.5,
        }
    }
}

/// What is answered in place of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fallback {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Where requests are sent instead of being answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// A URL or path; [`Redirect::URI`] stands for the path and query that were asked for.
    pub(super) to: String,
    pub(super) status: StatusCode,
}

impl Redirect {
    /// What stands for the path and query in `to`.
    pub(super) const URI: &str = "{uri}";

    pub(super) fn location(&self, request: &Parts) -> Option<HeaderValue> {
        let uri = request.uri.path_and_query().map_or("/", |path| path.as_str());
        // A path that begins with two slashes would be read as another host's, and browsers read `\\` as a slash.
        let uri = format!("/{}", uri.trim_start_matches(['/', '\\']));
        HeaderValue::try_from(self.to.replace(Self::URI, &uri)).ok()
    }
}

/// Whether a token is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Authentication {
    /// It is left to the component.
    #[default]
    Off,
    /// There need not be one; one that does not verify is refused.
    Optional,
    /// There has to be one that verifies.
    Required,
}

impl Policies {
    /// Whether it matters who gets past them: what is only faster, or told to browsers, may be missed.
    pub(super) fn guard(&self) -> bool {
        let asks = self.deny || self.redirect.is_some() || self.authentication != Authentication::Off;
        let bounds = self.body_bytes_max.is_some() || !self.rate_limits.is_empty() || self.concurrency.is_some();
        let sends = self.targets.is_some() || self.rewrite.is_some();
        asks || bounds || sends || self.response_json.is_some() || self.request_headers != HeaderEdits::default()
    }

    /// Whether the route alone decides who answers, and how.
    pub(super) fn is_plain(&self) -> bool {
        let has_target = self.targets.is_some() || self.rewrite.is_some();
        let has_bound = self.concurrency.is_some() || self.timeouts != Timeouts::default();
        !has_target && !has_bound && self.retry.is_none() && self.fallback.is_none()
    }

    /// Whether the rule lets this caller ask.
    pub(super) fn permits(&self, principal: Option<&Principal>) -> bool {
        let has = |check: &dyn Fn(&Principal) -> bool| principal.is_some_and(check);
        let role = self.roles.is_empty() || has(&|caller| self.roles.iter().any(|role| caller.has_role(role)));
        let scopes = self.scopes.is_empty() || has(&|caller| self.scopes.iter().all(|scope| caller.has_scope(scope)));
        role && scopes
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies").field("authentication", &self.authentication).finish_non_exhaustive()
    }
}
