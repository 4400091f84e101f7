//! Parses a cart of the interface; what no cart may say is told to the developer.

use pricing_rules::{
    Amount, BasisPoints, Cart, Country, Destination, Line, PartsPerMillion, Postcode, Promotion, Quantity, Region,
    Reward, Scope, Shipping, Sku, Stacking, TaxRate, Timestamp,
};

use crate::wit;

impl TryFrom<wit::Cart> for Cart {
    type Error = wit::Problem;

    fn try_from(cart: wit::Cart) -> Result<Self, wit::Problem> {
        let currency = commerce::parse_currency(&cart.currency);
        Ok(Self {
            currency: currency.map_err(|_| wit::Problem::UnknownCurrency(cart.currency))?,
            lines: all(cart.lines)?,
            customer_group: cart.customer_group,
            destination: cart.destination.map(Destination::try_from).transpose()?,
            coupons: cart.coupons,
            shipping: cart.shipping.map(Shipping::try_from).transpose()?,
            promotions: all(cart.promotions)?,
            tax_rates: all(cart.tax_rates)?,
            prices_include_tax: cart.prices_include_tax,
            now: Timestamp::from_unix_s(cart.now),
        })
    }
}

impl TryFrom<wit::Line> for Line {
    type Error = wit::Problem;

    fn try_from(line: wit::Line) -> Result<Self, wit::Problem> {
        Ok(Self {
            id: line.id,
            sku: parse::<_, Sku>(line.sku)?,
            product: line.product,
            categories: line.categories,
            quantity: parse::<_, Quantity>(line.quantity)?,
            unit_price: parse(line.unit_price)?,
            tax_class: line.tax_class,
        })
    }
}

impl TryFrom<wit::Destination> for Destination {
    type Error = wit::Problem;

    fn try_from(destination: wit::Destination) -> Result<Self, wit::Problem> {
        Ok(Self {
            country: parse::<_, Country>(destination.country)?,
            region: optional::<_, Region>(destination.region)?,
            postcode: optional::<_, Postcode>(destination.postcode)?,
        })
    }
}

impl TryFrom<wit::Shipping> for Shipping {
    type Error = wit::Problem;

    fn try_from(shipping: wit::Shipping) -> Result<Self, wit::Problem> {
        Ok(Self { method: shipping.method, price: parse(shipping.price)?, tax_class: shipping.tax_class })
    }
}

impl TryFrom<wit::Promotion> for Promotion {
    type Error = wit::Problem;

    fn try_from(promotion: wit::Promotion) -> Result<Self, wit::Problem> {
        Ok(Self {
            id: promotion.id,
            title: promotion.title,
            coupon: promotion.coupon,
            reward: promotion.reward.try_into()?,
            scope: promotion.scope.try_into()?,
            customer_groups: promotion.customer_groups,
            min_subtotal: optional(promotion.min_subtotal)?,
            starts_at: promotion.starts_at.map(Timestamp::from_unix_s),
            ends_at: promotion.ends_at.map(Timestamp::from_unix_s),
            priority: promotion.priority,
            stacking: promotion.stacking.into(),
        })
    }
}

impl TryFrom<wit::Reward> for Reward {
    type Error = wit::Problem;

    fn try_from(reward: wit::Reward) -> Result<Self, wit::Problem> {
        let points = parse::<u32, BasisPoints>;
        let amount = parse::<i64, Amount>;
        Ok(match reward {
            wit::Reward::Percentage(off) => Self::Percentage { basis_points: points(off)? },
            wit::Reward::FixedTotal(off) => Self::FixedTotal { amount: amount(off)? },
            wit::Reward::FixedEach(off) => Self::FixedEach { amount: amount(off)? },
            wit::Reward::BuyXGetY(rule) => {
                Self::BuyXGetY { buy: parse(rule.buy)?, get: parse(rule.get)?, basis_points: points(rule.percent_off)? }
            }
            wit::Reward::ThresholdPercentage(rule) => {
                Self::ThresholdPercentage { min: amount(rule.min)?, basis_points: points(rule.percent_off)? }
            }
            wit::Reward::ThresholdFixed(rule) => {
                Self::ThresholdFixed { min: amount(rule.min)?, amount: amount(rule.amount)? }
            }
            wit::Reward::FreeShipping => Self::FreeShipping {},
        })
    }
}

impl TryFrom<wit::Scope> for Scope {
    type Error = wit::Problem;

    fn try_from(scope: wit::Scope) -> Result<Self, wit::Problem> {
        Ok(match scope {
            wit::Scope::All => Self::All,
            wit::Scope::Skus(skus) => Self::Skus { skus: skus.into_iter().map(parse).collect::<Result<_, _>>()? },
            wit::Scope::Categories(categories) => Self::Categories { categories: categories.into_iter().collect() },
        })
    }
}

impl From<wit::Stacking> for Stacking {
    fn from(stacking: wit::Stacking) -> Self {
        match stacking {
            wit::Stacking::Stackable => Self::Stackable,
            wit::Stacking::Exclusive => Self::Exclusive,
            wit::Stacking::BestOf(group) => Self::BestOf { group },
        }
    }
}

impl TryFrom<wit::TaxRate> for TaxRate {
    type Error = wit::Problem;

    fn try_from(rate: wit::TaxRate) -> Result<Self, wit::Problem> {
        Ok(Self {
            name: rate.name,
            country: parse(rate.country)?,
            region: optional(rate.region)?,
            postcode_prefix: optional(rate.postcode_prefix)?,
            tax_class: rate.tax_class,
            rate: parse::<_, PartsPerMillion>(rate.rate)?,
            applies_to_shipping: rate.applies_to_shipping,
        })
    }
}

fn all<T, P: TryFrom<T, Error = wit::Problem>>(items: Vec<T>) -> Result<Vec<P>, wit::Problem> {
    items.into_iter().map(P::try_from).collect()
}

/// Parses a value whose error says by itself what is wrong.
fn parse<T, P: TryFrom<T, Error: std::fmt::Display>>(value: T) -> Result<P, wit::Problem> {
    P::try_from(value).map_err(|error| wit::Problem::InvalidInput(error.to_string()))
}

fn optional<T, P: TryFrom<T, Error: std::fmt::Display>>(value: Option<T>) -> Result<Option<P>, wit::Problem> {
    value.map(parse).transpose()
}
