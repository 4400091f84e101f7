//! What the methods of a zone ask for a parcel.

use commerce::Id;

use crate::calendar::Delivery;
use crate::destination::Destination;
use crate::method::Method;
use crate::parcel::Parcel;
use crate::token::Promise;

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
