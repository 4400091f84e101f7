//! The chain: what is done with a request on its way in, and with its answer on the way out.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::cache::{Cache, CacheRule, PURGE, SURROGATE_KEY};
use super::client::Client;
use super::configuration::Configuration;
use super::cors::Cors;
use super::machines::UnknownKey;
use super::policies::{Authentication, Policies};
use super::principal::Principal;
use super::rate_limit::Verdict;
use super::tokens::{KeySource, TokenError};
use super::{compression, header_edits, json_edits, machines, rule, validators};
use crate::telemetry::metrics::CacheOutcome;

/// How much is left, and what of (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Why a request goes no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It was a question about another request, which is answered.
    Preflight,
    /// Its path may be read in more than one way, and rules would be passed by.
    AmbiguousPath,
    /// There is no token.
    NoToken,
    /// The token does not count.
    BadToken,
    /// Who asks may not.
    Forbidden,
    /// Too much was asked.
    RateLimited,
    /// Nobody can tell who asks, since the keys are out of reach.
    KeysUnavailable,
    /// Its body is larger than the rule allows.
    ContentTooLarge,
    /// It is to be asked elsewhere, as the status says.
    Redirect(StatusCode),
    /// As many requests of its rule as may be are under way.
    Busy,
    /// So are as many in all as requests of its priority leave to others.
    Shed,
    /// Whoever would answer has failed too often.
    BreakerOpen,
}

impl Refusal {
    /// The name in metrics; what is answered otherwise is not refused.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Preflight | Self::Redirect(_) => None,
            Self::ContentTooLarge => Some("content_too_large"),
            Self::AmbiguousPath => Some("ambiguous_path"),
            Self::NoToken | Self::BadToken => Some("unauthenticated"),
            Self::Forbidden => Some("forbidden"),
            Self::RateLimited => Some("rate_limited"),
            Self::KeysUnavailable => Some("keys_unavailable"),
            Self::Busy => Some("concurrency"),
            Self::Shed => Some("shed"),
            Self::BreakerOpen => Some("breaker_open"),
        }
    }
}

/// One request on its way through the gateway, and its answer on the way back.
#[derive(Debug, Clone)]
pub struct Passage {
    pub(super) configuration: Arc<Configuration>,
    pub(super) rule: Option<usize>,
    /// Who sent it.
    pub client: Client,
    /// Who asks, if that is known.
    pub principal: Option<Arc<Principal>>,
    /// The fewest requests that any limit leaves.
    pub remaining: Option<u32>,
    /// Whether it came with credentials, which may have been taken away or renamed since.
    pub(super) says_who: bool,
    origin: Option<HeaderValue>,
    verdicts: Vec<(HeaderValue, Verdict)>,
    pub(super) refusal: Option<Refusal>,
    /// What the cache did about it, if a rule has it do something.
    pub cached: Option<CacheOutcome>,
    location: Option<HeaderValue>,
    /// How it may be compressed, if the rule has that done.
    pub(super) wish: Option<compression::Wish>,
}

impl Passage {
    /// A request comes in.
    pub(super) fn enter(configuration: Arc<Configuration>, request: &mut Parts, peer: Client) -> Self {
        let says_who = [AUTHORIZATION, machines::API_KEY].iter().any(|name| request.headers.contains_key(name));
        header_edits::strip_for_connection(&mut request.headers);
        header_edits::strip_identity(&mut request.headers);
        let client = match &configuration.proxies {
            Some(proxies) => proxies.resolve(peer, request.uri.authority(), &mut request.headers),
            None => peer,
        };
        let rule = configuration.rule_for(request);
        let compression = configuration.policies(rule).compression.as_ref();
        let wish = compression.map(|compression| compression.wish(&request.method, &request.headers));
        Self {
            configuration,
            rule,
            client,
            principal: None,
            remaining: None,
            says_who,
            origin: None,
            verdicts: Vec::new(),
            refusal: None,
            cached: None,
            location: None,
            wish,
        }
    }

    pub(super) fn policies(&self) -> &Policies {
        self.configuration.policies(self.rule)
    }

    /// The chain on the way in: whether the request may go on to its component, and what the component sees of it.
    pub async fn admit(&mut self, request: &mut Parts, keys: &Arc<dyn KeySource>) -> Result<(), Refusal> {
        let admitted = self.try_admit(request, keys).await;
        self.refusal = admitted.err();
        admitted
    }

    async fn try_admit(&mut self, request: &mut Parts, keys: &Arc<dyn KeySource>) -> Result<(), Refusal> {
        let configuration = self.configuration.clone();
        let policies = configuration.policies(self.rule);
        if configuration.has_guarded_paths() && rule::is_ambiguous(request.uri.path()) {
            return Err(Refusal::AmbiguousPath);
        }
        if policies.cors.is_some() {
            self.origin = request.headers.get(ORIGIN).cloned();
            // Browsers send no credentials with it, and it does nothing.
            if Cors::preflight(&request.method, &request.headers).is_some() {
                return Err(Refusal::Preflight);
            }
        }
        if policies.deny {
            return Err(Refusal::Forbidden);
        }
        if let Some(redirect) = &policies.redirect {
            self.location = redirect.location(request);
            return Err(Refusal::Redirect(redirect.status));
        }
        if announced_bytes(&request.headers).unwrap_or_default() > policies.body_bytes_max.unwrap_or(u64::MAX) {
            return Err(Refusal::ContentTooLarge);
        }
        // Before anything that costs; and before a refusal, so that guessing tokens is limited too.
        self.limit(policies, true).await?;
        let identified = self.identify(policies, &mut request.headers, keys).await;
        self.limit(policies, false).await?;
        identified?;
        if !policies.permits(self.principal.as_deref()) {
            return Err(if self.principal.is_some() { Refusal::Forbidden } else { Refusal::NoToken });
        }
        if let Some(principal) = self.principal.as_ref().filter(|_| policies.identity_headers) {
            header_edits::tell_identity(&mut request.headers, principal);
        }
        if policies.response_json.is_some() || policies.compression.is_some() {
            validators::restore_if_match(&mut request.headers);
        }
        if policies.response_json.is_some() {
            json_edits::ask_for_whole(&mut request.headers);
        }
        policies.request_headers.apply(&mut request.headers);
        Ok(())
    }

    /// The line of the file in which the request's rule begins.
    pub fn rule_line(&self) -> Option<usize> {
        self.rule.map(|rule| self.configuration.line_of(rule))
    }

    /// The largest body that the rule lets in, if it says so.
    pub fn body_bytes_max(&self) -> Option<u64> {
        self.policies().body_bytes_max
    }

    /// Finds out who asks.
    async fn identify(
        &mut self,
        policies: &Policies,
        headers: &mut HeaderMap,
        keys: &Arc<dyn KeySource>,
    ) -> Result<(), Refusal> {
        let configuration = self.configuration.clone();
        // Also where nobody asks for it: the key is not for the component.
        let machine = configuration.machines.identify(headers, self.client.certificate.as_deref());
        if policies.authentication == Authentication::Off {
            return Ok(());
        }
        let token = match &configuration.tokens {
            Some(tokens) => tokens.authenticate(headers, keys).await,
            None => Err(TokenError::Missing),
        };
        // A token says most closely who asks: a machine may act for somebody.
        self.principal = match (token, machine) {
            (Ok(principal), _) => Some(principal),
            (Err(TokenError::Invalid), _) | (Err(TokenError::Missing), Err(UnknownKey)) => {
                return Err(Refusal::BadToken);
            }
            (Err(TokenError::Unavailable), _) => return Err(Refusal::KeysUnavailable),
            (Err(TokenError::Missing), Ok(machine)) => machine,
        };
        match policies.authentication {
            Authentication::Required if self.principal.is_none() => Err(Refusal::NoToken),
            _ => Ok(()),
        }
    }

    /// Counts the request against every limit that comes before it is known who asks, or after, until one is used up.
    async fn limit(&mut self, policies: &Policies, is_early: bool) -> Result<(), Refusal> {
        for limit in policies.rate_limits.iter().filter(|limit| limit.is_early() == is_early) {
            let verdict = limit.check(self.client.address.ip(), self.principal.as_deref()).await;
            self.remaining = Some(self.remaining.map_or(verdict.remaining, |least| least.min(verdict.remaining)));
            self.verdicts.push((limit.quoted_name(), verdict));
            if !verdict.is_admitted {
                return Err(Refusal::RateLimited);
            }
        }
        Ok(())
    }

    /// Whether it says who asks, or that is known otherwise.
    pub fn is_of_somebody(&self) -> bool {
        self.says_who || self.principal.is_some()
    }

    /// What the rule has the service asked in place of the request, as a number: requests of two rules with the same one are changed
    /// alike.
    pub fn changes(&self) -> u64 {
        let Policies { rewrite, request_headers, .. } = self.policies();
        // The same for all threads, and from one configuration to the next.
        let mut hasher = DefaultHasher::new();
        (rewrite, request_headers).hash(&mut hasher);
        hasher.finish()
    }

    /// The cache, and what the rule says about this request's answer.
    pub fn cache(&self) -> Option<(Arc<Cache>, Option<CacheRule>)> {
        Some((self.configuration.cache.clone()?, self.policies().cache))
    }

    /// The chain on the way out, for the component's answer or for a refusal.
    pub fn leave(&self, answer: &mut HeaderMap) {
        let policies = self.policies();
        [SURROGATE_KEY, PURGE].iter().for_each(|name| drop(answer.remove(name)));
        policies.response_headers.apply(answer);
        match (&policies.cors, self.refusal) {
            (Some(cors), Some(Refusal::Preflight)) => cors.answer_preflight(self.origin.as_ref(), answer),
            (Some(cors), _) => cors.answer(self.origin.as_ref(), answer),
            (None, _) => {}
        }
        if policies.security_headers {
            header_edits::secure(answer, self.client.scheme == Scheme::HTTPS);
        }
        self.tell_limits(answer);
        answer.extend(self.location.clone().map(|location| (LOCATION, location)));
        let challenge = match self.refusal {
            Some(Refusal::NoToken) => "Bearer",
            Some(Refusal::BadToken) => "Bearer error=\"invalid_token\"",
            Some(Refusal::Forbidden) if self.principal.is_some() => "Bearer error=\"insufficient_scope\"",
            _ => return,
        };
        answer.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }

    fn tell_limits(&self, answer: &mut HeaderMap) {
        if self.verdicts.is_empty() {
            return;
        }
        let (mut left, mut policy) = (String::new(), String::new());
        for (name, verdict) in &self.verdicts {
            let separator = if left.is_empty() { "" } else { ", " };
            let name = name.to_str().unwrap_or_default();
            let seconds = |duration: Duration| duration.as_nanos().div_ceil(1_000_000_000);
            let (rate, reset_s) = (verdict.rate, seconds(verdict.reset));
            // Writing to a string does not fail.
            let _ = write!(left, "{separator}{name};r={};t={reset_s}", verdict.remaining);
            let _ = write!(policy, "{separator}{name};q={};w={}", rate.burst, seconds(rate.full_after()));
            if !verdict.is_admitted {
                answer.insert(RETRY_AFTER, HeaderValue::from(reset_s.max(1) as u64));
            }
        }
        for (header, text) in [(RATE_LIMIT, left), (RATE_LIMIT_POLICY, policy)] {
            // Names were checked when they were read; all else is digits.
            answer.extend(HeaderValue::try_from(text).ok().map(|value| (header, value)));
        }
    }
}

/// The size of the body that a request announces.
pub fn announced_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}
