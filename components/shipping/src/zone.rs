//! Zones: named sets of areas. A destination is in the zone whose area describes it most closely.
//!
//! An area with a postcode pattern beats any without; of two patterns the longer one wins, then the narrower one.
//! After that an area with a region beats one without, and one with a country beats the area that is everywhere.
//! If two zones describe a place equally closely, the older zone has it.

use std::cmp::Reverse;

use commerce::Id;
use serde::{Deserialize, Serialize};
use service::Violation;

use crate::country::Country;
use crate::destination::{Destination, Postcode, Region};

/// Most zones of a shop.
pub(crate) const ZONES_MAX: u32 = 100;
/// Most areas of a zone; together with [`ZONES_MAX`] a bound on what one quote looks through.
pub(crate) const AREAS_MAX: usize = 300;
/// Longest name, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 80;

/// A part of the world; one without a country is everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Area {
    pub(crate) country: Option<Country>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) region: Option<Region>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postcode: Option<PostcodePattern>,
}

/// The postcodes that begin with a text from `from` to `to`, both included and of one length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub(crate) struct PostcodePattern {
    from: Postcode,
    to: Postcode,
}

/// As JSON: `{"prefix": "10"}` or `{"from": "100", "to": "149"}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<Postcode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Postcode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Postcode>,
}

impl TryFrom<Wire> for PostcodePattern {
    type Error = &'static str;

    fn try_from(wire: Wire) -> Result<Self, &'static str> {
        let (from, to) = match (wire.prefix, wire.from, wire.to) {
            (Some(prefix), None, None) => (prefix.clone(), prefix),
            (None, Some(from), Some(to)) => (from, to),
            _ => return Err("a postcode pattern is a prefix, or from and to"),
        };
        match !from.as_str().is_empty() && from.as_str().len() == to.as_str().len() && from <= to {
            true => Ok(Self { from, to }),
            false => Err("a postcode pattern goes from one text to a later one of the same length"),
        }
    }
}

impl From<PostcodePattern> for Wire {
    fn from(PostcodePattern { from, to }: PostcodePattern) -> Self {
        match from == to {
            true => Self { prefix: Some(from), from: None, to: None },
            false => Self { prefix: None, from: Some(from), to: Some(to) },
        }
    }
}

impl PostcodePattern {
    fn has(&self, postcode: &Postcode) -> bool {
        let beginning = postcode.as_str().get(..self.from.as_str().len());
        beginning.is_some_and(|beginning| self.from.as_str() <= beginning && beginning <= self.to.as_str())
    }

    /// The number of texts from `from` to `to`, as numbers of base 36. Ten digits of it fit into 64 bits.
    fn width(&self) -> u64 {
        let number = |code: &Postcode| u64::from_str_radix(code.as_str(), 36).unwrap_or(u64::MAX);
        number(&self.to).saturating_sub(number(&self.from))
    }
}

/// How closely an area describes a place; a greater one describes it more closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Closeness {
    postcode_chars: usize,
    postcode_width: Reverse<u64>,
    region: bool,
    country: bool,
}

impl Area {
    /// How closely it describes a place that is in it.
    pub(crate) fn closeness(&self, place: &Destination) -> Option<Closeness> {
        let country = self.country.as_ref().is_none_or(|country| *country == place.country);
        let region = self.region.as_ref().is_none_or(|own| place.region.as_ref().is_some_and(|given| own.is(given)));
        let postcode = self.postcode.as_ref().is_none_or(|pattern| pattern.has(&place.postcode));
        (country && region && postcode).then(|| Closeness {
            postcode_chars: self.postcode.as_ref().map_or(0, |pattern| pattern.from.as_str().len()),
            postcode_width: Reverse(self.postcode.as_ref().map_or(u64::MAX, PostcodePattern::width)),
            region: self.region.is_some(),
            country: self.country.is_some(),
        })
    }
}

/// The zone of a place, out of areas with the zones that they belong to.
pub(crate) fn zone_of(areas: &[(Id, Area)], place: &Destination) -> Option<Id> {
    let matching = areas.iter().filter_map(|(zone, area)| Some((area.closeness(place)?, Reverse(*zone))));
    matching.max().map(|(_, Reverse(zone))| zone)
}

/// A zone, as a client writes it and as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Zone {
    name: String,
    areas: Vec<Area>,
}

impl Zone {
    pub(crate) fn new(name: &str, areas: Vec<Area>) -> Self {
        Self { name: name.to_owned(), areas }
    }

    /// Says all that is wrong.
    pub(crate) fn checked(self) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        if self.name.trim().is_empty() || self.name.chars().count() > NAME_CHARS_MAX {
            wrong.push(Violation::new("name", format!("1 to {NAME_CHARS_MAX} characters")));
        }
        if !(1..=AREAS_MAX).contains(&self.areas.len()) {
            wrong.push(Violation::new("areas", format!("1 to {AREAS_MAX} areas")));
        }
        for (index, area) in self.areas.iter().enumerate() {
            let at = |field: &str| format!("areas[{index}]{field}");
            if area.country.is_none() && (area.region.is_some() || area.postcode.is_some()) {
                wrong.push(Violation::new(at(".country"), "is required with a region or a postcode"));
            }
            if self.areas[..index].contains(area) {
                wrong.push(Violation::new(at(""), "the zone has this area already"));
            }
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn area(area: Value) -> Area {
        serde_json::from_value(area).unwrap()
    }

    #[test]
    fn the_closest_description_wins() {
        // From the loosest to the closest; each next one takes the place over.
        let areas = [
            json!({"country": null}),
            json!({"country": "DE"}),
            json!({"country": "DE", "region": "Bavaria"}),
            json!({"country": "DE", "postcode": {"from": "1", "to": "9"}}),
            json!({"country": "DE", "postcode": {"prefix": "8"}}),
            json!({"country": "DE", "postcode": {"from": "80", "to": "89"}}),
            json!({"country": "DE", "postcode": {"from": "80", "to": "81"}}),
            json!({"country": "DE", "region": "BAVARIA", "postcode": {"from": "80", "to": "81"}}),
        ];
        let munich = Destination::new("DE", Some("bavaria"), "80331");
        let mut known = Vec::new();
        for description in areas {
            let zone = Id::new();
            known.push((zone, area(description.clone())));
            assert_eq!(zone_of(&known, &munich), Some(zone), "{description}");
        }
        assert_eq!(zone_of(&known, &Destination::new("DE", None, "")), Some(known[1].0));
        assert_eq!(zone_of(&known, &Destination::new("FR", None, "80331")), Some(known[0].0));
        assert_eq!(zone_of(&known[1..], &Destination::new("FR", None, "")), None);
    }

    #[test]
    fn a_zone_says_all_that_is_wrong_with_it() {
        let zone = |zone: Value| serde_json::from_value::<Zone>(zone);
        let areas = json!([{"country": null, "postcode": {"prefix": "1"}}, {"country": "DE"}, {"country": "de"}]);
        let wrong: Vec<String> = zone(json!({"name": " ", "areas": areas}))
            .unwrap()
            .checked()
            .unwrap_err()
            .iter()
            .map(Violation::to_string)
            .collect();
        assert_eq!(
            wrong,
            [
                "name: 1 to 80 characters",
                "areas[0].country: is required with a region or a postcode",
                "areas[2]: the zone has this area already",
            ]
        );
        assert!(zone(json!({"name": "Nowhere", "areas": []})).unwrap().checked().is_err());
        for pattern in [
            json!({}),
            json!({"prefix": ""}),
            json!({"prefix": "1", "to": "2"}),
            json!({"from": "2", "to": "1"}),
            json!({"from": "1", "to": "10"}),
        ] {
            assert!(zone(json!({"name": "Bad", "areas": [{"country": "DE", "postcode": pattern}]})).is_err());
        }
    }

    fn areas() -> impl Strategy<Value = Vec<(Id, Area)>> {
        let country = prop::sample::select(vec!["DE", "FR"]);
        let region = prop::option::of(prop::sample::select(vec!["a", "b"]));
        let pattern = prop::option::of(("[1-3]{2}", "[1-3]{2}", 1..=2_usize));
        let one = prop::option::weighted(0.8, (country, region, pattern)).prop_map(|one| match one {
            None => area(json!({"country": null})),
            Some((country, region, pattern)) => {
                let pattern = pattern.map(|(one, other, length)| {
                    let (from, to) = if one <= other { (one, other) } else { (other, one) };
                    json!({"from": from[..length], "to": to[..length]})
                });
                area(json!({"country": country, "region": region, "postcode": pattern}))
            }
        });
        let zones: Vec<Id> = (0..3).map(|_| Id::new()).collect();
        prop::collection::vec((prop::sample::select(zones), one), 0..12)
    }

    proptest! {
        /// The order in which areas are read makes no difference, the zone found has an area with the place in it,
        /// and no other area describes the place more closely.
        #[test]
        fn the_choice_is_the_closest_whatever_the_order(
            (mut areas, shuffled) in areas().prop_flat_map(|areas| (Just(areas.clone()), Just(areas).prop_shuffle())),
            country in prop::sample::select(vec!["DE", "FR", "IT"]),
            region in prop::option::of(prop::sample::select(vec!["A", "b", "c"])),
            postcode in "[1-4]{0,3}",
        ) {
            let place = Destination::new(country, region, &postcode);
            let found = zone_of(&areas, &place);
            prop_assert_eq!(found, zone_of(&shuffled, &place));
            areas.retain(|(_, area)| area.closeness(&place).is_some());
            let closest = areas.iter().map(|(_, area)| area.closeness(&place)).max();
            let candidates = areas.iter().filter(|(_, area)| Some(area.closeness(&place)) == closest);
            prop_assert_eq!(found, candidates.map(|(zone, _)| *zone).min());
        }
    }
}
