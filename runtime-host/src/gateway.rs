//! The edge: what is done with every request before a component sees it, and with every answer before the client does.
//!
//! `gateway.toml` says what; without it nothing is done, but that headers which name who asks are taken away.
//! The configuration is replaced as a whole: a request is worked on by the one that was in force when it came.

mod access_log;
pub mod cache;
mod client;
mod compression;
mod configuration;
mod cors;
mod explain;
mod forwarding;
#[cfg(test)]
mod fuzz;
mod header_edits;
mod json_edits;
mod machines;
mod policies;
mod principal;
mod rate_limit;
mod resilience;
mod rule;
mod target;
mod tokens;
mod upstream;
mod validators;

use std::convert::Infallible;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

pub use access_log::AccessLog;
pub use client::Client;
pub use compression::{BYTES_PER_TURN, Body as BodyAfter, Compressed, Leave};
pub use configuration::{Configuration, FILE_NAME};
pub use forwarding::{Places, Retries};
pub use json_edits::{JsonEdits, NotEdited};
pub use policies::Timeouts;
pub use principal::Principal;
pub use resilience::{Attempt, Change, Guard};
pub use target::Target;
pub use tokens::KeySource;
pub use upstream::{Body, BoxError, Chosen, Connection, SendError, TlsSource, Upstream};

use cache::{Cache, CacheRule, PURGE, SURROGATE_KEY};
use cors::Cors;
use machines::UnknownKey;
use policies::{Authentication, Policies};
use rate_limit::Verdict;
use tokens::TokenError;
use upstream::Upkeep;

use crate::config_file::ConfigError;
use crate::manifest::Manifest;
use crate::telemetry::metrics::CacheOutcome;
use crate::variables::Variables;

/// How much is left, and what of (draft-ietf-httpapi-ratelimit-headers).
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How often the file is looked at.
const FILE_CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The gateway with the configuration that is in force.
pub struct Gateway {
    configuration: ArcSwap<Configuration>,
    file: Option<File>,
    tls: TlsSource,
    /// There is another configuration.
    changed: Notify,
}

/// Where the configuration comes from, and what it is for.
struct File {
    path: PathBuf,
    manifest: Manifest,
    variables: Variables,
    /// As the file was when it was last read; held while it is.
    read: Mutex<Option<FileState>>,
}

/// What changes whenever a file does: its time and its length.
type FileState = (SystemTime, u64);

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

/// What is written down of requests now.
#[derive(Debug)]
pub struct AccessLogInForce(Arc<Configuration>);

impl Deref for AccessLogInForce {
    type Target = AccessLog;

    fn deref(&self) -> &AccessLog {
        &self.0.access_log
    }
}

/// One request on its way through the gateway, and its answer on the way back.
#[derive(Debug, Clone)]
pub struct Passage {
    configuration: Arc<Configuration>,
    rule: Option<usize>,
    /// Who sent it.
    pub client: Client,
    /// Who asks, if that is known.
    pub principal: Option<Arc<Principal>>,
    /// The fewest requests that any limit leaves.
    pub remaining: Option<u32>,
    /// Whether it came with credentials, which may have been taken away or renamed since.
    says_who: bool,
    origin: Option<HeaderValue>,
    verdicts: Vec<(HeaderValue, Verdict)>,
    refusal: Option<Refusal>,
    /// What the cache did about it, if a rule has it do something.
    pub cached: Option<CacheOutcome>,
    location: Option<HeaderValue>,
    /// How it may be compressed, if the rule has that done.
    wish: Option<compression::Wish>,
}

impl Gateway {
    /// The gateway of an application, as the file at `path` says, or one that does nothing.
    ///
    /// `tls` is how servers of upstreams are made sure of.
    pub fn open(
        path: Option<&Path>,
        manifest: &Manifest,
        variables: &Variables,
        tls: TlsSource,
    ) -> Result<Self, ConfigError> {
        let file = path.map(|path| File {
            path: path.to_owned(),
            manifest: manifest.clone(),
            variables: variables.clone(),
            read: Mutex::default(),
        });
        let configuration = file.as_ref().map(|file| file.load(|| file.parse(None))).transpose()?.unwrap_or_default();
        Ok(Self { configuration: ArcSwap::from_pointee(configuration), file, tls, changed: Notify::new() })
    }

    /// Has requests that come from now on worked on as the file says now. If there is a mistake in it, nothing changes.
    ///
    /// Tells how many rules there are; `None` if the gateway has no file.
    pub fn reload(&self) -> Result<Option<usize>, ConfigError> {
        let Some(file) = &self.file else { return Ok(None) };
        file.load(|| {
            let configuration = file.parse(Some(&self.configuration.load()))?;
            let rules = configuration.rules();
            self.configuration.store(Arc::new(configuration));
            self.changed.notify_one();
            Ok(Some(rules))
        })
    }

    /// How servers of upstreams are made sure of.
    pub fn tls(&self) -> &TlsSource {
        &self.tls
    }

    /// Reloads when the file changes, and on SIGHUP, and looks after the upstreams; for ever.
    pub async fn keep_up(&self) -> io::Result<Infallible> {
        let Some(file) = &self.file else { return std::future::pending().await };
        let mut hangup = signal(SignalKind::hangup())?;
        let mut seen = file.state();
        let mut upkeep = Upkeep::default();
        loop {
            upkeep.look_after(&self.configuration.load().upstreams, &self.tls);
            let is_asked = tokio::select! {
                // Its upstreams are looked after at once.
                () = self.changed.notified() => continue,
                Some(()) = hangup.recv() => true,
                () = sleep(FILE_CHECK_PERIOD) => false,
            };
            let state = file.state();
            // One that is gone, or that goes on changing, is just being written.
            let is_settled = state.is_some() && std::mem::replace(&mut seen, state) == state;
            if !is_asked && (!is_settled || state == *lock(&file.read)) {
                continue;
            }
            match self.reload() {
                Ok(Some(rules)) => tracing::info!(rules, "the gateway's configuration was read again"),
                Ok(None) => {}
                Err(error) => tracing::error!("the gateway goes on with the former configuration: {error}"),
            }
        }
    }

    /// What is written down of requests.
    pub fn access_log(&self) -> AccessLogInForce {
        AccessLogInForce(self.configuration.load_full())
    }

    /// Its cache, if any rule has one.
    pub fn cache(&self) -> Option<Arc<Cache>> {
        self.configuration.load().cache.clone()
    }

    /// Takes out of a component's answer what it says has changed, and purges that. The answer may go on now.
    pub fn take_purges(&self, answer: &mut HeaderMap) -> Option<Purge> {
        if !answer.contains_key(PURGE) {
            return None;
        }
        let tags: Vec<HeaderValue> = answer.get_all(PURGE).iter().cloned().collect();
        answer.remove(PURGE);
        let purge = Purge { cache: self.cache()?, tags };
        purge.again();
        Some(purge)
    }

    /// A request comes in.
    pub fn enter(&self, request: &mut Parts, peer: Client) -> Passage {
        let configuration = self.configuration.load_full();
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
        Passage {
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
}

/// What an answer says has changed.
#[derive(Clone)]
pub struct Purge {
    cache: Arc<Cache>,
    tags: Vec<HeaderValue>,
}

impl Purge {
    /// Purges it once more: an answer whose body takes a while may tell of changes that are still to come.
    pub fn again(&self) {
        self.tags.iter().filter_map(|tags| tags.to_str().ok()).for_each(|tags| self.cache.purge_tags(tags));
    }
}

impl File {
    /// Does `read`, which is all that happens with the file meanwhile.
    fn load<T>(&self, read: impl FnOnce() -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let mut state = lock(&self.read);
        *state = self.state();
        read()
    }

    fn parse(&self, former: Option<&Configuration>) -> Result<Configuration, ConfigError> {
        let configuration = Configuration::load(&self.path, &self.manifest, Some(&self.variables), former)?;
        for doubt in configuration.doubts(&self.path, &self.manifest) {
            tracing::warn!("{doubt}");
        }
        Ok(configuration)
    }

    /// What changes whenever the file does.
    fn state(&self) -> Option<FileState> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("configuration", &self.configuration.load()).finish_non_exhaustive()
    }
}

impl Passage {
    fn policies(&self) -> &Policies {
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
