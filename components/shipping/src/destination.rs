//! Where a parcel goes, in a form in which two ways to write one place are equal.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::country::Country;

/// Longest region or city, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 100;
/// Longest postcode, in characters without spaces and hyphens.
pub(crate) const POSTCODE_CHARS_MAX: usize = 10;

/// A postcode in capitals without spaces and hyphens; empty where a country has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Postcode(String);

/// The text is not a postcode.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a postcode is at most {POSTCODE_CHARS_MAX} letters and digits, spaces and hyphens aside")]
pub(crate) struct PostcodeError;

impl Postcode {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Postcode {
    type Error = PostcodeError;

    fn try_from(text: String) -> Result<Self, PostcodeError> {
        let code: String = text.chars().filter(|char| !matches!(char, ' ' | '-')).collect();
        let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match plain && code.len() <= POSTCODE_CHARS_MAX {
            true => Ok(Self(code.to_ascii_uppercase())),
            false => Err(PostcodeError),
        }
    }
}

impl From<Postcode> for String {
    fn from(postcode: Postcode) -> Self {
        postcode.0
    }
}

/// The name of a region, compared without case and accents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Region(String);

impl Region {
    fn folded(&self) -> String {
        fold(&self.0)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl TryFrom<String> for Region {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match !fold(&text).is_empty() && text.chars().count() <= NAME_CHARS_MAX {
            true => Ok(Self(text)),
            false => Err(format!("a region is 1 to {NAME_CHARS_MAX} characters")),
        }
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

/// A place to send to. A city may be given; it decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Destination {
    pub(crate) country: Country,
    pub(crate) region: Option<Region>,
    #[serde(rename = "city")]
    _city: Option<String>,
    #[serde(default)]
    pub(crate) postcode: Postcode,
}

impl Destination {
    #[cfg(test)]
    pub(crate) fn new(country: &str, region: Option<&str>, postcode: &str) -> Self {
        serde_json::from_value(serde_json::json!({"country": country, "region": region, "postcode": postcode})).unwrap()
    }

    /// A digest that is the same for every way to write this place.
    pub(crate) fn digest(&self) -> String {
        let region = self.region.as_ref().map(Region::folded).unwrap_or_default();
        let mut hasher = Sha256::new();
        for part in [self.country.as_str(), &region, self.postcode.as_str()] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        URL_SAFE_NO_PAD.encode(hasher.finalize())
    }
}

/// A text without case, accents and punctuation, for comparing names.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for char in text.nfkd().filter(|char| !is_combining_mark(*char)).flat_map(char::to_lowercase) {
        match char {
            // Letters that Unicode does not take apart.
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'þ' => folded.push_str("th"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'ı' => folded.push('i'),
            // An apostrophe joins, everything else that is no letter separates.
            '\'' | '\u{2019}' | '\u{2bb}' => {}
            char if char.is_alphanumeric() => folded.push(char),
            _ if folded.ends_with(' ') || folded.is_empty() => {}
            _ => folded.push(' '),
        }
    }
    folded.truncate(folded.trim_end().len());
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_to_write_a_place_are_one() {
        let place = Destination::new("GB", Some("Île-de-Test"), "SW1A 1AA");
        assert_eq!(place.digest(), Destination::new("gb", Some("ile de test "), "sw1a1aa").digest());
        for other in [
            Destination::new("IE", Some("Île-de-Test"), "SW1A1AA"),
            Destination::new("GB", None, "SW1A1AA"),
            Destination::new("GB", Some("Île-de-Test"), "SW1A1AB"),
        ] {
            assert_ne!(place.digest(), other.digest(), "{other:?}");
        }
    }

    #[test]
    fn a_postcode_is_short_and_plain() {
        assert_eq!(Postcode::try_from("100-0001".to_owned()).unwrap().as_str(), "1000001");
        for wrong in ["12345678901", "1_2", "é"] {
            assert_eq!(Postcode::try_from(wrong.to_owned()), Err(PostcodeError), "{wrong}");
        }
    }

    #[test]
    fn names_are_found_without_their_accents() {
        for (name, folded) in [
            ("Saint-Étienne", "saint etienne"),
            ("  São   Paulo ", "sao paulo"),
            ("Łódź", "lodz"),
            ("KØBENHAVN", "kobenhavn"),
            ("Weißenfels", "weissenfels"),
            ("L\u{2019}Aquila", "laquila"),
            ("İstanbul", "istanbul"),
            ("Đà Nẵng", "da nang"),
            ("東京", "東京"),
            ("--", ""),
        ] {
            assert_eq!(fold(name), folded, "{name}");
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for name in ["Saint-Étienne", "Weißenfels", "İzmir", "Ålesund"] {
            assert_eq!(fold(&fold(name)), fold(name));
        }
    }
}
