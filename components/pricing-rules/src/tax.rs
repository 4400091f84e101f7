//! Which taxes apply, and what they come to.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::allocation::allocate;
use crate::amount::Amount;
use crate::place::{Country, Destination, Postcode, Region};
use crate::problem::Problem;
use crate::quote::Tax;
use crate::rate::PartsPerMillion;
use crate::rounding::fraction;

/// A tax. Among the matching rates of one name the most specific one counts (longest postcode prefix, then region,
/// then country), and rates of different names add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxRate {
    /// As shown to the shopper, such as `VAT`.
    pub name: String,
    /// Where it applies.
    pub country: Country,
    /// Only for this state or province.
    #[serde(default)]
    pub region: Option<Region>,
    /// Only for postcodes that begin so.
    #[serde(default)]
    pub postcode_prefix: Option<Postcode>,
    /// Which things it applies to.
    pub tax_class: String,
    /// The rate.
    pub rate: PartsPerMillion,
    /// Whether shipping of this tax class is taxed by it too.
    pub applies_to_shipping: bool,
}

/// What tells a rate from every other.
pub(crate) type Key<'a> = (&'a str, &'a str, &'a Country, Option<&'a Region>, Option<&'a Postcode>);

impl TaxRate {
    /// Two rates with one key would be equally specific, so a cart has each only once.
    pub(crate) fn key(&self) -> Key<'_> {
        (&self.name, &self.tax_class, &self.country, self.region.as_ref(), self.postcode_prefix.as_ref())
    }

    fn is_for(&self, destination: &Destination) -> bool {
        self.country == destination.country
            && self.region.as_ref().is_none_or(|region| destination.region.as_ref() == Some(region))
            && self
                .postcode_prefix
                .as_ref()
                .is_none_or(|prefix| destination.postcode.as_ref().is_some_and(|postcode| postcode.starts_with(prefix)))
    }

    fn specificity(&self) -> (usize, bool) {
        (self.postcode_prefix.as_ref().map_or(0, Postcode::len), self.region.is_some())
    }
}

/// The rates of a destination, by tax class.
pub(crate) struct TaxTable<'a> {
    rates: BTreeMap<&'a str, Vec<&'a TaxRate>>,
    prices_include_tax: bool,
}

/// An amount, taxed.
#[derive(Debug)]
pub(crate) struct Taxed {
    pub(crate) net: Amount,
    pub(crate) tax: Amount,
    pub(crate) gross: Amount,
    pub(crate) taxes: Vec<Tax>,
}

impl<'a> TaxTable<'a> {
    /// The rates that apply at `destination`; none while it is not known.
    pub(crate) fn new(rates: &'a [TaxRate], destination: Option<&Destination>, prices_include_tax: bool) -> Self {
        let mut matching: Vec<_> =
            rates.iter().filter(|rate| destination.is_some_and(|destination| rate.is_for(destination))).collect();
        // The first of a name is the most specific one, and the rest goes.
        matching.sort_by_key(|rate| (&rate.name, &rate.tax_class, Reverse(rate.specificity())));
        matching.dedup_by_key(|rate| (&rate.name, &rate.tax_class));
        let mut rates: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for rate in matching {
            rates.entry(rate.tax_class.as_str()).or_default().push(rate);
        }
        Self { rates, prices_include_tax }
    }

    /// Taxes what a line costs.
    pub(crate) fn line(&self, amount: Amount, tax_class: &str) -> Result<Taxed, Problem> {
        self.tax(amount, &self.of_class(tax_class).collect::<Vec<_>>())
    }

    /// Taxes what shipping costs.
    pub(crate) fn shipping(&self, amount: Amount, tax_class: &str) -> Result<Taxed, Problem> {
        self.tax(amount, &self.of_class(tax_class).filter(|rate| rate.applies_to_shipping).collect::<Vec<_>>())
    }

    fn of_class(&self, tax_class: &str) -> impl Iterator<Item = &'a TaxRate> {
        self.rates.get(tax_class).into_iter().flatten().copied()
    }

    /// The tax of all rates together is rounded once, and then spread over them.
    fn tax(&self, amount: Amount, rates: &[&TaxRate]) -> Result<Taxed, Problem> {
        let parts: Vec<u64> = rates.iter().map(|rate| rate.rate.get().into()).collect();
        let (rate, whole) = (parts.iter().sum::<u64>(), u64::from(PartsPerMillion::WHOLE));
        let (net, tax, gross) = if self.prices_include_tax {
            let net = fraction(amount, whole, whole + rate)?;
            (net, amount.less(net), amount)
        } else {
            let tax = fraction(amount, rate, whole)?;
            (amount, tax, amount.plus(tax)?)
        };
        let amounts = allocate(tax, &parts);
        let taxes = rates.iter().zip(amounts);
        let taxes = taxes.map(|(rate, amount)| Tax { name: rate.name.clone(), rate: rate.rate, base: net, amount });
        Ok(Taxed { net, tax, gross, taxes: taxes.collect() })
    }
}

/// The sums of all taxes, by name and rate.
pub(crate) fn summary<'a>(taxes: impl IntoIterator<Item = &'a Tax>) -> Result<Vec<Tax>, Problem> {
    let mut sums: BTreeMap<_, (Amount, Amount)> = BTreeMap::new();
    for tax in taxes {
        let (base, amount) = sums.entry((&tax.name, tax.rate)).or_default();
        *base = base.plus(tax.base)?;
        *amount = amount.plus(tax.amount)?;
    }
    let sums = sums.into_iter();
    Ok(sums.map(|((name, rate), (base, amount))| Tax { name: name.clone(), rate, base, amount }).collect())
}
