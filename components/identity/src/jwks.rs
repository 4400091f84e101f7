//! A set of public keys (RFC 7517), of which only those for Ed25519 signatures count.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use serde::Deserialize;

/// Most keys that a set may hold.
pub const KEYS_MAX: usize = 32;

/// The keys that tokens may be signed with, by key id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jwks(Vec<(String, VerifyingKey)>);

/// Why a text is no usable key set.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// Not the JSON of a key set.
    #[error("not a JWKS: {0}")]
    Json(#[from] serde_json::Error),
    /// More than [`KEYS_MAX`] keys.
    #[error("a JWKS may hold {KEYS_MAX} keys, this one holds {0}")]
    TooMany(usize),
    /// The set has keys, but none with an id for Ed25519 signatures.
    #[error("the JWKS holds no Ed25519 signature key with a `kid`")]
    NoneUsable,
}

#[derive(Deserialize)]
struct Wire {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    x: Option<String>,
}

impl Jwks {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, JwksError> {
        let wire: Wire = serde_json::from_slice(json)?;
        if wire.keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany(wire.keys.len()));
        }
        let keys: Vec<_> = wire.keys.iter().filter_map(Key::usable).collect();
        if keys.is_empty() && !wire.keys.is_empty() {
            return Err(JwksError::NoneUsable);
        }
        Ok(Self(keys))
    }

    pub(crate) fn find(&self, kid: &str) -> Option<VerifyingKey> {
        self.0.iter().find(|(known, _)| known == kid).map(|(_, key)| *key)
    }
}

impl Key {
    /// A key for another algorithm or use is left out, as RFC 7517 section 5 asks.
    fn usable(&self) -> Option<(String, VerifyingKey)> {
        let is = |member: &Option<String>, value| member.as_deref().is_none_or(|given| given == value);
        if self.kty != "OKP" || self.crv.as_deref() != Some("Ed25519") {
            return None;
        }
        if !(is(&self.alg, "EdDSA") || is(&self.alg, "Ed25519")) || !is(&self.usage, "sig") {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(self.x.as_ref()?).ok()?;
        let key = VerifyingKey::from_bytes(bytes.as_slice().try_into().ok()?).ok()?;
        // A key of small order would accept signatures that nobody made.
        (!key.is_weak()).then(|| self.kid.clone().map(|kid| (kid, key)))?
    }
}
