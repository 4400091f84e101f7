//! Cities and postcodes: what is known of a place, and how a shopper finds it.

use commerce::Limit;
use serde::Serialize;
use service::Error;
use service::request::{parse_cursor, parse_limit, unknown, unusable};

use crate::country::Country;
use crate::destination::{NAME_CHARS_MAX, Postcode, fold};

/// A city, or a postcode of one. The postcode may be the beginning that all of a city's postcodes share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) country: Country,
    pub(crate) postcode: Postcode,
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) population: u32,
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
