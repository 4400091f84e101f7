//! What an id_token says of a person (OpenID Connect Core section 3.1.3.7).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use identity::LEEWAY_S;
use serde::Deserialize;

/// Longest id_token that is read, in bytes.
const ID_TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Longest subject, in bytes (OpenID Connect Core section 2).
const SUBJECT_BYTES_MAX: usize = 255;

/// What the claims have to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) nonce: &'a str,
}

/// A person, as the issuer knows them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    /// Who they are to the issuer, for ever.
    pub(crate) subject: String,
    /// Their address, if the issuer vouches for it.
    pub(crate) verified_email: Option<String>,
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: OneOrMany,
    azp: Option<String>,
    exp: i64,
    nonce: Option<String>,
    email: Option<String>,
    #[serde(default)]
    email_verified: Flag,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Some issuers write `"true"`.
#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Flag {
    #[default]
    Absent,
    Bool(bool),
    Text(String),
}

impl Person {
    /// Reads an id_token that came straight from the issuer's token endpoint.
    pub(crate) fn read(id_token: &str, expected: &Expected<'_>, now_s: i64) -> Result<Self, &'static str> {
        let malformed = "the id_token is malformed";
        if id_token.len() > ID_TOKEN_BYTES_MAX {
            return Err("the id_token is too long");
        }
        let mut parts = id_token.split('.');
        let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| malformed)?;
        claims.check(expected, now_s)?;
        let vouched = match claims.email_verified {
            Flag::Absent => false,
            Flag::Bool(verified) => verified,
            Flag::Text(text) => text == "true",
        };
        Ok(Self { subject: claims.sub, verified_email: claims.email.filter(|_| vouched), name: claims.name })
    }
}

impl Claims {
    fn check(&self, expected: &Expected<'_>, now_s: i64) -> Result<(), &'static str> {
        let audiences = match &self.aud {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        };
        if self.iss != expected.issuer {
            return Err("the id_token is from another issuer");
        }
        if !audiences.iter().any(|audience| audience == expected.client_id) {
            return Err("the id_token is for another client");
        }
        let for_us = match &self.azp {
            Some(azp) => azp == expected.client_id,
            None => audiences.len() == 1,
        };
        if !for_us {
            return Err("the id_token was asked for by another client");
        }
        if self.exp.saturating_add(LEEWAY_S) <= now_s {
            return Err("the id_token has expired");
        }
        if self.nonce.as_deref() != Some(expected.nonce) {
            return Err("the id_token is of another login");
        }
        match self.sub.len() {
            1..=SUBJECT_BYTES_MAX => Ok(()),
            _ => Err("the id_token names nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_800_000_000;

    fn read(change: Value) -> Result<Person, &'static str> {
        let mut claims = json!({"iss": "https://id.example", "sub": "u-1", "aud": "shop", "exp": NOW_S + 60,
            "iat": NOW_S, "nonce": "n", "email": "ann@example.com", "email_verified": true, "name": "Ann"});
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let expected = Expected { issuer: "https://id.example", client_id: "shop", nonce: "n" };
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        Person::read(&format!("{}.{}.c2ln", part(json!({"alg": "RS256"})), part(claims)), &expected, NOW_S)
    }

    #[test]
    fn every_claim_is_checked() {
        assert_eq!(read(json!({"aud": ["shop"]})).unwrap(), read(json!({})).unwrap());
        assert!(read(json!({"aud": ["other", "shop"], "azp": "shop"})).is_ok());
        for (change, reason) in [
            (json!({"iss": "https://evil.example"}), "the id_token is from another issuer"),
            (json!({"aud": "other"}), "the id_token is for another client"),
            (json!({"aud": ["shop", "other"]}), "the id_token was asked for by another client"),
            (json!({"azp": "other"}), "the id_token was asked for by another client"),
            (json!({"exp": NOW_S - LEEWAY_S}), "the id_token has expired"),
            (json!({"nonce": "m"}), "the id_token is of another login"),
            (json!({"nonce": null}), "the id_token is of another login"),
            (json!({"sub": ""}), "the id_token names nobody"),
            (json!({"sub": "u".repeat(256)}), "the id_token names nobody"),
        ] {
            assert_eq!(read(change), Err(reason));
        }
    }

    #[test]
    fn an_address_counts_only_if_the_issuer_vouches_for_it() {
        let email = |verified: Value| read(json!({"email_verified": verified})).unwrap().verified_email;
        assert_eq!(email(json!(true)).as_deref(), Some("ann@example.com"));
        assert_eq!(email(json!("true")).as_deref(), Some("ann@example.com"));
        assert_eq!(email(json!(false)), None);
        assert_eq!(email(json!("false")), None);
        assert_eq!(read(json!({"email": null})).unwrap().verified_email, None);
    }
}
