//! A line of a cart or an order: what is wanted, held against what the shop sells.

use commerce::{Money, Quantity, Sku};
use pricing_client::Amount;
use serde::Serialize;

use crate::Variant;

/// What is wanted of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The merchant's key.
    pub sku: Sku,
    /// How many.
    pub quantity: Quantity,
    /// The price that the shopper last saw, if that matters.
    pub seen_price: Option<Money>,
}

/// A wish, and what the shop says to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The merchant's key.
    pub sku: Sku,
    /// How many are wanted.
    pub quantity: Quantity,
    /// What it is; none if the catalog does not know the SKU.
    pub variant: Option<Variant>,
    /// All that is wrong with it.
    pub faults: Vec<Fault>,
}

/// What is wrong with a line. As JSON, `kind` names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// The catalog does not know the SKU.
    Unknown,
    /// The shop no longer sells it.
    Archived,
    /// It has no price in the shop's currency.
    NoPrice,
    /// There is none.
    SoldOut,
    /// There are some, and not as many as wanted.
    Short {
        /// So many.
        available: u32,
    },
    /// It costs something else than when the shopper saw it.
    PriceChanged {
        /// What it cost then.
        from: Money,
        /// What it costs now.
        to: Money,
    },
}

impl Line {
    pub(crate) fn new(wish: Wish, variant: Option<Variant>, price_of: impl Fn(&Variant) -> Option<Amount>) -> Self {
        let Wish { sku, quantity, seen_price } = wish;
        let faults = match &variant {
            None => vec![Fault::Unknown],
            Some(variant) if variant.archived => vec![Fault::Archived],
            Some(variant) if price_of(variant).is_none() => vec![Fault::NoPrice],
            Some(variant) => {
                let changed = seen_price.filter(|seen| *seen != variant.price);
                let changed = changed.map(|from| Fault::PriceChanged { from, to: variant.price });
                Fault::of_stock(variant.available, quantity).into_iter().chain(changed).collect()
            }
        };
        Self { sku, quantity, variant, faults }
    }

    /// Whether the shop sells it at all, be there enough of it or not. Only such a line has a price.
    pub fn is_sold(&self) -> bool {
        !self.faults.iter().any(|fault| matches!(fault, Fault::Unknown | Fault::Archived | Fault::NoPrice))
    }

    /// Whether it can be ordered now. That its price has changed is for the shopper to judge.
    pub fn can_be_ordered(&self) -> bool {
        self.faults.iter().all(|fault| matches!(fault, Fault::PriceChanged { .. }))
    }
}

impl Fault {
    fn of_stock(available: u32, wanted: Quantity) -> Option<Self> {
        match available {
            0 => Some(Self::SoldOut),
            _ if available < wanted.get() => Some(Self::Short { available }),
            _ => None,
        }
    }
}
