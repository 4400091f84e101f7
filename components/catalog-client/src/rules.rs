//! The rules that carts are priced by, as the catalog's `GET /internal/pricing-rules` has them.

use pricing_client::{Country, Destination, Promotion, Region, TaxRate};
use serde::Deserialize;

/// The rules that carts are priced by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PricingRules {
    prices_include_tax: PricesIncludeTax,
    /// All that the shop has, but for those that are used up.
    pub promotions: Vec<Promotion>,
    /// All that the shop knows.
    pub tax_rates: Vec<TaxRate>,
}

/// Where prices include tax.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct PricesIncludeTax {
    default: bool,
    /// Where it is the other way round.
    #[serde(default)]
    exceptions: Vec<Place>,
}

/// A country, or one region of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Place {
    country: Country,
    #[serde(default)]
    region: Option<Region>,
}

impl PricingRules {
    /// Whether prices include tax for what goes there. While that is not known, it is as in most places.
    pub fn prices_include_tax(&self, destination: Option<&Destination>) -> bool {
        let rule = &self.prices_include_tax;
        let excepted = destination.is_some_and(|to| rule.exceptions.iter().any(|place| place.has(to)));
        rule.default != excepted
    }
}

impl Place {
    fn has(&self, destination: &Destination) -> bool {
        self.country == destination.country
            && self.region.as_ref().is_none_or(|region| destination.region.as_ref() == Some(region))
    }
}
