//! Price rules as staff write them: promotions and tax rates in the shape that the calculator takes, how often a
//! coupon may be used, and where prices include tax.

use std::num::NonZeroU32;

use commerce::{CustomerGroup, CustomerGroupError, Id};
use pricing_rules::{Country, PROMOTIONS_MAX, Promotion, Region, Scope, TAX_RATES_MAX, TaxRate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use service::request::parse_value;
use service::{Error, Violation};

use crate::product::{TAX_CLASS_BYTES_MAX, is_name};

/// Longest title of a promotion, in characters.
pub(crate) const TITLE_CHARS_MAX: usize = 200;
/// Longest code of a coupon, in characters.
pub(crate) const COUPON_CHARS_MAX: usize = 40;
/// SKUs or categories that one promotion may name.
pub(crate) const SCOPE_MAX: usize = 500;
/// Customer groups that one promotion may name.
pub(crate) const CUSTOMER_GROUPS_MAX: usize = 20;
/// Longest name of a tax, in characters.
pub(crate) const TAX_NAME_CHARS_MAX: usize = 80;
/// Places that may differ from the rest of the world in whether prices include tax.
pub(crate) const EXCEPTIONS_MAX: usize = 300;

/// A kind of price rule.
pub(crate) trait Kind: Send + 'static {
    /// How the store and messages call one.
    const NAME: &'static str;
    /// Where the API has them.
    const PATH: &'static str;
    /// Most of them, because every cart is priced with all.
    const COUNT_MAX: usize;
    /// Whether uses are counted.
    const IS_USED_UP: bool;

    /// Reads a rule that was given this id.
    fn read(id: Id, input: Map<String, Value>) -> Result<Content, Error>;
}

/// The kind of [`Promotion`].
pub(crate) struct Promotions;

/// The kind of [`TaxRate`].
pub(crate) struct TaxRates;

/// A rule that passed its checks.
pub(crate) struct Content {
    /// The JSON for the calculator.
    pub(crate) rule: String,
    /// What no other rule of the kind may have.
    pub(crate) key: Option<String>,
    pub(crate) limits: Limits,
}

/// How often a promotion may be used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) usage_max: Option<u32>,
    pub(crate) usage_max_per_customer: Option<u32>,
}

/// A rule as it is kept.
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) version: i64,
    pub(crate) rule: String,
    pub(crate) limits: Limits,
    pub(crate) used: u32,
}

impl Rule {
    /// The JSON that staff see.
    pub(crate) fn shown<K: Kind>(&self) -> Result<Value, Error> {
        let mut members: Map<String, Value> = serde_json::from_str(&self.rule)?;
        members.insert("id".to_owned(), self.id.as_str().into());
        if K::IS_USED_UP {
            members.insert(USAGE_MAX.to_owned(), self.limits.usage_max.into());
            members.insert(USAGE_MAX_PER_CUSTOMER.to_owned(), self.limits.usage_max_per_customer.into());
            members.insert("used".to_owned(), self.used.into());
        }
        Ok(members.into())
    }
}

const USAGE_MAX: &str = "usage_max";
const USAGE_MAX_PER_CUSTOMER: &str = "usage_max_per_customer";

impl Kind for Promotions {
    const NAME: &'static str = "promotion";
    const PATH: &'static str = "/api/promotions";
    const COUNT_MAX: usize = PROMOTIONS_MAX;
    const IS_USED_UP: bool = true;

    fn read(id: Id, mut input: Map<String, Value>) -> Result<Content, Error> {
        let mut limit = |name: &str| {
            let limit: Option<NonZeroU32> = take(&mut input, name, "a count of 1 or more")?;
            Ok::<_, Error>(limit.map(NonZeroU32::get))
        };
        let limits = Limits { usage_max: limit(USAGE_MAX)?, usage_max_per_customer: limit(USAGE_MAX_PER_CUSTOMER)? };
        if input.insert("id".to_owned(), id.to_string().into()).is_some() {
            return Err(Error::invalid("id", "is given by the shop"));
        }
        let promotion: Promotion = parse_value(input.into())?;
        let wrong = check_promotion(&promotion, limits);
        match wrong.is_empty() {
            true => Ok(Content {
                rule: serde_json::to_string(&promotion)?,
                key: promotion.coupon.as_deref().map(coupon_key),
                limits,
            }),
            false => Err(Error::Invalid(wrong)),
        }
    }
}

impl Kind for TaxRates {
    const NAME: &'static str = "tax_rate";
    const PATH: &'static str = "/api/tax-rates";
    const COUNT_MAX: usize = TAX_RATES_MAX;
    const IS_USED_UP: bool = false;

    fn read(_: Id, input: Map<String, Value>) -> Result<Content, Error> {
        let rate: TaxRate = parse_value(input.into())?;
        let mut wrong = Vec::new();
        if !(1..=TAX_NAME_CHARS_MAX).contains(&rate.name.trim().chars().count()) {
            wrong.push(Violation::new("name", format!("1 to {TAX_NAME_CHARS_MAX} characters")));
        }
        if !is_name(&rate.tax_class, TAX_CLASS_BYTES_MAX) {
            let rule = format!("1 to {TAX_CLASS_BYTES_MAX} of a-z, A-Z, 0-9, _ and -");
            wrong.push(Violation::new("tax_class", rule));
        }
        if !wrong.is_empty() {
            return Err(Error::Invalid(wrong));
        }
        let key = (&rate.name, &rate.tax_class, &rate.country, &rate.region, &rate.postcode_prefix);
        Ok(Content {
            rule: serde_json::to_string(&rate)?,
            key: Some(serde_json::to_string(&key)?),
            limits: Limits::default(),
        })
    }
}

fn take<T: DeserializeOwned>(input: &mut Map<String, Value>, name: &str, rule: &str) -> Result<Option<T>, Error> {
    let value = input.remove(name).unwrap_or_default();
    serde_json::from_value(value).map_err(|_| Error::invalid(name, rule))
}

/// How the codes of coupons are compared: as the calculator does it.
pub(crate) fn coupon_key(code: &str) -> String {
    code.trim().to_uppercase()
}

/// What the calculator's types let pass and a shop does not want.
fn check_promotion(promotion: &Promotion, limits: Limits) -> Vec<Violation> {
    let mut wrong = Vec::new();
    let mut require = |field: &str, holds: bool, rule: String| {
        if !holds {
            wrong.push(Violation::new(field, rule));
        }
    };
    let title = (1..=TITLE_CHARS_MAX).contains(&promotion.title.trim().chars().count());
    require("title", title, format!("1 to {TITLE_CHARS_MAX} characters"));
    match &promotion.coupon {
        Some(code) => {
            let fits = (1..=COUPON_CHARS_MAX).contains(&code.chars().count());
            let plain = !code.contains(|char: char| char.is_whitespace() || char.is_control());
            require("coupon", fits && plain, format!("1 to {COUPON_CHARS_MAX} characters without spaces"));
        }
        None => {
            // Only a coupon is redeemed, and only what is redeemed is counted.
            require(USAGE_MAX, limits.usage_max.is_none(), "needs a coupon".to_owned());
            require(USAGE_MAX_PER_CUSTOMER, limits.usage_max_per_customer.is_none(), "needs a coupon".to_owned());
        }
    }
    let scope = match &promotion.scope {
        Scope::All => 0,
        Scope::Skus { skus } => skus.len(),
        Scope::Categories { categories } => categories.len(),
    };
    require("scope", scope <= SCOPE_MAX, format!("at most {SCOPE_MAX}"));
    let groups = promotion.customer_groups.len();
    require("customer_groups", groups <= CUSTOMER_GROUPS_MAX, format!("at most {CUSTOMER_GROUPS_MAX}"));
    let named = promotion.customer_groups.iter().all(|group| CustomerGroup::try_from(group.clone()).is_ok());
    require("customer_groups", named, CustomerGroupError.to_string());
    if let (Some(starts_at), Some(ends_at)) = (promotion.starts_at, promotion.ends_at) {
        require("ends_at", starts_at < ends_at, "is after starts_at".to_owned());
    }
    wrong
}

/// What holds for all tax rates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaxSettings {
    pub(crate) prices_include_tax: PricesIncludeTax,
}

/// Where prices include tax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricesIncludeTax {
    default: bool,
    /// Where it is the other way round.
    #[serde(default)]
    exceptions: Vec<Place>,
}

/// A country, or one region of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    country: Country,
    #[serde(default)]
    region: Option<Region>,
}

impl TaxSettings {
    /// Says what is wrong with them.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.prices_include_tax.exceptions.len() <= EXCEPTIONS_MAX {
            true => Ok(()),
            false => Err(Error::invalid("prices_include_tax.exceptions", format!("at most {EXCEPTIONS_MAX}"))),
        }
    }
}
