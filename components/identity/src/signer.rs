//! The other side: signing tokens, for whoever issues them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::Claims;

/// A private key with its id.
pub struct Signer {
    kid: String,
    key: SigningKey,
}

impl Signer {
    /// The key of a seed, which must be 32 random bytes and stay secret.
    pub fn new(kid: impl Into<String>, seed: [u8; 32]) -> Self {
        Self { kid: kid.into(), key: SigningKey::from_bytes(&seed) }
    }

    /// The token of these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid});
        // Claims are texts, numbers and lists, which always serialise.
        let payload = serde_json::to_vec(claims).unwrap_or_default();
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    /// The id by which tokens name the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half as a JWK (RFC 8037).
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.key.verifying_key().as_bytes());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": x})
    }

    /// The JWKS with the public half alone, as the variable `jwks` takes it.
    pub fn jwks(&self) -> String {
        json!({ "keys": [self.jwk()] }).to_string()
    }
}
