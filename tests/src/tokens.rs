//! Mints the access tokens that the tests present, with a key of their own, as an identity service would.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

/// Who issues tokens, unless an app's variables say otherwise.
pub const ISSUER: &str = "bodega";
/// Whom tokens are for, unless an app's variables say otherwise.
pub const AUDIENCE: &str = "bodega";
const LIFETIME_SECONDS: u64 = 600;

/// Signs tokens with one key.
pub struct TokenIssuer {
    key: SigningKey,
    key_id: String,
}

impl Default for TokenIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenIssuer {
    /// An issuer with a key and a key id that no other issuer of this process has.
    pub fn new() -> Self {
        static SEED: AtomicU8 = AtomicU8::new(1);
        let seed = SEED.fetch_add(1, Ordering::Relaxed);
        Self { key: SigningKey::from_bytes(&[seed; 32]), key_id: format!("test-key-{seed}") }
    }

    /// The public key as a JWKS document (RFC 7517, RFC 8037).
    pub fn jwks(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id, "x": x,
        }] })
        .to_string()
    }

    /// A good access token with one role.
    pub fn access_token(&self, role: &str) -> String {
        self.access_token_of(&Self::claims(role))
    }

    /// The claims of a good access token, to be spoilt.
    pub fn claims(role: &str) -> Value {
        let now = unix_seconds();
        json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "01890000-0000-7000-8000-000000000001", "typ": "access",
            "roles": [role], "iat": now, "nbf": now, "exp": now + LIFETIME_SECONDS,
        })
    }

    /// A good access token of these claims.
    pub fn access_token_of(&self, claims: &Value) -> String {
        self.token(&self.header("EdDSA"), claims)
    }

    /// A signed token of any header and claims (RFC 7519).
    pub fn token(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |signed| self.key.sign(signed).to_bytes().to_vec())
    }

    /// Tokens of these claims that nobody may believe, each with what is wrong with it (RFC 8725 sections 2 and 3).
    pub fn forgeries(&self, claims: &Value) -> [(&'static str, String); 4] {
        let mut past = claims.clone();
        for (name, ago) in [("iat", 2 * LIFETIME_SECONDS), ("nbf", 2 * LIFETIME_SECONDS), ("exp", LIFETIME_SECONDS)] {
            past[name] = json!(unix_seconds() - ago);
        }
        let stranger = SigningKey::from_bytes(&[0xEE; 32]);
        let with_public_key = |signed: &[u8]| {
            let mac = Hmac::<Sha256>::new_from_slice(self.key.verifying_key().as_bytes());
            let mac = mac.expect("a key of any length").chain_update(signed);
            mac.finalize().into_bytes().to_vec()
        };
        [
            ("expired", self.access_token_of(&past)),
            ("wrong signature", token(&self.header("EdDSA"), claims, |text| stranger.sign(text).to_bytes().to_vec())),
            ("alg=none", token(&self.header("none"), claims, |_| Vec::new())),
            ("key confusion", token(&self.header("HS256"), claims, with_public_key)),
        ]
    }

    fn header(&self, algorithm: &str) -> Value {
        json!({ "alg": algorithm, "typ": "JWT", "kid": self.key_id })
    }
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}
