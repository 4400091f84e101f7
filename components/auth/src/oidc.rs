//! Login by another issuer: OpenID Connect's authorization code flow with PKCE (RFC 7636).

mod exchange;
mod id_token;

use std::sync::Mutex;

use serde::Deserialize;
use url::Url;

use exchange::Endpoints;
pub(crate) use exchange::code_challenge;
pub(crate) use id_token::{Expected, Person};

/// Scopes that are asked for where a provider names none.
const SCOPES: &str = "openid email profile";

/// The issuers whose accounts may log in.
#[derive(Debug, Default)]
pub(crate) struct Providers(Vec<Provider>);

/// An issuer, and what this shop is to it.
#[derive(Debug)]
pub(crate) struct Provider {
    /// Its name in our paths.
    pub(crate) name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    redirect_uri: Url,
    scopes: String,
    endpoints: Mutex<Option<(Endpoints, i64)>>,
}

/// The variable `oidc_issuers` cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvidersError {
    /// Not the JSON that it should be.
    #[error("oidc_issuers is unusable: {0}")]
    Json(#[from] serde_json::Error),
    /// A name that cannot stand in a path, or twice the same.
    #[error("oidc_issuers: {0:?} is no name of its own made of lower-case letters, digits and hyphens")]
    Name(String),
    /// A URL that secrets must not be sent to.
    #[error("oidc_issuers: {0:?} is not an https URL (http is for this machine alone)")]
    Insecure(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    redirect_uri: String,
    scopes: Option<String>,
}

impl Providers {
    /// Reads the variable: a JSON list, or nothing.
    pub(crate) fn parse(json: &str) -> Result<Self, ProvidersError> {
        if json.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut providers: Vec<Provider> = Vec::new();
        for wire in serde_json::from_str::<Vec<Wire>>(json)? {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let taken = providers.iter().any(|provider| provider.name == wire.name);
            if wire.name.is_empty() || !wire.name.bytes().all(plain) || taken {
                return Err(ProvidersError::Name(wire.name));
            }
            let insecure = |url: &str| ProvidersError::Insecure(url.to_owned());
            secure(&wire.issuer).ok_or_else(|| insecure(&wire.issuer))?;
            providers.push(Provider {
                name: wire.name,
                issuer: wire.issuer,
                client_id: wire.client_id,
                client_secret: wire.client_secret,
                redirect_uri: secure(&wire.redirect_uri).ok_or_else(|| insecure(&wire.redirect_uri))?,
                scopes: wire.scopes.unwrap_or_else(|| SCOPES.to_owned()),
                endpoints: Mutex::default(),
            });
        }
        Ok(Self(providers))
    }

    /// The issuer of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.name == name)
    }
}

impl Provider {
    /// What an id_token of a login has to say.
    pub(crate) fn expected<'a>(&'a self, nonce: &'a str) -> Expected<'a> {
        Expected { issuer: &self.issuer, client_id: &self.client_id, nonce }
    }

    /// Whether browsers come back over TLS.
    pub(crate) fn returns_over_tls(&self) -> bool {
        self.redirect_uri.scheme() == "https"
    }
}

/// A URL whose other end is proven by TLS, or is this machine. The code flow rests on that: the id_token comes
/// straight from the issuer, so that OpenID Connect Core section 3.1.3.7 takes the server's certificate in place
/// of the token's signature.
fn secure(url: &str) -> Option<Url> {
    let url = Url::parse(url).ok()?;
    let loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost",
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
    };
    (url.scheme() == "https" || (url.scheme() == "http" && loopback)).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_checked_when_the_service_starts() {
        let with = |change: serde_json::Value| {
            let mut wire = json!({"name": "acme", "issuer": "https://id.acme.example", "client_id": "shop",
                "client_secret": "s", "redirect_uri": "https://shop.example/api/auth/oidc/acme/callback"});
            wire.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            Providers::parse(&json!([wire]).to_string()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(with(json!({})), Ok(()));
        assert_eq!(with(json!({"issuer": "http://127.0.0.1:9000"})), Ok(()));
        for (change, word) in [
            (json!({"name": "Acme/../x"}), "no name"),
            (json!({"issuer": "http://id.acme.example"}), "not an https URL"),
            (json!({"redirect_uri": "ftp://shop.example"}), "not an https URL"),
            (json!({"secret": "s"}), "unknown field"),
        ] {
            assert!(with(change.clone()).unwrap_err().contains(word), "{change}");
        }
        assert!(Providers::parse("").unwrap().find("acme").is_none());
        assert!(Providers::parse("{}").is_err());
    }
}
