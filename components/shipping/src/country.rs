//! Countries by their ISO 3166-1 alpha-2 codes.

use serde::{Deserialize, Serialize};

/// The codes that ISO 3166-1 assigns officially.
const CODES: &str = "\
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ \
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO \
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE \
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW \
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// A country's code, such as `DE`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Country(String);

/// The text is not the code of a country.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an ISO 3166-1 country code such as DE")]
pub(crate) struct CountryError(String);

impl Country {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Country {
    type Error = CountryError;

    fn try_from(text: String) -> Result<Self, CountryError> {
        let code = text.to_ascii_uppercase();
        match code.len() == 2 && CODES.split(' ').any(|known| known == code) {
            true => Ok(Self(code)),
            false => Err(CountryError(text.chars().take(8).collect())),
        }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_in_order() {
        let codes: Vec<&str> = CODES.split(' ').collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn case_does_not_matter_and_other_codes_are_refused() {
        assert_eq!(Country::try_from("de".to_owned()).unwrap().as_str(), "DE");
        for wrong in ["", "UK", "XX", "D", "DE ", "DEU", "É"] {
            assert!(Country::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}
