//! What the methods of a zone ask for a parcel.

use commerce::{Currency, Id, Money};
use serde::Deserialize;
use service::Violation;

use crate::calendar::Delivery;
use crate::destination::Destination;
use crate::method::{Basis, Method};
use crate::token::Promise;

/// Heaviest parcel, in grams.
pub(crate) const WEIGHT_G_MAX: u32 = 10_000_000;

/// What is to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parcel {
    pub(crate) weight_g: u32,
    pub(crate) value: Money,
}

impl Parcel {
    pub(crate) fn measure(&self, basis: Basis) -> i64 {
        match basis {
            Basis::Weight => i64::from(self.weight_g),
            Basis::Value => self.value.minor(),
        }
    }

    /// Says all that is wrong.
    pub(crate) fn checked(self, currency: Currency) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        if self.weight_g > WEIGHT_G_MAX {
            wrong.push(Violation::new("parcel.weight_g", format!("at most {WEIGHT_G_MAX} grams")));
        }
        if self.value.minor() < 0 || self.value.currency() != currency {
            wrong.push(Violation::new("parcel.value", format!("0 or more {}", currency.code())));
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }
}

/// A promise for each active method that carries the parcel: the cheapest first, then the quickest.
pub(crate) fn promises(
    methods: Vec<(Id, Method)>,
    destination: &Destination,
    parcel: &Parcel,
    now_ms: i64,
    expires_at_ms: i64,
) -> Vec<Promise> {
    let promise = |(id, method): (Id, Method)| {
        let price = method.price(parcel)?;
        let method = method.content;
        Some(Promise {
            method: id,
            price,
            name: method.name,
            tax_class: method.tax_class,
            delivery: Delivery::estimate(now_ms, method.cutoff_hour, method.days_min, method.days_max),
            destination: destination.digest(),
            weight_g: parcel.weight_g,
            value: parcel.value,
            expires_at_ms,
        })
    };
    let active = methods.into_iter().filter(|(_, method)| method.content.active);
    let mut promises: Vec<Promise> = active.filter_map(promise).collect();
    promises.sort_by(|a, b| {
        let key = |promise: &Promise| (promise.price.minor(), promise.delivery.latest.clone(), promise.method);
        key(a).cmp(&key(b))
    });
    promises
}
