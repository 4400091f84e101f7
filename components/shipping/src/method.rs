//! Shipping methods of a zone: who carries, how long it takes, and what it costs by weight or by order value.

use commerce::{Currency, Id, Money};
use serde::{Deserialize, Serialize};
use service::Violation;

use crate::parcel::Parcel;

/// Most methods of a zone.
pub(crate) const METHODS_MAX: u32 = 50;
/// Most brackets of a method.
pub(crate) const BRACKETS_MAX: usize = 50;
/// Longest name or carrier, in characters.
pub(crate) const NAME_CHARS_MAX: usize = 80;
/// Longest tax class, in bytes.
pub(crate) const TAX_CLASS_BYTES_MAX: usize = 40;
/// Longest delivery, in business days.
pub(crate) const DAYS_MAX: u32 = 90;

/// What the brackets measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Basis {
    /// The parcel's weight, in grams.
    Weight,
    /// The order's value, in minor units.
    Value,
}

impl Basis {
    fn measure(self, parcel: &Parcel) -> i64 {
        match self {
            Self::Weight => i64::from(parcel.weight_g),
            Self::Value => parcel.value.minor(),
        }
    }
}

/// A price for all up to a bound, which it includes. Without a bound it is for all that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bracket {
    pub(crate) up_to: Option<i64>,
    pub(crate) price: Money,
}

/// A method as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MethodInput {
    pub(crate) name: String,
    pub(crate) carrier: String,
    pub(crate) tax_class: String,
    /// Business days on the way.
    pub(crate) days_min: u32,
    pub(crate) days_max: u32,
    /// What is ordered from this hour on, in UTC, leaves on the next business day.
    pub(crate) cutoff_hour: u32,
    pub(crate) by: Basis,
    /// Each begins where the one before it ends, so that there is no gap between them.
    pub(crate) brackets: Vec<Bracket>,
    /// Orders of this value or more are carried for nothing.
    #[serde(default)]
    pub(crate) free_from: Option<Money>,
    #[serde(default = "yes")]
    pub(crate) active: bool,
}

fn yes() -> bool {
    true
}

/// A method that passed its checks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Method {
    pub(crate) zone_id: Id,
    #[serde(flatten)]
    pub(crate) content: MethodInput,
}

impl Method {
    /// A method of a zone, with prices in the shop's currency; or all that is wrong with it.
    pub(crate) fn new(zone_id: Id, content: MethodInput, currency: Currency) -> Result<Self, Vec<Violation>> {
        let wrong = check(&content, currency);
        if wrong.is_empty() { Ok(Self { zone_id, content }) } else { Err(wrong) }
    }

    /// What it costs to carry the parcel; `None` if the method does not.
    pub(crate) fn price(&self, parcel: &Parcel) -> Option<Money> {
        let price = bracket(&self.content.brackets, self.content.by.measure(parcel))?.price;
        if price.currency() != parcel.value.currency() {
            return None;
        }
        match self.content.free_from {
            Some(free_from) if parcel.value.minor() >= free_from.minor() => Money::from_minor(0, price.currency()).ok(),
            _ => Some(price),
        }
    }
}

/// The first bracket that reaches as far as the measure.
fn bracket(brackets: &[Bracket], measure: i64) -> Option<&Bracket> {
    brackets.iter().find(|bracket| bracket.up_to.is_none_or(|up_to| measure <= up_to))
}

fn check(method: &MethodInput, currency: Currency) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut rule = |holds: bool, field: &str, rule: String| {
        if !holds {
            wrong.push(Violation::new(field, rule));
        }
    };
    let named = |name: &str| !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX;
    rule(named(&method.name), "name", format!("1 to {NAME_CHARS_MAX} characters"));
    rule(named(&method.carrier), "carrier", format!("1 to {NAME_CHARS_MAX} characters"));
    let class = &method.tax_class;
    let plain = class.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    let class = !class.is_empty() && class.len() <= TAX_CLASS_BYTES_MAX && plain;
    let letters = format!("1 to {TAX_CLASS_BYTES_MAX} lower case letters, digits, hyphens and underscores");
    rule(class, "tax_class", letters);
    rule(method.days_max <= DAYS_MAX, "days_max", format!("at most {DAYS_MAX} business days"));
    rule(method.days_min <= method.days_max, "days_min", "at most days_max".to_owned());
    rule(method.cutoff_hour <= 24, "cutoff_hour", "0 to 24".to_owned());
    rule((1..=BRACKETS_MAX).contains(&method.brackets.len()), "brackets", format!("1 to {BRACKETS_MAX} brackets"));
    let mut below = Some(-1);
    for (index, bracket) in method.brackets.iter().enumerate() {
        let at = |field: &str| format!("brackets[{index}].{field}");
        let ascends = below.is_some_and(|below| bracket.up_to.is_none_or(|up_to| below < up_to));
        rule(ascends, &at("up_to"), "more than in the bracket before, and absent only in the last one".to_owned());
        below = bracket.up_to;
        rule(is_price(bracket.price, currency), &at("price"), format!("0 or more {}", currency.code()));
    }
    let free_from = method.free_from.is_none_or(|from| is_price(from, currency));
    rule(free_from, "free_from", format!("0 or more {}", currency.code()));
    wrong
}

fn is_price(money: Money, currency: Currency) -> bool {
    money.minor() >= 0 && money.currency() == currency
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn input(changes: Value) -> MethodInput {
        let price = |amount: i64| json!({"amount": amount, "currency": "USD"});
        let mut method = json!({
            "name": "Parcel", "carrier": "Post", "tax_class": "standard", "days_min": 1, "days_max": 2,
            "cutoff_hour": 14, "by": "weight",
            "brackets": [{"up_to": 1000, "price": price(500)}, {"up_to": 5000, "price": price(900)}],
        });
        method.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(method).unwrap()
    }

    fn usd(amount: i64) -> Money {
        Money::from_minor(amount, Currency::USD).unwrap()
    }

    fn price(method: MethodInput, weight_g: u32, value: i64) -> Option<i64> {
        let method = Method::new(Id::new(), method, Currency::USD).unwrap();
        method.price(&Parcel { weight_g, value: usd(value) }).map(Money::minor)
    }

    #[test]
    fn edges_of_brackets() {
        let prices = [0, 1000, 1001, 5000, 5001].map(|weight_g| price(input(json!({})), weight_g, 1));
        assert_eq!(prices, [Some(500), Some(500), Some(900), Some(900), None]);
        let open = json!({"by": "value", "brackets": [
            {"up_to": 2000, "price": usd(700)}, {"up_to": null, "price": usd(300)},
        ]});
        let prices = [2000, 2001, 1_000_000].map(|value| price(input(open.clone()), 9_999_999, value));
        assert_eq!(prices, [Some(700), Some(300), Some(300)]);
    }

    #[test]
    fn free_from_a_value_on_but_never_beyond_the_brackets() {
        let free = input(json!({"free_from": usd(5000)}));
        assert_eq!(price(free.clone(), 10, 4999), Some(500));
        assert_eq!(price(free.clone(), 10, 5000), Some(0));
        assert_eq!(price(free, 5001, 5000), None);
    }

    #[test]
    fn a_method_says_all_that_is_wrong_with_it() {
        let euro = json!({"amount": 1, "currency": "EUR"});
        let bad = input(json!({
            "name": "", "tax_class": "Food!", "days_min": 3, "cutoff_hour": 25, "free_from": euro, "brackets": [
                {"up_to": 10, "price": usd(1)}, {"up_to": 10, "price": usd(-1)}, {"up_to": null, "price": euro},
                {"up_to": null, "price": usd(1)},
            ],
        }));
        let wrong = Method::new(Id::new(), bad, Currency::USD).unwrap_err();
        let fields: Vec<String> =
            wrong.iter().map(|one| one.to_string().split(':').next().unwrap().to_owned()).collect();
        assert_eq!(
            fields,
            [
                "name",
                "tax_class",
                "days_min",
                "cutoff_hour",
                "brackets[1].up_to",
                "brackets[1].price",
                "brackets[2].price",
                "brackets[3].up_to",
                "free_from",
            ]
        );
        assert!(Method::new(Id::new(), input(json!({"brackets": []})), Currency::USD).is_err());
    }

    proptest! {
        /// Every measure within the last bound has exactly one bracket, and a greater measure never an earlier one.
        #[test]
        fn brackets_are_total_and_monotone(
            bounds in prop::collection::btree_set(0..1000_i64, 1..8),
            open in any::<bool>(),
            mut measures in (0..1100_i64, 0..1100_i64),
        ) {
            let mut brackets: Vec<Bracket> = bounds.iter().enumerate()
                .map(|(index, up_to)| Bracket { up_to: Some(*up_to), price: usd(index as i64) }).collect();
            let reach = if open { i64::MAX } else { *bounds.last().unwrap() };
            if open {
                brackets.push(Bracket { up_to: None, price: usd(brackets.len() as i64) });
            }
            let whole = input(json!({"brackets": brackets}));
            prop_assert!(Method::new(Id::new(), whole, Currency::USD).is_ok());
            if measures.0 > measures.1 {
                measures = (measures.1, measures.0);
            }
            let index = |measure| bracket(&brackets, measure).map(|bracket| bracket.price.minor());
            prop_assert_eq!(index(measures.0).is_some(), measures.0 <= reach);
            prop_assert_eq!(index(measures.1).is_some(), measures.1 <= reach);
            if let (Some(lower), Some(upper)) = (index(measures.0), index(measures.1)) {
                prop_assert!(lower <= upper);
                let below = lower.checked_sub(1).and_then(|below| brackets.get(usize::try_from(below).ok()?)?.up_to);
                prop_assert!(below.is_none_or(|below| below < measures.0));
            }
        }
    }
}
