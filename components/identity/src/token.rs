//! The token itself: a compact JWS whose payload is JWT claims.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::{IdentityError, Role, Settings};

/// Longest token that is read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// How far the clocks of issuer and service may differ.
pub const LEEWAY_S: i64 = 30;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer.
    pub iss: String,
    /// Audiences; a lone text is read as a list of one (RFC 7519 section 4.1.3).
    #[serde(deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Account id.
    pub sub: String,
    /// Kind of token; only `access` opens a service.
    pub typ: String,
    /// Roles of the account.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// The group that the account is priced in; none for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_group: Option<String>,
    /// Issued at, in Unix seconds.
    pub iat: i64,
    /// Not valid before, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    /// Expires at, in Unix seconds.
    pub exp: i64,
}

impl Claims {
    /// The claims of an access token that is valid from now on for `lifetime_s` seconds.
    pub fn access(settings: &Settings, subject: &str, roles: &[Role], lifetime_s: i64) -> Self {
        let now_s = commerce::unix_s();
        Self {
            iss: settings.issuer.clone(),
            aud: vec![settings.audience.clone()],
            sub: subject.to_owned(),
            typ: "access".to_owned(),
            roles: roles.to_vec(),
            customer_group: None,
            iat: now_s,
            nbf: None,
            exp: now_s + lifetime_s,
        }
    }

    pub(crate) fn check(&self, issuer: &str, audience: &str, now_s: i64) -> Result<(), IdentityError> {
        let invalid = |reason| Err(IdentityError::Invalid(reason));
        if self.typ != "access" {
            return invalid("the token is not an access token");
        }
        if self.iss != issuer {
            return invalid("the token is from another issuer");
        }
        if !self.aud.iter().any(|given| given == audience) {
            return invalid("the token is for another audience");
        }
        if self.exp.saturating_add(LEEWAY_S) <= now_s {
            return invalid("the token has expired");
        }
        if self.nbf.is_some_and(|from| from > now_s.saturating_add(LEEWAY_S)) {
            return invalid("the token is not valid yet");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    crit: Option<serde::de::IgnoredAny>,
}

/// A well-formed token whose signature has yet to be checked, so its claims are out of reach.
pub(crate) struct Unverified<'a> {
    pub(crate) kid: String,
    signed: &'a str,
    payload: &'a str,
    signature: Signature,
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, IdentityError> {
        let malformed = IdentityError::Invalid("the token is malformed");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(IdentityError::Invalid("the token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
        let (header, payload) = signed.split_once('.').ok_or(malformed.clone())?;
        let header: Header = decode(header).ok_or(malformed.clone())?;
        // The service names the algorithm, never the token: `none` and every HMAC end here.
        if header.alg != "EdDSA" {
            return Err(IdentityError::Invalid("the token is not signed with EdDSA"));
        }
        if header.crit.is_some() {
            return Err(IdentityError::Invalid("the token demands an extension that is not known"));
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| malformed.clone())?;
        let signature = Signature::from_slice(&signature).map_err(|_| malformed)?;
        Ok(Self { kid: header.kid, signed, payload, signature })
    }

    pub(crate) fn verify(&self, key: &VerifyingKey) -> Result<Claims, IdentityError> {
        key.verify_strict(self.signed.as_bytes(), &self.signature)
            .map_err(|_| IdentityError::Invalid("the signature is not from that key"))?;
        decode(self.payload).ok_or(IdentityError::Invalid("the claims are malformed"))
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}
