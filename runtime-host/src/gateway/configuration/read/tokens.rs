//! `[tokens]`: whose bearer tokens count.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Uri;

use super::Context;
use crate::allowed_hosts::is_service_chaining_host;
use crate::config_file::{ConfigError, Table, Value};
use crate::gateway::tokens::{TokenSettings, check_jwks};

/// Claims that have a meaning of their own.
const OWN_CLAIMS: [&str; 7] = ["iss", "aud", "sub", "exp", "nbf", "roles", "scope"];

impl Context<'_> {
    pub(super) fn tokens(&self, mut table: Table<'_>) -> Result<Option<TokenSettings>, ConfigError> {
        let issuer = self.text(Some(table.required("issuer", "the `iss` of every token")?))?;
        let audience = self.text(Some(table.required("audience", "what the `aud` of every token holds")?))?;
        let (jwks, url): (Option<Value>, Option<Value>) = (table.optional("jwks")?, table.optional("jwks_url")?);
        if jwks.is_none() && url.is_none() {
            return Err(table.error(format!("{table} has no keys; expected `jwks`, `jwks_url` or both")));
        }
        let (jwks, url) = (self.text(jwks)?, self.text(url)?);
        let claims: BTreeMap<String, String> = table.or_default("claims")?;
        if let Some(name) = claims.keys().find(|name| OWN_CLAIMS.contains(&name.as_str())) {
            return Err(table.error(format!("{table} asks for a claim `{name}`, which is looked at in any case")));
        }
        if let Some(jwks) = &jwks {
            check_jwks(jwks).map_err(|problem| table.error_at(jwks.position, problem))?;
        }
        let jwks_url = match url.filter(|url| !url.trim().is_empty()) {
            None => None,
            Some(url) => Some(key_url(&url).map_err(|problem| table.error_at(url.position, problem))?),
        };
        table.finish()?;
        let (Some(issuer), Some(audience)) = (issuer, audience) else { return Ok(None) };
        let jwks = jwks.map(|jwks| jwks.value).unwrap_or_default();
        Ok(Some(TokenSettings { issuer: issuer.value, audience: audience.value, jwks, jwks_url, claims }))
    }
}

fn key_url(text: &str) -> Result<Uri, String> {
    let url: Option<Uri> = text.trim().parse().ok();
    let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let Some((url, host)) = url.and_then(|url| Some((url.clone(), url.host()?.to_ascii_lowercase()))) else {
        return Err(format!("{text:?} is no URL of http or https"));
    };
    let host = host.trim_matches(['[', ']']);
    let is_here = is_service_chaining_host(host)
        || host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme_str() == Some("https") || is_here {
        true => Ok(url),
        false => Err(format!("{text:?} has no TLS, and who is on the way could give other keys; expected https")),
    }
}
