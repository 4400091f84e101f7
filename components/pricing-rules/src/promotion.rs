//! A rule that takes something off, and whether it holds for a cart.

use std::collections::BTreeSet;

use commerce::{Quantity, Sku};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::cart::{Cart, Line};
use crate::problem::Problem;
use crate::quote::Rejection;
use crate::rate::BasisPoints;
use crate::time::Timestamp;

/// A rule that takes something off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promotion {
    /// The shop's key; each is used once.
    pub id: String,
    /// The reason that the shopper sees.
    pub title: String,
    /// The code that has to be entered; without one the promotion applies by itself.
    #[serde(default)]
    pub coupon: Option<String>,
    /// What it gives.
    pub reward: Reward,
    /// Which lines it is about.
    #[serde(default)]
    pub scope: Scope,
    /// Only for these customers; empty for all.
    #[serde(default)]
    pub customer_groups: Vec<String>,
    /// Only if the listed prices of the whole cart, without shipping, come to this.
    #[serde(default)]
    pub min_subtotal: Option<Amount>,
    /// Only from this moment on.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// Only before this moment.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Promotions apply from the highest to the lowest, equal ones by id.
    #[serde(default)]
    pub priority: i32,
    /// How it goes together with others.
    #[serde(default)]
    pub stacking: Stacking,
}

/// What a promotion gives; only the lines in its scope count, and only they become cheaper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reward {
    /// A part of the price.
    Percentage {
        /// Which part.
        basis_points: BasisPoints,
    },
    /// An amount, once.
    FixedTotal {
        /// How much.
        amount: Amount,
    },
    /// An amount for each unit.
    FixedEach {
        /// How much.
        amount: Amount,
    },
    /// Of each `buy` + `get` units in scope, the `get` cheapest by listed price.
    BuyXGetY {
        /// How many units are paid in full.
        buy: Quantity,
        /// How many become cheaper.
        get: Quantity,
        /// How much cheaper.
        basis_points: BasisPoints,
    },
    /// A part of the price, if the listed prices in scope come to a minimum.
    ThresholdPercentage {
        /// The minimum.
        min: Amount,
        /// Which part.
        basis_points: BasisPoints,
    },
    /// An amount, once, if the listed prices in scope come to a minimum.
    ThresholdFixed {
        /// The minimum.
        min: Amount,
        /// How much.
        amount: Amount,
    },
    /// The shipping, if a line is in scope.
    FreeShipping {},
}

/// Which lines a promotion is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Scope {
    /// All lines.
    #[default]
    All,
    /// Lines with one of these SKUs.
    Skus {
        /// The SKUs.
        skus: BTreeSet<Sku>,
    },
    /// Lines in one of these categories or below.
    Categories {
        /// Paths such as `shoes`, which has `shoes/boots` in it.
        categories: BTreeSet<String>,
    },
}

/// How a promotion goes together with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Stacking {
    /// With others.
    #[default]
    Stackable,
    /// Alone.
    Exclusive,
    /// With others, but of one group only the promotion that takes off most by itself.
    BestOf {
        /// The name of the group.
        group: String,
    },
}

impl Promotion {
    /// Why it does not hold for a cart with this listed subtotal, if so. The coupon is not looked at.
    pub(crate) fn rejection(&self, cart: &Cart, subtotal: Amount) -> Result<Option<Rejection>, Problem> {
        if self.starts_at.is_some_and(|start| cart.now < start) {
            return Ok(Some(Rejection::NotStarted));
        }
        if self.ends_at.is_some_and(|end| cart.now >= end) {
            return Ok(Some(Rejection::Ended));
        }
        if !self.customer_groups.is_empty() && !self.customer_groups.contains(&cart.customer_group) {
            return Ok(Some(Rejection::OtherGroup));
        }
        let in_scope: Vec<_> = cart.lines.iter().filter(|line| self.scope.has(line)).collect();
        if in_scope.is_empty() {
            return Ok(Some(Rejection::NothingInScope));
        }
        if let Some(min) = self.min_subtotal.filter(|min| subtotal < *min) {
            return Ok(Some(Rejection::SubtotalBelow { min }));
        }
        Ok(match &self.reward {
            Reward::ThresholdPercentage { min, .. } | Reward::ThresholdFixed { min, .. } => {
                let reached = in_scope.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.subtotal()?))?;
                (reached < *min).then_some(Rejection::SubtotalBelow { min: *min })
            }
            Reward::BuyXGetY { buy, get, .. } => {
                let units: u64 = in_scope.iter().map(|line| u64::from(line.quantity.get())).sum();
                let min = buy.get() + get.get();
                (units < u64::from(min)).then_some(Rejection::QuantityBelow { min })
            }
            _ => None,
        })
    }
}

impl Scope {
    /// Whether a line is in it.
    pub(crate) fn has(&self, line: &Line) -> bool {
        match self {
            Self::All => true,
            Self::Skus { skus } => skus.contains(&line.sku),
            Self::Categories { categories } => {
                line.categories.iter().flat_map(|path| lineage(path)).any(|category| categories.contains(category))
            }
        }
    }
}

/// A category and those that it is below of: `shoes/boots` and `shoes`.
fn lineage(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end]).chain([path])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_is_within_those_above_it() {
        assert_eq!(lineage("shoes").collect::<Vec<_>>(), ["shoes"]);
        assert_eq!(lineage("shoes/boots/high").collect::<Vec<_>>(), ["shoes", "shoes/boots", "shoes/boots/high"]);
    }
}
