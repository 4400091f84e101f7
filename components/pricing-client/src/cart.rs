//! Writes a cart down as the interface has it.

use pricing_rules::{Cart, Destination, Line, Promotion, Reward, Scope, Shipping, Stacking, TaxRate};

use crate::wit;

impl From<&Cart> for wit::Cart {
    fn from(cart: &Cart) -> Self {
        Self {
            currency: cart.currency.code().to_owned(),
            lines: all(&cart.lines),
            customer_group: cart.customer_group.clone(),
            destination: cart.destination.as_ref().map(Into::into),
            coupons: cart.coupons.clone(),
            shipping: cart.shipping.as_ref().map(Into::into),
            promotions: all(&cart.promotions),
            tax_rates: all(&cart.tax_rates),
            prices_include_tax: cart.prices_include_tax,
            now: cart.now.unix_s(),
        }
    }
}

impl From<&Line> for wit::Line {
    fn from(line: &Line) -> Self {
        Self {
            id: line.id.clone(),
            sku: line.sku.as_str().to_owned(),
            product: line.product.clone(),
            categories: line.categories.clone(),
            quantity: line.quantity.get(),
            unit_price: line.unit_price.minor(),
            tax_class: line.tax_class.clone(),
        }
    }
}

impl From<&Destination> for wit::Destination {
    fn from(destination: &Destination) -> Self {
        Self {
            country: text(&destination.country),
            region: destination.region.as_ref().map(text),
            postcode: destination.postcode.as_ref().map(text),
        }
    }
}

impl From<&Shipping> for wit::Shipping {
    fn from(shipping: &Shipping) -> Self {
        Self { method: shipping.method.clone(), price: shipping.price.minor(), tax_class: shipping.tax_class.clone() }
    }
}

impl From<&Promotion> for wit::Promotion {
    fn from(promotion: &Promotion) -> Self {
        Self {
            id: promotion.id.clone(),
            title: promotion.title.clone(),
            coupon: promotion.coupon.clone(),
            reward: (&promotion.reward).into(),
            scope: (&promotion.scope).into(),
            customer_groups: promotion.customer_groups.clone(),
            min_subtotal: promotion.min_subtotal.map(|min| min.minor()),
            starts_at: promotion.starts_at.map(|time| time.unix_s()),
            ends_at: promotion.ends_at.map(|time| time.unix_s()),
            priority: promotion.priority,
            stacking: (&promotion.stacking).into(),
        }
    }
}

impl From<&Reward> for wit::Reward {
    fn from(reward: &Reward) -> Self {
        match *reward {
            Reward::Percentage { basis_points } => Self::Percentage(basis_points.get()),
            Reward::FixedTotal { amount } => Self::FixedTotal(amount.minor()),
            Reward::FixedEach { amount } => Self::FixedEach(amount.minor()),
            Reward::BuyXGetY { buy, get, basis_points } => {
                Self::BuyXGetY(wit::BuyXGetY { buy: buy.get(), get: get.get(), percent_off: basis_points.get() })
            }
            Reward::ThresholdPercentage { min, basis_points } => Self::ThresholdPercentage(wit::ThresholdPercentage {
                min: min.minor(),
                percent_off: basis_points.get(),
            }),
            Reward::ThresholdFixed { min, amount } => {
                Self::ThresholdFixed(wit::ThresholdFixed { min: min.minor(), amount: amount.minor() })
            }
            Reward::FreeShipping {} => Self::FreeShipping,
        }
    }
}

impl From<&Scope> for wit::Scope {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::All => Self::All,
            Scope::Skus { skus } => Self::Skus(skus.iter().map(|sku| sku.as_str().to_owned()).collect()),
            Scope::Categories { categories } => Self::Categories(categories.iter().cloned().collect()),
        }
    }
}

impl From<&Stacking> for wit::Stacking {
    fn from(stacking: &Stacking) -> Self {
        match stacking {
            Stacking::Stackable => Self::Stackable,
            Stacking::Exclusive => Self::Exclusive,
            Stacking::BestOf { group } => Self::BestOf(group.clone()),
        }
    }
}

impl From<&TaxRate> for wit::TaxRate {
    fn from(rate: &TaxRate) -> Self {
        Self {
            name: rate.name.clone(),
            country: text(&rate.country),
            region: rate.region.as_ref().map(text),
            postcode_prefix: rate.postcode_prefix.as_ref().map(text),
            tax_class: rate.tax_class.clone(),
            rate: rate.rate.get(),
            applies_to_shipping: rate.applies_to_shipping,
        }
    }
}

fn all<'a, T, W: From<&'a T>>(items: &'a [T]) -> Vec<W> {
    items.iter().map(W::from).collect()
}

fn text<T: Clone + Into<String>>(value: &T) -> String {
    value.clone().into()
}
