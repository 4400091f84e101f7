//! Where the keys come from: a fixed set, and a URL whose answer is kept.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ed25519_dalek::VerifyingKey;
use futures::future::BoxFuture;

use crate::IdentityError;
use crate::jwks::{Jwks, JwksError};

/// How long a fetched set is used without asking again.
pub const JWKS_FRESH_S: i64 = 300;
/// The shortest time between two fetches once a set is there or a fetch failed, however many tokens come in.
pub const FETCH_PAUSE_S: i64 = 10;

const UNKNOWN_KEY: IdentityError = IdentityError::Invalid("the token is signed with an unknown key");

/// The answer of a fetch: the body of the JWKS, or why there is none.
pub type Fetched = BoxFuture<'static, Result<Vec<u8>, String>>;

/// The fetch of a service whose keys are all in a variable.
pub fn no_fetch(url: String) -> Fetched {
    Box::pin(async move { Err(format!("{url} cannot be fetched from here")) })
}

/// Whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A JWKS of keys that are known from the start; empty for none.
    pub jwks: String,
    /// Where more keys are; empty for nowhere. A key id that both know means the key of `jwks`.
    pub jwks_url: String,
    /// The `iss` of every token.
    pub issuer: String,
    /// What the `aud` of every token holds.
    pub audience: String,
}

impl Default for Settings {
    /// No keys at all, so no token counts.
    fn default() -> Self {
        Self { jwks: String::new(), jwks_url: String::new(), issuer: "bodega".into(), audience: "bodega".into() }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The fixed set does not parse.
    #[error("the variable `jwks` is unusable: {0}")]
    Jwks(#[from] JwksError),
}

type Fetch = Box<dyn Fn(String) -> Fetched + Send + Sync>;

pub(crate) struct Keys {
    fixed: Jwks,
    source: Option<Source>,
}

/// Keys that are fetched, and come and go while the service runs.
struct Source {
    url: String,
    fetch: Fetch,
    cache: Mutex<Cache>,
}

#[derive(Default)]
pub(crate) struct Cache {
    jwks: Option<Jwks>,
    fetched_at_s: i64,
    tried_at_s: i64,
    /// Whether the last fetch to end failed.
    failed: bool,
}

impl Keys {
    pub(crate) fn new(settings: &Settings, fetch: Fetch) -> Result<Self, SettingsError> {
        let fixed = match settings.jwks.trim() {
            "" => Jwks::default(),
            jwks => Jwks::parse(jwks.as_bytes())?,
        };
        let url = settings.jwks_url.trim();
        let source = (!url.is_empty()).then(|| Source { url: url.to_owned(), fetch, cache: Mutex::default() });
        Ok(Self { fixed, source })
    }

    /// The key of this id: one of the fixed set, which needs no fetch, or one of the source.
    pub(crate) async fn find(&self, kid: &str, now_s: i64) -> Result<VerifyingKey, IdentityError> {
        match (self.fixed.find(kid), &self.source) {
            (Some(key), _) => Ok(key),
            (None, Some(source)) => source.find(kid, now_s).await,
            (None, None) => Err(UNKNOWN_KEY),
        }
    }
}

impl Source {
    /// The key of this id. A source that is down does not take away the keys that are already here.
    async fn find(&self, kid: &str, now_s: i64) -> Result<VerifyingKey, IdentityError> {
        if let Some(answer) = lock(&self.cache).answer(kid, now_s) {
            return answer;
        }
        let fetched = (self.fetch)(self.url.clone()).await;
        let fetched = fetched.and_then(|body| Jwks::parse(&body).map_err(|error| error.to_string()));
        let mut cache = lock(&self.cache);
        cache.failed = fetched.is_err();
        match fetched {
            Ok(jwks) => {
                cache.jwks = Some(jwks);
                cache.fetched_at_s = now_s;
            }
            Err(reason) => eprintln!("cannot refresh the token keys from {}: {reason}", self.url),
        }
        cache.jwks.as_ref().ok_or(IdentityError::Unavailable)?.find(kid).ok_or(UNKNOWN_KEY)
    }
}

impl Cache {
    /// What the kept set says, or `None` when it is time to fetch; that time is then noted.
    fn answer(&mut self, kid: &str, now_s: i64) -> Option<Result<VerifyingKey, IdentityError>> {
        let key = self.jwks.as_ref().map(|jwks| jwks.find(kid));
        let fresh = now_s - self.fetched_at_s < JWKS_FRESH_S;
        let paused = now_s - self.tried_at_s < FETCH_PAUSE_S;
        match key {
            Some(Some(key)) if fresh || paused => Some(Ok(key)),
            Some(None) if paused => Some(Err(UNKNOWN_KEY)),
            // Without any set, those who come while the first fetch runs fetch too, and only a failure makes them wait.
            None if paused && self.failed => Some(Err(IdentityError::Unavailable)),
            _ => {
                self.tried_at_s = now_s;
                None
            }
        }
    }
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    // The cache is whole after every assignment, so a panic elsewhere does not spoil it.
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.source.as_ref().map(|source| &source.url);
        f.debug_struct("Keys").field("fixed", &self.fixed).field("url", &url).finish_non_exhaustive()
    }
}
