//! Where the keys come from: a fixed set, or a URL whose answer is kept.

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
    /// The JWKS itself.
    pub jwks: String,
    /// Where the JWKS is, which then counts in place of `jwks`; empty to use that.
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

pub(crate) enum Keys {
    Fixed(Jwks),
    Url { url: String, fetch: Fetch, cache: Mutex<Cache> },
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
        match (settings.jwks.trim(), settings.jwks_url.trim()) {
            ("", "") => Ok(Self::Fixed(Jwks::default())),
            (jwks, "") => Ok(Self::Fixed(Jwks::parse(jwks.as_bytes())?)),
            (_, url) => Ok(Self::Url { url: url.to_owned(), fetch, cache: Mutex::default() }),
        }
    }

    /// The key of this id. A source that is down does not take away the keys that are already here.
    pub(crate) async fn find(&self, kid: &str, now_s: i64) -> Result<VerifyingKey, IdentityError> {
        let (url, fetch, cache) = match self {
            Self::Fixed(jwks) => return jwks.find(kid).ok_or(UNKNOWN_KEY),
            Self::Url { url, fetch, cache } => (url, fetch, cache),
        };
        if let Some(answer) = lock(cache).answer(kid, now_s) {
            return answer;
        }
        let fetched = fetch(url.clone()).await.and_then(|body| Jwks::parse(&body).map_err(|error| error.to_string()));
        let mut cache = lock(cache);
        cache.failed = fetched.is_err();
        match fetched {
            Ok(jwks) => {
                cache.jwks = Some(jwks);
                cache.fetched_at_s = now_s;
            }
            Err(reason) => eprintln!("cannot refresh the token keys from {url}: {reason}"),
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
        match self {
            Self::Fixed(jwks) => f.debug_tuple("Fixed").field(jwks).finish(),
            Self::Url { url, .. } => f.debug_struct("Url").field("url", url).finish_non_exhaustive(),
        }
    }
}
