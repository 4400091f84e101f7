//! Whom a service trusts.

use axum::http::HeaderMap;
use identity::{Identity, IdentityError, InternalSecret, Principal, Role, Settings};

use crate::entry::{SettingError, variable};

/// Verifies tokens, and the secret between services.
pub struct Access {
    identity: Identity,
    internal_secret: InternalSecret,
}

impl Access {
    /// Trusts the tokens of `identity`, and on internal routes who knows `internal_secret`; an empty one asks for none.
    pub fn new(identity: Identity, internal_secret: impl Into<String>) -> Self {
        Self { identity, internal_secret: InternalSecret::new(internal_secret) }
    }

    /// As the variables `jwks`, `jwks_url`, `token_issuer`, `token_audience` and `internal_secret` say.
    pub async fn from_variables() -> Result<Self, SettingError> {
        let settings = Settings {
            jwks: variable("jwks").await?,
            jwks_url: variable("jwks_url").await?,
            issuer: variable("token_issuer").await?,
            audience: variable("token_audience").await?,
        };
        let identity = Identity::new(&settings, identity::fetch)?;
        Ok(Self::new(identity, variable("internal_secret").await?))
    }

    /// The caller, who has to show a token.
    pub async fn principal(&self, headers: &HeaderMap) -> Result<Principal, IdentityError> {
        self.identity.authenticate(headers).await
    }

    /// Passes callers of this role or a higher one.
    pub async fn require(&self, headers: &HeaderMap, role: Role) -> Result<Principal, IdentityError> {
        let principal = self.principal(headers).await?;
        principal.require(role)?;
        Ok(principal)
    }

    /// Passes staff.
    pub async fn staff(&self, headers: &HeaderMap) -> Result<Principal, IdentityError> {
        self.require(headers, Role::Staff).await
    }

    /// Passes the shop's other services.
    pub fn internal(&self, headers: &HeaderMap) -> Result<(), IdentityError> {
        self.internal_secret.check(headers)
    }
}
