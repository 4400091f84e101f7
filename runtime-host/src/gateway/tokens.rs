//! Bearer tokens: signed claims (RFC 7519) of one issuer for one audience, verified with its keys (RFC 7517).

mod keys;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Uri};
use jsonwebtoken::{Algorithm, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;

use super::principal::Principal;
pub use keys::KeySource;
use keys::{Key, Keys};

/// Bytes of a token that is read.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// How far the clocks of issuer and host may differ, in seconds.
const LEEWAY_S: u64 = 30;
/// Tokens that are remembered as verified: a signature costs more than all the rest of the gateway.
const VERIFIED_MAX: usize = 10_000;
/// What stands before a token, in any case of letters (RFC 9110, 11.1).
const BEARER: &str = "Bearer ";

/// Whose tokens count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TokenSettings {
    pub(super) issuer: String,
    pub(super) audience: String,
    /// A JWKS of keys that are known from the start; may be empty.
    pub(super) jwks: String,
    /// Where more keys are.
    pub(super) jwks_url: Option<Uri>,
    /// Claims that a token has to have, with their values.
    pub(super) claims: BTreeMap<String, String>,
}

/// Why a token does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenError {
    /// There is none.
    Missing,
    /// It is not what it has to be.
    Invalid,
    /// The keys to verify it with are out of reach.
    Unavailable,
}

/// Verifies tokens.
pub(super) struct Tokens {
    settings: TokenSettings,
    keys: Keys,
    verified: Cache<[u8; blake3::OUT_LEN], Verified>,
}

#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    expires_at_s: u64,
    /// The keys that it was verified with.
    generation: u64,
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
    /// Only to be of the right type; when it is, is looked at elsewhere.
    #[serde(rename = "nbf")]
    _nbf: Option<u64>,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scope: String,
    #[serde(flatten)]
    others: BTreeMap<String, serde_json::Value>,
}

impl Tokens {
    pub(super) fn new(settings: TokenSettings) -> Self {
        let keys = Keys::new(&settings.jwks, settings.jwks_url.clone());
        Self { settings, keys, verified: Cache::new(VERIFIED_MAX) }
    }

    pub(super) fn settings(&self) -> &TokenSettings {
        &self.settings
    }

    /// Who holds the token of a request.
    pub(super) async fn authenticate(
        self: &Arc<Self>,
        headers: &HeaderMap,
        source: &Arc<dyn KeySource>,
    ) -> Result<Arc<Principal>, TokenError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(TokenError::Missing)?;
        // Who is it, if the component reads the other one?
        if values.next().is_some() {
            return Err(TokenError::Invalid);
        }
        let value = value.to_str().map_err(|_| TokenError::Invalid)?;
        let (scheme, token) = value.split_at_checked(BEARER.len()).ok_or(TokenError::Invalid)?;
        if !scheme.eq_ignore_ascii_case(BEARER) || token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid);
        }
        let token = token.trim();
        let digest = *blake3::hash(token.as_bytes()).as_bytes();
        self.keys.keep_fresh(source);
        let generation = self.keys.generation();
        if let Some(known) = self.verified.get(&digest)
            && known.generation == generation
            && now_s() < known.expires_at_s.saturating_add(LEEWAY_S)
        {
            return Ok(known.principal);
        }
        let header = read_header(token).ok_or(TokenError::Invalid)?;
        let key = self.keys.find(header.kid.as_deref(), source).await?;
        // The key says how it signs, never the token.
        if header.alg != key.algorithm || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let claims = self.verify(token, &key)?;
        let principal = Arc::new(Principal::new(claims.sub, claims.roles, &claims.scope));
        let verified = Verified { principal: principal.clone(), expires_at_s: claims.exp, generation };
        self.verified.insert(digest, verified);
        Ok(principal)
    }

    fn verify(&self, token: &str, key: &Key) -> Result<Claims, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation);
        let claims = decoded.map_err(|_| TokenError::Invalid)?.claims;
        let has = |(name, value): (&String, &String)| claims.others.get(name).is_some_and(|found| found == value);
        if self.settings.claims.iter().all(has) { Ok(claims) } else { Err(TokenError::Invalid) }
    }
}

/// Whether a text is a set of keys, or none; the error is a whole sentence.
pub(super) fn check_jwks(text: &str) -> Result<(), String> {
    keys::parse(text.as_bytes()).map(drop)
}

fn read_header(token: &str) -> Option<Header> {
    let (header, _) = token.split_once('.')?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).ok()?).ok()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
