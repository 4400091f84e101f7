//! A postal address, as the shopper writes it.

use pricing_client::{Country, Destination, Postcode, Region};
use serde::{Deserialize, Serialize};
use service::Violation;

/// Longest name and line, in characters.
const LINE_CHARS_MAX: usize = 200;
/// Longest city and region, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest postcode, in characters without spaces and hyphens.
const POSTCODE_CHARS_MAX: usize = 10;
/// Most lines between the name and the city.
const LINES_MAX: usize = 2;

/// A postal address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
    pub(crate) city: String,
    #[serde(default)]
    pub(crate) region: Option<String>,
    /// Empty where a country has none.
    #[serde(default)]
    pub(crate) postcode: String,
    pub(crate) country: Country,
}

impl Address {
    /// Says what is wrong with it.
    pub(crate) fn check(&self) -> Vec<Violation> {
        let mut wrong = Vec::new();
        let mut require = |field: &str, holds: bool, rule: String| {
            if !holds {
                wrong.push(Violation::new(field, rule));
            }
        };
        let line = |chars_max| format!("1 to {chars_max} characters in one line");
        require("name", is_text(&self.name, LINE_CHARS_MAX), line(LINE_CHARS_MAX));
        require("city", is_text(&self.city, NAME_CHARS_MAX), line(NAME_CHARS_MAX));
        let region = self.region.as_ref().is_none_or(|region| is_text(region, NAME_CHARS_MAX));
        require("region", region, line(NAME_CHARS_MAX));
        let lines = (1..=LINES_MAX).contains(&self.lines.len());
        let lines = lines && self.lines.iter().all(|line| is_text(line, LINE_CHARS_MAX));
        require("lines", lines, format!("1 to {LINES_MAX} lines of 1 to {LINE_CHARS_MAX} characters"));
        let rule = format!("at most {POSTCODE_CHARS_MAX} letters and digits, spaces and hyphens aside");
        require("postcode", is_postcode(&self.postcode), rule);
        wrong
    }

    /// Where the goods go, as taxes see it.
    pub(crate) fn destination(&self) -> Destination {
        Destination {
            country: self.country.clone(),
            region: self.region.clone().and_then(|region| Region::try_from(region).ok()),
            // An empty one is no postcode.
            postcode: Postcode::try_from(self.postcode.clone()).ok(),
        }
    }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && !text.contains(char::is_control)
}

fn is_postcode(text: &str) -> bool {
    let mut plain = text.chars().filter(|char| !matches!(char, ' ' | '-'));
    text.len() <= 2 * POSTCODE_CHARS_MAX
        && plain.clone().count() <= POSTCODE_CHARS_MAX
        && plain.all(|char| char.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn address(changes: serde_json::Value) -> Address {
        let mut address = json!({"name": "Ann", "lines": ["1 Road"], "city": "Oslo", "country": "NO"});
        address.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(address).unwrap()
    }

    #[test]
    fn every_rule_is_named() {
        for good in [json!({}), json!({"region": "Oslo", "postcode": "SW1A 1AA", "lines": ["1 Road", "Flat 2"]})] {
            assert_eq!(address(good).check(), []);
        }
        for (wrong, field) in [
            (json!({"name": " "}), "name"),
            (json!({"city": "a\nb"}), "city"),
            (json!({"region": ""}), "region"),
            (json!({"lines": []}), "lines"),
            (json!({"lines": ["a", "b", "c"]}), "lines"),
            (json!({"postcode": "12345678901"}), "postcode"),
            (json!({"postcode": "1_2"}), "postcode"),
        ] {
            let found = serde_json::to_value(address(wrong).check()).unwrap();
            assert_eq!(found[0]["field"], field);
        }
    }

    #[test]
    fn the_destination_is_where_taxes_look() {
        let to = address(json!({"region": "ny", "postcode": "100-01"})).destination();
        let same = json!({"country": "NO", "region": "NY", "postcode": "10001"});
        assert_eq!(to, serde_json::from_value(same).unwrap());
        assert_eq!(address(json!({})).destination().postcode, None);
    }
}
