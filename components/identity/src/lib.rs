//! Who is calling. Every service asks this itself and trusts no header but the token.
//!
//! Tokens are compact JWS (RFC 7515) of JWT claims (RFC 7519), signed with Ed25519 (RFC 8037) and nothing
//! else. The keys are JWKS (RFC 7517): one from a variable, one from a URL, or both.
//!
//! ```
//! # use identity::{Claims, Identity, Role, Settings, Signer};
//! # use axum::http::{HeaderMap, header::AUTHORIZATION};
//! # futures::executor::block_on(async {
//! let signer = Signer::new("key-1", [7; 32]);
//! let settings = Settings { jwks: signer.jwks(), ..Settings::default() };
//! let identity = Identity::new(&settings, identity::no_fetch).unwrap();
//!
//! let token = signer.sign(&Claims::access(&settings, "ann", &[Role::Staff], 300));
//! let headers = HeaderMap::from_iter([(AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
//! let principal = identity.authenticate(&headers).await.unwrap();
//! assert!(principal.require(Role::Staff).is_ok());
//! assert!(principal.require(Role::Admin).is_err());
//! # });
//! ```

mod error;
mod fetch;
pub mod guest;
mod internal;
mod jwks;
mod keys;
mod principal;
mod signer;
mod token;

pub use error::IdentityError;
pub use fetch::fetch;
pub use internal::{INTERNAL_SECRET_HEADER, InternalSecret};
pub use jwks::{JwksError, KEYS_MAX};
pub use keys::{FETCH_PAUSE_S, Fetched, JWKS_FRESH_S, Settings, SettingsError, no_fetch};
pub use principal::{Principal, Role};
pub use signer::Signer;
pub use token::{Claims, LEEWAY_S, TOKEN_BYTES_MAX};

use axum::http::{HeaderMap, header};

use keys::Keys;

/// Verifies the tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Identity {
    issuer: String,
    audience: String,
    keys: Keys,
}

impl Identity {
    /// Takes the settings, and how to get the JWKS of a URL.
    pub fn new(
        settings: &Settings,
        fetch: impl Fn(String) -> Fetched + Send + Sync + 'static,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            keys: Keys::new(settings, Box::new(fetch))?,
        })
    }

    /// The bearer of the `Authorization` header.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, IdentityError> {
        self.authenticate_at(headers, commerce::unix_s()).await
    }

    async fn authenticate_at(&self, headers: &HeaderMap, now_s: i64) -> Result<Principal, IdentityError> {
        let value = headers.get(header::AUTHORIZATION).ok_or(IdentityError::Missing)?;
        let value = value.to_str().map_err(|_| IdentityError::Invalid("the Authorization header is not text"))?;
        let (scheme, token) = value.split_once(' ').ok_or(IdentityError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(IdentityError::Missing);
        }
        let unverified = token::Unverified::parse(token.trim())?;
        let key = self.keys.find(&unverified.kid, now_s).await?;
        let claims = unverified.verify(&key)?;
        claims.check(&self.issuer, &self.audience, now_s)?;
        Ok(Principal::new(claims.sub, claims.roles, claims.customer_group))
    }
}

#[cfg(test)]
mod tests;
