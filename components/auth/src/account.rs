//! An account: what a client may say of it, and what is kept.

use std::fmt::Display;

use commerce::email::Email;
use commerce::{CustomerGroup, Id, rfc3339};
use identity::Role;
use serde::{Deserialize, Serialize};
use service::{Error, Violation};

use crate::password::Password;

/// Longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 100;
/// Longest language tag, in bytes: as long as RFC 5646 section 4.4.1 asks readers to take.
const LOCALE_BYTES_MAX: usize = 35;

/// An account as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) id: String,
    /// Where mail goes; the key of an account is [`commerce::email::key`] of it.
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    /// The PHC string, if there is a password.
    pub(crate) password: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) role: Role,
    /// The group that the account is priced in, which staff decides.
    pub(crate) customer_group: Option<CustomerGroup>,
    pub(crate) version: i64,
    pub(crate) created_at_ms: i64,
}

/// What the account's owner says of themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) locale: Option<String>,
    /// Whether they want mail that sells.
    pub(crate) marketing: bool,
}

/// An account as it is sent.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    email: &'a str,
    email_verified: bool,
    has_password: bool,
    name: &'a str,
    locale: Option<&'a str>,
    marketing: bool,
    role: Role,
    customer_group: Option<&'a CustomerGroup>,
    created_at: String,
}

impl Account {
    /// A new account.
    pub(crate) fn new(email: &Email, password: Option<String>, profile: Profile, role: Role, now_ms: i64) -> Self {
        Self {
            id: Id::new().to_string(),
            email: email.as_str().to_owned(),
            email_verified: false,
            password,
            profile,
            role,
            customer_group: None,
            version: 1,
            created_at_ms: now_ms,
        }
    }

    /// The JSON of the account.
    pub(crate) fn to_json(&self) -> Result<String, Error> {
        Ok(serde_json::to_string(&Shown {
            id: &self.id,
            email: &self.email,
            email_verified: self.email_verified,
            has_password: self.password.is_some(),
            name: &self.profile.name,
            locale: self.profile.locale.as_deref(),
            marketing: self.profile.marketing,
            role: self.role,
            customer_group: self.customer_group.as_ref(),
            created_at: rfc3339(self.created_at_ms),
        })?)
    }

    /// The entity tag.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-0\"", self.version)
    }
}

/// What a client sends to have an account.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    email: String,
    password: String,
    #[serde(default)]
    name: String,
    locale: Option<String>,
    #[serde(default)]
    marketing: bool,
}

impl Registration {
    /// The parts, if none of them breaks a rule.
    pub(crate) fn check(self) -> Result<(Email, Password, Profile), Error> {
        let mut wrong = Vec::new();
        let email = checked(&mut wrong, "email", Email::parse(&self.email));
        // The password's rule on the address needs a good one, so it is looked at once there is.
        let password = match &email {
            Some(email) => checked(&mut wrong, "password", Password::choose(&self.password, email)),
            None => None,
        };
        let patch = ProfilePatch { name: Some(self.name), locale: Some(self.locale), marketing: Some(self.marketing) };
        let profile = patch.apply(&Profile::default(), &mut wrong);
        match (email, password) {
            (Some(email), Some(password)) if wrong.is_empty() => Ok((email, password, profile)),
            _ => Err(Error::Invalid(wrong)),
        }
    }
}

/// A JSON merge patch (RFC 7396) of a profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfilePatch {
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    locale: Option<Option<String>>,
    marketing: Option<bool>,
}

impl ProfilePatch {
    /// The profile with what the patch changes.
    pub(crate) fn apply(self, profile: &Profile, wrong: &mut Vec<Violation>) -> Profile {
        let name = self.name.map_or_else(|| profile.name.clone(), |name| name.trim().to_owned());
        if name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
            wrong.push(Violation::new("name", format!("up to {NAME_CHARS_MAX} characters on one line")));
        }
        let locale = self.locale.unwrap_or_else(|| profile.locale.clone());
        if !locale.as_deref().is_none_or(is_language_tag) {
            wrong.push(Violation::new("locale", "a language tag such as de-AT"));
        }
        Profile { name, locale, marketing: self.marketing.unwrap_or(profile.marketing) }
    }
}

/// The value of a field, or what is wrong with it.
pub(crate) fn checked<T, E: Display>(wrong: &mut Vec<Violation>, field: &str, value: Result<T, E>) -> Option<T> {
    value.map_err(|error| wrong.push(Violation::new(field, error))).ok()
}

/// Tells a member that is null from one that is absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Well-formed as far as RFC 5646 asks without its registry: subtags of 1 to 8 letters and digits.
fn is_language_tag(tag: &str) -> bool {
    let subtag = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let first = tag.split('-').next().unwrap_or_default();
    let language = (2..=8).contains(&first.len()) && first.bytes().all(|byte| byte.is_ascii_alphabetic());
    tag.len() <= LOCALE_BYTES_MAX && language && tag.split('-').all(subtag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(input: Value) -> Vec<String> {
        match serde_json::from_value::<Registration>(input).unwrap().check() {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(wrong)) => wrong.iter().map(ToString::to_string).collect(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn every_field_is_checked() {
        let good = json!({"email": "ann@example.com", "password": "long enough", "name": " Ann ", "locale": "de-AT"});
        assert!(rules(good.clone()).is_empty());
        for (field, value, rule) in [
            ("email", json!("ann"), "email: is not an email address such as ann@example.com"),
            ("password", json!("short"), "password: is 8 to 128 characters"),
            ("name", json!("x".repeat(NAME_CHARS_MAX + 1)), "name: up to 100 characters on one line"),
            ("name", json!("Ann\nBcc: eve"), "name: up to 100 characters on one line"),
            ("locale", json!("d"), "locale: a language tag such as de-AT"),
            ("locale", json!("de_AT"), "locale: a language tag such as de-AT"),
        ] {
            let mut input = good.clone();
            input[field] = value;
            assert_eq!(rules(input), [rule]);
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let before = Profile { name: "Ann".into(), locale: Some("de".into()), marketing: true };
        let patched = |patch: Value| {
            let patch: ProfilePatch = serde_json::from_value(patch).unwrap();
            patch.apply(&before, &mut Vec::new())
        };
        assert_eq!(patched(json!({})), before);
        assert_eq!(patched(json!({"locale": null})), Profile { locale: None, ..before.clone() });
        assert_eq!(patched(json!({"name": "Ann Lee"})), Profile { name: "Ann Lee".into(), ..before.clone() });
        assert_eq!(patched(json!({"marketing": false})), Profile { marketing: false, ..before.clone() });
    }
}
