//! The keys of an issuer: a fixed set, and one that is fetched and comes and goes while the host runs.
//!
//! A source that is down takes no key away. However many tokens with unknown keys come in, it is asked only so often.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Uri;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::task::JoinError;

use super::TokenError;

/// Keys of one set that are read.
const KEYS_MAX: usize = 64;
/// How long a fetched set is used before it is fetched anew.
const FRESH: Duration = Duration::from_secs(300);
/// The shortest time between two fetches.
const PAUSE: Duration = Duration::from_secs(10);

/// Fetches what keys are published at a URL.
pub trait KeySource: Send + Sync {
    /// The body of the answer, or why there is none. It has to end within seconds, and be of bounded length.
    fn fetch(self: Arc<Self>, url: Uri) -> BoxFuture<'static, Result<Bytes, String>>;
}

/// A key with which tokens are verified.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    /// The only algorithm that it is used with.
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

pub(super) struct Keys {
    fixed: Vec<Key>,
    source: Option<Arc<Source>>,
}

struct Source {
    url: Uri,
    fetched: ArcSwapOption<Fetched>,
    /// Grows with every change of the keys.
    generation: AtomicU64,
    /// When it was last asked; held by who waits for the answer.
    tried: Mutex<Option<Instant>>,
}

struct Fetched {
    body: Bytes,
    keys: Vec<Key>,
    at: Instant,
}

impl Keys {
    /// The keys of a set that was checked, and of what is published at `url`.
    pub(super) fn new(jwks: &str, url: Option<Uri>) -> Self {
        let source = |url| Source {
            url,
            fetched: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            tried: Mutex::new(None),
        };
        Self { fixed: parse(jwks.as_bytes()).unwrap_or_default(), source: url.map(|url| Arc::new(source(url))) }
    }

    /// A number that changes with the keys.
    pub(super) fn generation(&self) -> u64 {
        self.source.as_ref().map_or(0, |source| source.generation.load(Ordering::Acquire))
    }

    /// The source has published this.
    #[cfg(test)]
    pub(super) fn refresh_now(&self, jwks: &str) {
        let source = self.source.as_ref().unwrap();
        source.keep(parse(jwks.as_bytes()).unwrap(), Bytes::from(jwks.to_owned()));
    }

    /// The key of this id. Without an id it is the only key that there is.
    pub(super) async fn find(&self, id: Option<&str>, via: &Arc<dyn KeySource>) -> Result<Key, TokenError> {
        if let Some(key) = one_of(&self.fixed, id) {
            return Ok(key);
        }
        let source = self.source.as_ref().ok_or(TokenError::Invalid)?;
        match source.known(id) {
            Some(key) => Ok(key),
            // In a place of its own, since hardly any request needs it.
            None => Box::pin(source.refresh(id, via)).await,
        }
    }

    /// Has keys that have been here for long fetched anew. With those that are here goes on what does not need others.
    pub(super) fn keep_fresh(&self, via: &Arc<dyn KeySource>) {
        let Some(source) = self.source.as_ref().filter(|source| source.is_stale()) else { return };
        if let Ok(mut tried) = source.tried.try_lock()
            && is_due(&tried)
        {
            *tried = Some(Instant::now());
            tokio::spawn(source.clone().fetch(via.clone()));
        }
    }
}

impl Source {
    fn known(&self, id: Option<&str>) -> Option<Key> {
        self.fetched.load().as_ref().and_then(|fetched| one_of(&fetched.keys, id))
    }

    /// Whether there are keys that have been here for long.
    fn is_stale(&self) -> bool {
        self.fetched.load().as_ref().is_some_and(|fetched| fetched.at.elapsed() >= FRESH)
    }

    /// Asks for the keys, unless somebody just did, and looks for this one again.
    async fn refresh(self: &Arc<Self>, id: Option<&str>, via: &Arc<dyn KeySource>) -> Result<Key, TokenError> {
        let mut tried = self.tried.lock().await;
        // Somebody else may have fetched while this one waited.
        if let Some(key) = self.known(id) {
            return Ok(key);
        }
        if is_due(&tried) {
            // Who asks may go away, and the next one must not ask anew for that.
            *tried = Some(Instant::now());
            let _: Result<(), JoinError> = tokio::spawn(self.clone().fetch(via.clone())).await;
        }
        match (self.known(id), self.fetched.load().is_some()) {
            (Some(key), _) => Ok(key),
            (None, true) => Err(TokenError::Invalid),
            (None, false) => Err(TokenError::Unavailable),
        }
    }

    async fn fetch(self: Arc<Self>, via: Arc<dyn KeySource>) {
        let answer = via.fetch(self.url.clone()).await;
        match answer.and_then(|body| Ok((parse(&body)?, body))) {
            Ok((keys, _)) if keys.is_empty() => {
                tracing::warn!(url = %self.url, "the keys for tokens were fetched, and none of them verifies tokens");
            }
            Ok((keys, body)) => self.keep(keys, body),
            Err(reason) => tracing::warn!(url = %self.url, "the keys for tokens cannot be fetched: {reason}"),
        }
    }

    fn keep(&self, keys: Vec<Key>, body: Bytes) {
        let is_same = self.fetched.load().as_ref().is_some_and(|fetched| fetched.body == body);
        self.fetched.store(Some(Arc::new(Fetched { body, keys, at: Instant::now() })));
        if !is_same {
            self.generation.fetch_add(1, Ordering::Release);
        }
    }
}

/// Whether the source may be asked again.
fn is_due(tried: &Option<Instant>) -> bool {
    tried.is_none_or(|tried| tried.elapsed() >= PAUSE)
}

/// The key of this id, or the only one.
fn one_of(keys: &[Key], id: Option<&str>) -> Option<Key> {
    match (id, keys) {
        (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)).cloned(),
        (None, [key]) => Some(key.clone()),
        (None, _) => None,
    }
}

/// The keys of a JWKS that can verify tokens; those of other kinds are left out. The error is the rest of a sentence.
pub(super) fn parse(jwks: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    if jwks.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let set: Set = serde_json::from_slice(jwks).map_err(|error| format!("it is no JWKS: {error}"))?;
    if set.keys.len() > KEYS_MAX {
        return Err(format!("it has {} keys; at most {KEYS_MAX} are read", set.keys.len()));
    }
    Ok(set.keys.into_iter().filter_map(Key::of).collect())
}

impl Key {
    fn of(jwk: serde_json::Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            _ => return None,
        };
        let common = &jwk.common;
        let named = common.key_algorithm.map(|named| named.to_string());
        let fits = named.is_none_or(|named| named == format!("{algorithm:?}"));
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        (fits && signs).then_some(Self { id: jwk.common.key_id, algorithm, decoding })
    }
}
