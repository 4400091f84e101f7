//! Where goods go, and where a tax applies.

use serde::{Deserialize, Serialize};

/// A text that names no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not two capital letters.
    #[error("{0:?} is not an ISO 3166-1 country code such as US")]
    Country(String),
    /// A region without a letter.
    #[error("a region is not empty")]
    Region,
    /// A postcode, or the beginning of one, without a letter or digit.
    #[error("{0:?} has no letter or digit of a postcode")]
    Postcode(String),
}

/// An ISO 3166-1 alpha-2 code. Any two capital letters are taken for one: a new country needs no new program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country(String);

/// A state or province, compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(String);

/// A postcode or the beginning of one, compared without regard to case, spaces and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Postcode(String);

/// Where the goods go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The country.
    pub country: Country,
    /// The state or province, as the tax rates write it.
    #[serde(default)]
    pub region: Option<Region>,
    /// The postcode.
    #[serde(default)]
    pub postcode: Option<Postcode>,
}

impl Postcode {
    /// Whether this postcode begins as `prefix` does.
    pub(crate) fn starts_with(&self, prefix: &Self) -> bool {
        self.0.starts_with(&prefix.0)
    }

    /// How much of a postcode this is, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl TryFrom<String> for Country {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        match text.as_bytes() {
            [b'A'..=b'Z', b'A'..=b'Z'] => Ok(Self(text)),
            _ => Err(PlaceError::Country(text)),
        }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0
    }
}

impl TryFrom<String> for Region {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        match text.trim().to_uppercase() {
            region if region.is_empty() => Err(PlaceError::Region),
            region => Ok(Self(region)),
        }
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0
    }
}

impl TryFrom<String> for Postcode {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        let postcode: String =
            text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_uppercase).collect();
        if postcode.is_empty() {
            return Err(PlaceError::Postcode(text));
        }
        Ok(Self(postcode))
    }
}

impl From<Postcode> for String {
    fn from(postcode: Postcode) -> Self {
        postcode.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_two_capital_letters() {
        assert!(Country::try_from("DE".to_owned()).is_ok());
        for bad in ["", "D", "de", "DEU", "D1", "ÄÖ"] {
            assert_eq!(Country::try_from(bad.to_owned()), Err(PlaceError::Country(bad.to_owned())));
        }
    }

    #[test]
    fn postcodes_are_compared_by_letters_and_digits() {
        let postcode = |text: &str| Postcode::try_from(text.to_owned()).unwrap();
        assert_eq!(postcode("sw1a 1aa"), postcode("SW1A1AA"));
        assert!(postcode("10001-1234").starts_with(&postcode("10001")));
        assert!(!postcode("1000").starts_with(&postcode("10001")));
        assert!(Postcode::try_from(" - ".to_owned()).is_err());
    }

    #[test]
    fn regions_are_compared_without_case() {
        assert_eq!(Region::try_from(" ny".to_owned()), Region::try_from("NY".to_owned()));
        assert_eq!(Region::try_from(" ".to_owned()), Err(PlaceError::Region));
    }
}
