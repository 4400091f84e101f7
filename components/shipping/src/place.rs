//! Cities and postcodes: what is known of a place, and how a shopper finds it.

use commerce::Limit;
use serde::Serialize;
use service::Error;
use service::request::{parse_cursor, parse_limit, unknown, unusable};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::country::Country;
use crate::destination::{NAME_CHARS_MAX, Postcode};

/// A city, or a postcode of one. The postcode may be the beginning that all of a city's postcodes share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) country: Country,
    pub(crate) postcode: Postcode,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) population: u32,
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

/// What a page of cities ends with: population and row of the last one.
pub(crate) type CityKey = (i64, i64);
/// The order of cities, the largest first.
pub(crate) const CITY_ORDER: &str = "-population";

/// `country=&q=&limit=&cursor=`
#[derive(Debug)]
pub(crate) struct CityQuery {
    pub(crate) country: Country,
    /// What the folded name begins with.
    pub(crate) prefix: String,
    pub(crate) limit: Limit,
    pub(crate) after: Option<CityKey>,
}

impl CityQuery {
    /// Reads the parameters of a query string.
    pub(crate) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let (mut country, mut prefix, mut limit, mut after) = (None, String::new(), Limit::DEFAULT, None);
        for (name, value) in pairs {
            match name.as_str() {
                "country" => country = Some(parse_country(value)?),
                "q" if value.chars().count() > NAME_CHARS_MAX => {
                    return Err(unusable("q", format!("at most {NAME_CHARS_MAX} characters")));
                }
                "q" => prefix = fold(&value),
                "limit" => limit = parse_limit(&value)?,
                "cursor" => after = Some(parse_cursor(&value, CITY_ORDER)?),
                _ => return Err(unknown(&name)),
            }
        }
        let country = country.ok_or_else(|| unusable("country", "is required"))?;
        Ok(Self { country, prefix, limit, after })
    }
}

/// `country=&postcode=&limit=`
#[derive(Debug)]
pub(crate) struct PostcodeQuery {
    pub(crate) country: Country,
    pub(crate) postcode: Postcode,
    pub(crate) limit: Limit,
}

impl PostcodeQuery {
    /// Reads the parameters of a query string.
    pub(crate) fn parse(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        let (mut country, mut postcode, mut limit) = (None, None, Limit::DEFAULT);
        for (name, value) in pairs {
            match name.as_str() {
                "country" => country = Some(parse_country(value)?),
                "postcode" => {
                    let given = Postcode::try_from(value).map_err(|error| unusable("postcode", error))?;
                    postcode = Some(given).filter(|postcode| !postcode.as_str().is_empty());
                }
                "limit" => limit = parse_limit(&value)?,
                _ => return Err(unknown(&name)),
            }
        }
        let country = country.ok_or_else(|| unusable("country", "is required"))?;
        let postcode = postcode.ok_or_else(|| unusable("postcode", "is required"))?;
        Ok(Self { country, postcode, limit })
    }
}

fn parse_country(text: String) -> Result<Country, Error> {
    Country::try_from(text).map_err(|error| unusable("country", error))
}

#[cfg(test)]
mod tests {
    use super::*;

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
